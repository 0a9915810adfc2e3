"""Limits of a server, and the refusals that clients get: a status and one sentence."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Limits of one server; what exceeds them is refused.

    Attributes:
        max_bytes: of a recording.
        max_seconds: of a recording, in s.
        decode_seconds: for the decoding of a recording.
        decode_bytes: of memory of a decoding process.
        upload_seconds: for a whole body.
        idle_seconds: between two parts of a body, or two messages of a stream.
        queue: requests that are read, decoded and answered at a time.
        streams: live streams at a time.
        memory: bytes of bodies and decoded sound that are held at a time.
        wait: seconds that a window waits for others of its length, to be answered with them.
        batch: windows in a call of the models.
    """

    max_bytes: int = 256 * MIB
    max_seconds: float = 7200.0
    decode_seconds: float = 60.0
    decode_bytes: int = 4096 * MIB
    upload_seconds: float = 300.0
    idle_seconds: float = 10.0
    queue: int = 256
    streams: int = 16
    memory: int = 2048 * MIB
    wait: float = 0.01
    batch: int = 8


class Refused(Exception):
    """A request that is not answered."""

    def __init__(self, status: int, sentence: str, retry_after: int | None = None) -> None:
        """Keep the HTTP status, one sentence, and the seconds after which to try again."""
        super().__init__(sentence)
        self.status, self.sentence, self.retry_after = status, sentence, retry_after


class Allowance:
    """Bytes that one request holds of what a server may hold."""

    def __init__(self, budget: "Budget") -> None:
        """Hold nothing yet."""
        self._budget, self.held = budget, 0

    def take(self, count: int) -> None:
        """Hold more bytes.

        Raises:
            Refused: the server holds too many; 503.
        """
        self._budget.take(count)
        self.held += count


class Budget:
    """Bytes of bodies and decoded sound that a server holds."""

    def __init__(self, most: int) -> None:
        """Hold nothing yet, and never more than `most`."""
        self.most, self.held = most, 0

    def take(self, count: int) -> None:
        """Hold more bytes.

        Raises:
            Refused: it would be too many; 503.
        """
        if self.held + count > self.most:
            raise Refused(
                503, "the server holds as much sound as its memory has room for; try again in some seconds.", 5
            )
        self.held += count

    @contextmanager
    def allowance(self) -> Iterator[Allowance]:
        """Return the allowance of one request, which is given back at the end."""
        own = Allowance(self)
        try:
            yield own
        finally:
            self.held -= own.held


async def bounded(
    stream: AsyncIterator[bytes], declared: str | None, most: int, limits: Limits, allowance: Allowance
) -> AsyncIterator[bytes]:
    """Yield the parts of a body, which may be neither too large nor too slow.

    Args:
        stream: the body.
        declared: its Content-Length, if it has one.
        most: bytes that it may have.
        limits: of the server.
        allowance: of the request.

    Raises:
        Refused: it is too large (413), too slow (408), or the server has no room for it (503).
    """
    large = Refused(413, f"the body has more than {_size(most)}; send a shorter or compressed recording (FLAC, MP3).")
    if declared is not None and declared.isdigit() and int(declared) > most:
        raise large
    total, end = 0, time.monotonic() + limits.upload_seconds
    while True:
        left = end - time.monotonic()
        try:
            async with asyncio.timeout(min(limits.idle_seconds, max(left, 0.0))):
                part = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Refused(
                408,
                f"the body came too slowly: {limits.idle_seconds:g} s without any of it, or "
                f"{limits.upload_seconds:g} s in all; send it again on a faster line.",
            ) from None
        total += len(part)
        if total > most:
            raise large
        allowance.take(len(part))
        yield part


def _size(count: int) -> str:
    return f"{count / MIB:g} MiB" if count >= MIB else f"{count} bytes"
