"""Processes that decode recordings for a server: a recording that kills one, or keeps it too long, is refused."""

import asyncio
import contextlib
import json
import os
import shutil
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from serjax.inference.server.decoder import NAME, Decoded, pack
from serjax.inference.server.limits import Limits, Refused
from serjax.inference.server.metrics import Metrics

_START = 60.0
"""Seconds in which a process has imported what it needs."""


class _Died(Exception):
    """The process has ended."""


class _Decoder:
    """One process."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Number of the process; None where it does not run."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def start(self) -> None:
        """Start the process, and wait until it is ready."""
        shutil.rmtree(self._folder, ignore_errors=True)  # a killed process leaves its file behind
        self._folder.mkdir()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "serjax.inference.server.decoder",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the server, which ends it
        )
        async with asyncio.timeout(_START):
            await self._ask({"memory": self._limits.decode_bytes}, b"")

    async def decode(self, content: bytes, *, apart: bool) -> tuple[dict[str, Any], np.ndarray]:
        """Return the answer to a recording, and its samples.

        Raises:
            _Died: the process has ended.
            TimeoutError: it takes too long.
        """
        asked = {"folder": str(self._folder), "max_seconds": self._limits.max_seconds, "apart": apart}
        async with asyncio.timeout(self._limits.decode_seconds):
            return await self._ask(asked, content)

    async def _ask(self, header: dict[str, Any], content: bytes) -> tuple[dict[str, Any], np.ndarray]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise _Died
        try:
            process.stdin.write(pack(header, len(content)))
            process.stdin.write(content)
            await process.stdin.drain()
            size = struct.unpack(">I", await process.stdout.readexactly(4))[0]
            answer = json.loads(await process.stdout.readexactly(size))
            samples = np.empty(answer["bytes"], np.uint8)
            done = 0
            while done < len(samples):
                part = await process.stdout.read(min(1 << 20, len(samples) - done))
                if not part:
                    raise _Died
                samples[done : done + len(part)] = np.frombuffer(part, np.uint8)
                done += len(part)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            raise _Died from None
        return answer, samples.view("<f4")

    async def kill(self) -> None:
        """End the process; what it had written is deleted."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class Decoders:
    """A few decoding processes, each with one recording at a time."""

    def __init__(self, count: int, limits: Limits, metrics: Metrics) -> None:
        """Start none yet."""
        self._limits, self._metrics = limits, metrics
        self._folder = Path(tempfile.mkdtemp(prefix="serjax-serve-"))
        self._all = [_Decoder(self._folder / f"{number}", limits) for number in range(count)]
        self._idle: asyncio.Queue[_Decoder] = asyncio.Queue()

    @property
    def pids(self) -> list[int]:
        """Numbers of the processes that run."""
        return [one.pid for one in self._all if one.pid is not None]

    async def start(self) -> None:
        """Start all processes."""
        for one in self._all:
            await one.start()
            self._idle.put_nowait(one)

    async def close(self) -> None:
        """End all processes, and delete their files."""
        for one in self._all:
            await one.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def decode(self, content: bytes, *, apart: bool) -> Decoded:
        """Return a recording, decoded.

        A process that was killed from outside costs nobody an answer: another one tries again, once.

        Args:
            content: bytes of a file.
            apart: return the channels of a short recording too.

        Raises:
            Refused: it cannot be decoded (422), is too long (413), or needs a package that is missing (415); or no
                process can be started (503).
        """
        decoder = await self._idle.get()
        try:
            answer, samples = await self._twice(decoder, content, apart=apart)
        except BaseException:
            # It may be in the middle of an answer that nobody waits for any more.
            await asyncio.shield(decoder.kill())
            raise
        finally:
            self._idle.put_nowait(decoder)
        if "error" in answer:
            raise Refused(answer["status"], answer["error"])
        mono, sound = answer["mono"], answer["sound"]
        facts = {name: answer[name] for name in ("rate", "channels", "seconds", "notes")}
        return Decoded(facts, samples[:mono], samples[mono:].reshape(sound, -1 if sound else answer["channels"]))

    async def _twice(self, decoder: _Decoder, content: bytes, *, apart: bool) -> tuple[dict[str, Any], np.ndarray]:
        for _ in range(2):
            try:
                if decoder.pid is None:
                    self._metrics.count("serjax_decoder_restarts_total")
                    await decoder.kill()
                    await decoder.start()
            except (_Died, OSError, TimeoutError):
                raise Refused(
                    503, "no process that decodes recordings could be started; try again later.", 10
                ) from None
            try:
                return await decoder.decode(content, apart=apart)
            except TimeoutError:
                seconds = f"{self._limits.decode_seconds:g} s"
                raise Refused(
                    422, f"decoding {NAME} took more than {seconds}; convert it to FLAC or WAV, or send it in parts."
                ) from None
            except _Died:
                await decoder.kill()
        raise Refused(
            422, f"{NAME} ended the process that decoded it, twice; it is damaged: convert it to FLAC or WAV."
        )
