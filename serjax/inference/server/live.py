"""Live sound over a WebSocket: 16-bit PCM in, an answer for the last window every hop out."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import soxr
from jaxtyping import Float32
from starlette.websockets import WebSocket, WebSocketDisconnect

from serjax.audio import SAMPLE_RATE
from serjax.inference.server.limits import Refused
from serjax.inference.server.service import Service
from serjax.inference.timeline import check_window
from serjax.runtime.errors import UserError

RATES = (8_000, 192_000)
"""Lowest and highest rate of live sound, in Hz."""

_LEAST = 0.5
"""Seconds of sound before the first answer, where the model does not want more."""


class Sliding:
    """The last window of sound that comes in pieces, at every hop.

    Until a window is full, what has come is the window.
    """

    def __init__(self, rate: int, window: int, hop: int) -> None:
        """Begin a stream.

        Args:
            rate: of the pieces, in Hz.
            window: in samples at 16 kHz.
            hop: in samples at 16 kHz.
        """
        self._window, self._hop = window, hop
        self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        self._same = rate == SAMPLE_RATE
        self._rest = b""
        self._held = np.zeros(0, np.float32)
        self._end = 0
        """Samples that have come, and at which the last answered window ended."""
        self._done = 0

    def push(self, piece: bytes) -> Iterator[tuple[int, Float32[np.ndarray, "t"]]]:
        """Take a piece of 16-bit little-endian PCM; yield first sample and sound of the window at each hop."""
        whole = self._rest + piece
        even = len(whole) // 2 * 2
        self._rest = whole[even:]
        samples = np.frombuffer(whole[:even], "<i2").astype(np.float32) / 32_768
        yield from self._add(samples if self._same else self._resampler.resample_chunk(samples))

    def finish(self) -> Iterator[tuple[int, Float32[np.ndarray, "t"]]]:
        """Yield the windows that are left at the end."""
        if not self._same:
            yield from self._add(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        if self._end > self._done:
            yield self._last()

    def _add(self, samples: Float32[np.ndarray, "t"]) -> Iterator[tuple[int, Float32[np.ndarray, "t"]]]:
        while len(samples):
            step = min(len(samples), self._done + self._hop - self._end)
            self._held = np.concatenate([self._held, samples[:step]])[-self._window :]
            self._end, samples = self._end + step, samples[step:]
            if self._end == self._done + self._hop:
                yield self._last()

    def _last(self) -> tuple[int, Float32[np.ndarray, "t"]]:
        self._done = self._end
        return self._end - len(self._held), self._held


async def stream(socket: WebSocket, service: Service) -> None:
    """Answer a live stream until its client ends it.

    Raises:
        Refused: before it is accepted: too many streams, not ready, or wrong parameters.
    """
    service.check_ready()
    rate, window, hop = _parameters(socket, service)
    with service.streaming():
        await socket.accept()
        try:
            await _authorize(socket, service)
            await _answer(socket, service, Sliding(rate, window, hop))
            await socket.close()
        except Refused as error:
            await socket.send_json({"error": error.sentence})
            await socket.close(1008, error.sentence[:120])
        except UserError as error:
            await socket.send_json({"error": str(error)})
            await socket.close(1011)
        except WebSocketDisconnect:
            return


def _parameters(socket: WebSocket, service: Service) -> tuple[int, int, int]:
    """Return rate, window and hop of a stream."""
    asked = socket.query_params
    text = asked.get("rate", f"{SAMPLE_RATE}")
    if not text.isascii() or not text.isdigit() or not RATES[0] <= int(text) <= RATES[1]:
        raise Refused(422, f"rate: got {text[:20]}; give {RATES[0]} to {RATES[1]} Hz.")
    try:
        return int(text), *check_window(service.ensemble, number(asked, "window"), number(asked, "hop"))
    except UserError as error:
        raise Refused(422, str(error)) from None


def number(fields: Any, name: str) -> float | None:
    """Return a field as a number; None where it is not given.

    Raises:
        Refused: it is none; 422.
    """
    value = fields.get(name)
    if value is None or value == "":
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if not np.isfinite(found):
        raise Refused(422, f"{name}: got {str(value)[:20]}; give a number of seconds.")
    return found


async def _authorize(socket: WebSocket, service: Service) -> None:
    """Wait for the key in a first message where the handshake had none, as browsers can send no header."""
    if socket.scope.get("authorized", True):
        return
    try:
        first = json.loads(await _text(socket, service))
    except ValueError:
        first = None
    if not isinstance(first, dict) or not service.knows(first.get("api_key")):
        raise Refused(401, 'the API key is missing or wrong; send {"api_key": ...} as the first message.')


async def _text(socket: WebSocket, service: Service) -> str:
    async with asyncio.timeout(service.limits.idle_seconds):
        message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    return message.get("text") or ""


async def _answer(socket: WebSocket, service: Service, sliding: Sliding) -> None:
    """Take pieces of sound and send answers, until the client says `{"end": true}` or goes."""
    while True:
        try:
            async with asyncio.timeout(6 * service.limits.idle_seconds):
                message = await socket.receive()
        except TimeoutError:
            raise Refused(408, "no sound came for a while; open a new stream.") from None
        if message["type"] == "websocket.disconnect":
            return
        piece = message.get("bytes")
        if piece is None:
            if not _ends(message.get("text")):
                raise Refused(
                    422, 'a message is text; send 16-bit PCM as binary messages, and {"end": true} at the end.'
                )
            for one in sliding.finish():
                await _send(socket, service, *one, final=True)
            return
        for one in sliding.push(piece):
            await _send(socket, service, *one)


def _ends(text: str | None) -> bool:
    try:
        found = json.loads(text or "")
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("end") is True


async def _send(
    socket: WebSocket, service: Service, first: int, wave: Float32[np.ndarray, "t"], *, final: bool = False
) -> None:
    """Send the answer for a window; one that is too short has none yet."""
    ensemble = service.ensemble
    prepared = ensemble.prepare(wave)
    if len(prepared) < ensemble.min_samples or (len(prepared) < _LEAST * SAMPLE_RATE and not final):
        return
    logits = await service.batcher.logits([prepared])
    scores, doubt = ensemble.scoring.scores(logits), ensemble.scoring.disagreement(logits)
    if not np.isfinite(scores).all():
        raise UserError("the answers are not finite numbers: the weights are damaged.")
    await socket.send_json(
        {
            "start": first / SAMPLE_RATE,
            "end": (first + len(wave)) / SAMPLE_RATE,
            "scores": ensemble.ranked(scores[0]),
            "uncertainty": None if doubt is None else float(doubt[0]),
        }
    )
