"""Live sound over a WebSocket: 16-bit PCM in, an answer for the last window every hop out."""

import asyncio
import json
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from serjax.audio import SAMPLE_RATE
from serjax.inference.live import LiveStream
from serjax.inference.server.limits import Refused
from serjax.inference.server.service import Service
from serjax.inference.windows import Window
from serjax.runtime.errors import UserError

RATES = (8_000, 192_000)
"""Lowest and highest rate of live sound, in Hz."""


async def stream(socket: WebSocket, service: Service) -> None:
    """Answer a live stream until its client ends it.

    Raises:
        Refused: before it is accepted: too many streams, not ready, or wrong parameters.
    """
    service.check_ready()
    live = _live(socket, service)
    with service.streaming():
        await socket.accept()
        try:
            await _authorize(socket, service)
            await _answer(socket, service, live)
            await socket.close()
        except Refused as error:
            await socket.send_json({"error": error.sentence})
            await socket.close(1008, error.sentence[:120])
        except UserError as error:
            await socket.send_json({"error": str(error)})
            await socket.close(1011)
        except WebSocketDisconnect:
            return


def _live(socket: WebSocket, service: Service) -> LiveStream:
    """Return the windows of a stream with the rate, window and hop that were asked for."""
    asked = socket.query_params
    text = asked.get("rate", f"{SAMPLE_RATE}")
    if not text.isascii() or not text.isdigit() or not RATES[0] <= int(text) <= RATES[1]:
        raise Refused(422, f"rate: got {text[:20]}; give {RATES[0]} to {RATES[1]} Hz.")
    try:
        return LiveStream(service.ensemble, int(text), number(asked, "window"), number(asked, "hop"))
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
    except (ValueError, RecursionError):
        first = None
    if not isinstance(first, dict) or not service.knows(first.get("api_key")):
        raise Refused(401, 'the API key is missing or wrong; send {"api_key": ...} as the first message.')


async def _text(socket: WebSocket, service: Service) -> str:
    async with asyncio.timeout(service.limits.idle_seconds):
        message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    return message.get("text") or ""


async def _answer(socket: WebSocket, service: Service, live: LiveStream) -> None:
    """Take pieces of sound and send answers, until the client says `{"end": true}` or goes."""
    rest = b""
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
            for window in live.finish():
                await _send(socket, service, window)
            return
        whole = rest + piece
        even = len(whole) // 2 * 2
        rest = whole[even:]
        for window in live.feed(np.frombuffer(whole[:even], "<i2")):
            await _send(socket, service, window)


def _ends(text: str | None) -> bool:
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("end") is True


async def _send(socket: WebSocket, service: Service, window: Window) -> None:
    """Send the answer for a window, unless too little of it is speech."""
    ensemble = service.ensemble
    prepared = ensemble.prepare(window.wave[0])
    if len(prepared) < ensemble.min_samples:
        return
    logits = await service.batcher.logits([prepared])
    scores, doubt = ensemble.scoring.scores(logits), ensemble.scoring.disagreement(logits)
    if not np.isfinite(scores).all():
        raise UserError("the answers are not finite numbers: the weights are damaged.")
    await socket.send_json(
        {
            "start": window.start / SAMPLE_RATE,
            "end": (window.start + window.wave.shape[1]) / SAMPLE_RATE,
            "scores": ensemble.ranked(scores[0]),
            "uncertainty": None if doubt is None else float(doubt[0]),
        }
    )
