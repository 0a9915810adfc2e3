"""Windows of requests that come together, answered in one call of the models."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from serjax.data.batching.lengths import FRAME, bucket
from serjax.inference.batched import padded, windows_a_call
from serjax.inference.ensemble import Ensemble
from serjax.inference.server.limits import Limits
from serjax.inference.server.metrics import Metrics


class _Window(NamedTuple):
    """A window that waits: its samples, the length that it is padded to, its answer, and when it came."""

    wave: Float32[np.ndarray, "_"]
    length: int
    answer: "asyncio.Future[np.ndarray]"
    came: float


class Batcher:
    """Collects windows, and calls the models in a thread of its own, so that the server goes on listening."""

    def __init__(self, ensemble: Ensemble, limits: Limits, metrics: Metrics) -> None:
        """Keep the models; nothing runs before `run`."""
        self._ensemble, self._limits, self._metrics = ensemble, limits, metrics
        self._thread = ThreadPoolExecutor(1, "models")
        self._waiting: list[_Window] = []
        self._come = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Windows that wait."""
        return len(self._waiting)

    def most(self, length: int) -> int:
        """Return how many windows of a length a call takes."""
        return min(self._limits.batch, windows_a_call(length))

    async def logits(self, waves: Sequence[Float32[np.ndarray, "_"]]) -> Float[np.ndarray, "n k c"]:
        """Return the members' logits of prepared waves at 16 kHz, as `Ensemble.logits`."""
        loop, now = asyncio.get_running_loop(), time.monotonic()
        lengths = [padded(len(wave), self._ensemble.longest) for wave in waves]
        windows = [_Window(*one, loop.create_future(), now) for one in zip(waves, lengths, strict=True)]
        self._waiting += windows
        self._come.set()
        try:
            return np.stack(await asyncio.gather(*(one.answer for one in windows)))
        finally:
            # Where the request has ended, its windows are not computed.
            for one in windows:
                one.answer.cancel()

    async def run(self) -> None:
        """Answer windows, the oldest first, until this is cancelled."""
        try:
            while True:
                self._waiting = [one for one in self._waiting if not one.answer.done()]
                if not self._waiting:
                    self._come.clear()
                    await self._come.wait()
                    continue
                oldest = self._waiting[0]
                same = [one for one in self._waiting if one.length == oldest.length]
                if len(same) < self.most(oldest.length) and await self._more_may_come(oldest):
                    continue
                # One call is got ready while another runs.
                if len(self._running) >= 2:
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                    continue
                taken = same[: self.most(oldest.length)]
                left = set(map(id, taken))
                self._waiting = [one for one in self._waiting if id(one) not in left]
                task = asyncio.create_task(self._answer(taken))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        finally:
            for one in self._waiting:
                one.answer.cancel()
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _more_may_come(self, oldest: _Window) -> bool:
        """Wait for more windows, or for the call that runs; return False where the oldest has waited long enough."""
        left = oldest.came + self._limits.wait - time.monotonic()
        if self._running:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            return True
        if left <= 0:
            return False
        self._come.clear()
        try:
            async with asyncio.timeout(left):
                await self._come.wait()
        except TimeoutError:
            pass
        return True

    async def _answer(self, windows: Sequence[_Window]) -> None:
        """Answer windows of one length in one call."""
        began = time.monotonic()
        waves, length = [one.wave for one in windows], windows[0].length
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._ensemble.logits, waves, length)
        except BaseException as error:
            for one in windows:
                if not one.answer.done():
                    one.answer.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            if not isinstance(error, Exception):
                raise
            return
        self._metrics.count("serjax_windows_total", len(windows))
        self._metrics.observe("serjax_batch_windows", len(windows))
        self._metrics.observe("serjax_batch_seconds", time.monotonic() - began)
        for one, row in zip(windows, found, strict=True):
            if not one.answer.done():
                one.answer.set_result(row)

    def shapes(self) -> list[tuple[int, int]]:
        """Return the programs that are needed: how many windows, of which length in samples."""
        lengths = [bucket(0)]
        while lengths[-1] < self._ensemble.longest:
            lengths.append(bucket(lengths[-1] + 1))
        longest = self._ensemble.longest
        lengths = list(dict.fromkeys(padded(min(one, longest), longest) for one in lengths))
        found = []
        for length in lengths:
            size = 1
            while size <= self.most(length):
                found.append((size, length))
                size *= 2
        return found

    async def compile(self, size: int, length: int) -> None:
        """Call the models once with windows of a length."""
        noise = np.random.default_rng(0).normal(0, 0.01, max(length - FRAME, length // 2)).astype(np.float32)
        waves = [np.pad(noise, (0, length - len(noise)))] * size
        await asyncio.get_running_loop().run_in_executor(self._thread, self._ensemble.logits, waves, length)
