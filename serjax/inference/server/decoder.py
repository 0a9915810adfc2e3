"""A process that decodes recordings: bytes in, samples out, through its pipes. It may die; the server starts another.

A message is four bytes with the length of a JSON object, the object, and as many bytes as its "bytes" says.
"""

import contextlib
import json
import logging
import os
import resource
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Float32

from serjax.audio.decode import decode_what_is_there
from serjax.audio.stream import SoundStream, open_stream
from serjax.inference.server.media import DEMUXERS, suffix_of
from serjax.inference.windows import LONG
from serjax.runtime.errors import MissingPackage, UserError

NAME = "the recording"


class TooLong(Exception):
    """The recording is longer than is allowed."""


class Decoded(NamedTuple):
    """A decoded recording.

    Attributes:
        facts: rate: its own, in Hz. channels: how many. seconds: its length. notes: sentences on what was read.
        mono: its samples at 16 kHz as `serjax.audio.decode` makes them; none of a long recording.
        sound: its channels at 16 kHz as `serjax.audio.stream` makes them; none of a short recording unless asked for.
    """

    facts: dict[str, Any]
    mono: Float32[np.ndarray, "t"]
    sound: Float32[np.ndarray, "u c"]


def decode_bytes(content: bytes, folder: Path, max_seconds: float, *, apart: bool) -> Decoded:
    """Decode the bytes of a file.

    Args:
        content: of the file.
        folder: of a temporary copy.
        max_seconds: length that is allowed, in s.
        apart: return the channels of a short recording too.

    Raises:
        UserError: it cannot be decoded.
        TooLong: it is longer than is allowed.
    """
    with (
        tempfile.NamedTemporaryFile(dir=folder, suffix=suffix_of(content)) as file,
        _renamed(file.name),
        _told() as notes,
    ):
        file.write(content)
        file.flush()
        path = Path(file.name)
        with open_stream(path) as stream:
            short = stream.seconds is not None and stream.seconds <= LONG
            if (stream.seconds or 0.0) > max_seconds:
                raise TooLong
            sound = np.zeros((0, stream.channels), np.float32)
            if apart or not short:
                sound = _read(stream, max_seconds)
        notes += stream.notes
        mono = np.zeros(0, np.float32)
        if short:
            mono, loss = decode_what_is_there(path)
            said = loss.sentence(path, "the rest is answered.")
            notes += [said] if said is not None and said not in notes else []
        seconds = stream.seconds or len(sound) / 16_000
        facts = {"rate": stream.own_rate, "channels": stream.channels, "seconds": seconds}
        notes = [note.replace(file.name, NAME) for note in notes]
        return Decoded({**facts, "notes": notes}, mono, sound)


def _read(stream: SoundStream, max_seconds: float) -> Float32[np.ndarray, "t c"]:
    """Return all samples of a stream, which may not say how long it is."""
    blocks, left = [], round(max_seconds * 16_000)
    for block in stream.blocks:
        left -= len(block)
        if left < 0:
            raise TooLong
        blocks.append(block)
    return np.concatenate(blocks) if blocks else np.zeros((0, stream.channels), np.float32)


@contextlib.contextmanager
def _renamed(name: str) -> Iterator[None]:
    """Call a file in messages what it is for a client."""
    try:
        yield
    except MissingPackage:
        raise
    except UserError as error:
        raise UserError(str(error).replace(name, NAME)) from None


class _Notes(logging.Handler):
    def __init__(self, notes: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        self.notes.append(record.getMessage())


@contextlib.contextmanager
def _told() -> Iterator[list[str]]:
    """Collect the warnings that reading logs."""
    handler = _Notes([])
    logger = logging.getLogger("serjax")
    logger.addHandler(handler)
    try:
        yield handler.notes
    finally:
        logger.removeHandler(handler)


def answer(header: dict[str, Any], content: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Return the answer to a message: facts and samples, or a status and a sentence."""
    try:
        found = decode_bytes(content, Path(header["folder"]), header["max_seconds"], apart=header["apart"])
    except TooLong:
        sentence = f"the recording is longer than {header['max_seconds']:g} s; send it in parts."
        return {"status": 413, "error": sentence}, []
    except MemoryError:
        return {
            "status": 413,
            "error": "decoding the recording takes more memory than is allowed; send a shorter one.",
        }, []
    except MissingPackage as error:
        return {"status": 415, "error": f"{error} Send WAV, FLAC, MP3 or OGG."}, []
    except UserError as error:
        return {"status": 422, "error": str(error)}, []
    except Exception as error:  # of a library that a damaged file has led astray
        return {"status": 422, "error": f"the recording cannot be decoded ({type(error).__name__}); convert it."}, []
    parts = [np.ascontiguousarray(part, "<f4").tobytes() for part in (found.mono, found.sound)]
    return {**found.facts, "mono": len(found.mono), "sound": len(found.sound)}, parts


def read_message(source: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Return the next message; None at the end."""
    size = source.read(4)
    if len(size) < 4:
        return None
    header = json.loads(source.read(struct.unpack(">I", size)[0]))
    return header, source.read(header["bytes"])


def pack(header: dict[str, Any], size: int) -> bytes:
    """Return the beginning of a message: its header, and how many bytes follow."""
    text = json.dumps({**header, "bytes": size}).encode()
    return struct.pack(">I", len(text)) + text


def main() -> None:
    """Answer messages from standard input on standard output until they end.

    The first message says how much memory may be used, and is answered when everything is imported.
    """
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries that write to standard output do not disturb the messages
    first = read_message(sys.stdin.buffer)
    if first is None:
        return
    for limit, value in ((resource.RLIMIT_AS, int(first[0]["memory"])), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (value, value))
    with contextlib.suppress(MissingPackage):  # a recording that needs it gets the sentence
        from serjax.audio import container

        container.demuxers = DEMUXERS
    target.write(pack({}, 0))
    target.flush()
    while (message := read_message(sys.stdin.buffer)) is not None:
        header, parts = answer(*message)
        target.write(pack(header, sum(map(len, parts))))
        for part in parts:
            target.write(part)
        target.flush()


if __name__ == "__main__":
    main()
