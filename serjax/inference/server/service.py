"""A model that is served: its decoders, its batcher, its warm-up, and the requests that it admits."""

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from serjax.inference.channels import Channels
from serjax.inference.ensemble import Ensemble
from serjax.inference.server.answers import Batched, Clip, answer_clip, answer_timeline
from serjax.inference.server.batcher import Batcher
from serjax.inference.server.decoders import Decoders
from serjax.inference.server.limits import Budget, Limits, Refused
from serjax.inference.server.metrics import Metrics
from serjax.inference.timeline import Timeline
from serjax.runtime.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Settings of a server.

    Attributes:
        name: of the model, in URLs and lists.
        card: its model card in Markdown; None where there is none.
        api_key: that clients must give; None: none is asked for.
        cors: origins whose pages may call the server.
        limits: see `Limits`.
        decoders: processes that decode recordings.
        warm_up: compile all programs before the server is ready.
    """

    name: str
    card: str | None = None
    api_key: str | None = None
    cors: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    decoders: int = 2
    warm_up: bool = True


def read_card(folder: Path) -> str | None:
    """Return the model card in a run folder; None where there is none."""
    try:
        return (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


class Service:
    """The model, and everything that stands between it and requests."""

    def __init__(self, ensemble: Ensemble, settings: Settings) -> None:
        """Keep the model; nothing runs before `running`.

        Raises:
            UserError: a model that takes video, or that is to hear clips whole.
        """
        if ensemble.modalities != {"sound"}:
            raise UserError("a server answers for sound alone, but this model takes video; give a model of sound.")
        if ensemble.long_clips == "whole":
            raise UserError("a server hears no clips whole, of whatever length they are; leave --whole out.")
        self.ensemble, self.settings = ensemble, settings
        self.limits = settings.limits
        self.metrics = Metrics()
        self.budget = Budget(self.limits.memory)
        self.batcher = Batcher(ensemble, self.limits, self.metrics)
        self.decoders = Decoders(settings.decoders, self.limits, self.metrics)
        self.compiled, self.programs = 0, len(self.batcher.shapes())
        self.requests = self.streams = 0
        self.ready = self.closing = False
        # Long recordings do not keep short ones waiting.
        self._short, self._long = ThreadPoolExecutor(64, "clips"), ThreadPoolExecutor(16, "timelines")
        self.metrics.gauges = {
            "serjax_requests_in_progress": lambda: self.requests,
            "serjax_streams_in_progress": lambda: self.streams,
            "serjax_windows_waiting": lambda: self.batcher.waiting,
            "serjax_held_bytes": lambda: self.budget.held,
            "serjax_ready": lambda: self.ready,
        }

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run decoders and batcher, and warm up beside the block."""
        tasks = [asyncio.create_task(self.batcher.run()), asyncio.create_task(self._get_ready())]
        try:
            yield
        finally:
            self.closing, self.ready = True, False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.decoders.close()
            for pool in (self._short, self._long):
                pool.shutdown(wait=False, cancel_futures=True)

    async def _get_ready(self) -> None:
        began = time.monotonic()
        try:
            await self.decoders.start()
            for size, length in self.batcher.shapes() if self.settings.warm_up else []:
                await self.batcher.compile(size, length)
                self.compiled += 1
        except Exception:
            log.exception("The warm-up failed.")
            return
        self.ready = True
        log.info(
            f"Ready after {time.monotonic() - began:.1f} s: {self.compiled} programs for lengths up to "
            f"{self.ensemble.longest / 16_000:g} s are compiled."
        )

    def knows(self, key: object) -> bool:
        """Return whether a client's key is the server's, or none is asked for."""
        own = self.settings.api_key
        return own is None or (isinstance(key, str) and hmac.compare_digest(key.encode(), own.encode()))

    def check_ready(self) -> None:
        """Refuse a request before the warm-up is done, or when the server ends.

        Raises:
            Refused: 503.
        """
        if self.closing:
            raise Refused(503, "the server is shutting down; try again later.", 10)
        if not self.ready:
            raise Refused(
                503, f"the server is warming up ({self.compiled} of {self.programs} programs); try again soon.", 5
            )

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a request as in progress.

        Raises:
            Refused: there are too many; 429.
        """
        if self.requests >= self.limits.queue:
            raise Refused(429, f"{self.requests} requests are in progress, the most there may be; try again soon.", 2)
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @contextlib.contextmanager
    def streaming(self) -> Iterator[None]:
        """Count a live stream as open.

        Raises:
            Refused: there are too many; 429.
        """
        if self.streams >= self.limits.streams:
            raise Refused(429, f"{self.streams} live streams are open, the most there may be; try again soon.", 10)
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    async def classify(self, content: bytes, take: Callable[[int], None]) -> Clip:
        """Return the answer for the bytes of a recording.

        Args:
            content: of a file.
            take: told the bytes of decoded sound.

        Raises:
            Refused: it cannot be decoded.
            UserError: it cannot be answered.
        """
        clip, _, _ = await self._answer(content, take, None)
        return clip

    async def timeline(
        self,
        content: bytes,
        take: Callable[[int], None],
        window: float | None,
        hop: float | None,
        channels: Channels,
    ) -> tuple[Clip, Timeline, tuple[str, ...]]:
        """Return the answer for a recording as a whole, its timeline, and notes on it; see `classify`."""
        clip, timeline, notes = await self._answer(content, take, (window, hop, channels))
        assert timeline is not None
        return clip, timeline, notes

    async def _answer(
        self, content: bytes, take: Callable[[int], None], asked: tuple[float | None, float | None, Channels] | None
    ) -> tuple[Clip, Timeline | None, tuple[str, ...]]:
        decoded = await self.decoders.decode(content, apart=asked is not None)
        take(decoded.mono.nbytes + decoded.sound.nbytes)
        self.metrics.count("serjax_sound_seconds_total", decoded.facts["seconds"])
        batched = Batched(self.ensemble, self.batcher, asyncio.get_running_loop())
        try:
            loop, pool = asyncio.get_running_loop(), self._short if len(decoded.mono) else self._long
            clip = await loop.run_in_executor(pool, answer_clip, batched, decoded)
            if asked is None:
                return clip, None, ()
            timeline, notes = await loop.run_in_executor(self._long, answer_timeline, batched, decoded, *asked)
            return clip, timeline, notes
        finally:
            batched.ended.set()
