"""Routes that answer for recordings, and those that tell of the server."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, cast, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from serjax.inference.channels import Channels
from serjax.inference.server.answers import verbose
from serjax.inference.server.bodies import Body, read_clip, read_form
from serjax.inference.server.limits import Refused
from serjax.inference.server.live import number
from serjax.inference.server.service import Service
from serjax.inference.timeline import DEFAULT_WINDOW

IGNORED = ("language", "prompt", "temperature", "timestamp_granularities[]")
"""Fields of OpenAI's transcriptions that have no meaning here."""


def refusal(error: Refused) -> JSONResponse:
    """Return the answer to a request that is refused."""
    headers = {"Retry-After": f"{error.retry_after}"} if error.retry_after is not None else {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": error.sentence}, error.status, headers)


async def classify(request: Request) -> Response:
    """Answer as the Hugging Face inference API does for audio classification."""
    service = _service(request)
    name = request.path_params.get("name")
    if name is not None and name != service.settings.name:
        raise Refused(404, f"there is no model {name[:80]}; this server has {service.settings.name}.")
    with service.admitted(), service.budget.allowance() as allowance:
        body = await read_clip(request, service.limits, allowance)
        top = _top(body, len(service.ensemble.labels))
        _check_function(body, service.ensemble.outputs)
        clip = await unless_gone(request, service.classify(body.content, allowance.take))
    return JSONResponse(clip.scores[:top])


async def transcribe(request: Request) -> Response:
    """Answer in the shape of OpenAI's transcriptions: labels in place of words."""
    service = _service(request)
    with service.admitted(), service.budget.allowance() as allowance:
        body = await read_form(request, service.limits, allowance)
        fields = body.fields
        form = fields.get("response_format", "json")
        if form not in ("json", "verbose_json"):
            raise Refused(422, f"response_format: got {form[:20]}; give json or verbose_json.")
        if fields.get("stream", "false").lower() not in ("false", "0", ""):
            raise Refused(422, "stream: answers do not come in parts; leave it out, or use the WebSocket /stream.")
        if fields.get("timestamp_granularities[]", "segment") != "segment":
            raise Refused(422, "timestamp_granularities: got words; there are segments alone.")
        model = fields.get("model", "")
        if model not in ("", service.settings.name, "whisper-1"):
            raise Refused(404, f"model: got {model[:80]}; this server has {service.settings.name}.")
        if form == "json":
            for name in ("window", "hop", "channels"):
                if fields.get(name):
                    raise Refused(422, f"{name}: the answer in json has no windows; give response_format=verbose_json.")
            clip = await unless_gone(request, service.classify(body.content, allowance.take))
            return JSONResponse({"text": clip.scores[0]["label"]})
        channels = fields.get("channels", "mix")
        if channels not in get_args(Channels):
            raise Refused(422, f"channels: got {channels[:20]}; give {' or '.join(get_args(Channels))}.")
        asked = number(fields, "window"), number(fields, "hop"), cast(Channels, channels)
        clip, timeline, notes = await unless_gone(request, service.timeline(body.content, allowance.take, *asked))
        unused = [f"{name}: it has no meaning for this model, and is not used." for name in IGNORED if fields.get(name)]
        return JSONResponse(verbose(clip, timeline, [*notes, *unused]))


async def models(request: Request) -> Response:
    """List the one model, in OpenAI's shape."""
    service = _service(request)
    ensemble, settings = service.ensemble, service.settings
    one = {
        "id": settings.name,
        "object": "model",
        "created": 0,
        "owned_by": "serjax",
        "labels": list(ensemble.labels),
        "outputs": ensemble.outputs,
        "members": len(ensemble.scoring.weights),
        "window": ensemble.max_seconds or DEFAULT_WINDOW,
        "max_bytes": service.limits.max_bytes,
        "max_seconds": service.limits.max_seconds,
        "card": settings.card is not None,
    }
    return JSONResponse({"object": "list", "data": [one]})


async def health(request: Request) -> Response:
    """Say that the server is ready, or refuse with 503 until it is."""
    service = _service(request)
    service.check_ready()
    return JSONResponse({"status": "ready", "model": service.settings.name})


async def metrics(request: Request) -> Response:
    """Return the server's numbers in Prometheus' text format."""
    return PlainTextResponse(_service(request).metrics.text(), media_type="text/plain; version=0.0.4")


async def unless_gone(request: Request, work: Any) -> Any:
    """Return what `work` returns; it ends where the client has gone.

    Raises:
        ClientGone: the client has hung up.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_gone(request.receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        for one in (task, watch):
            if not one.done():
                one.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


class ClientGone(Exception):
    """The client has hung up before its answer was there."""


async def _gone(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _top(body: Body, count: int) -> int:
    """Return how many labels are asked for."""
    value = body.fields.get("top_k")
    if value is None:
        return count
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if isinstance(value, bool) or not found >= 1 or found != int(found):
        raise Refused(422, f"top_k: got {str(value)[:20]}; give a whole number of at least 1.")
    return int(min(found, count))


def _check_function(body: Body, outputs: str) -> None:
    value = body.fields.get("function_to_apply")
    own = {"identity": "none"}.get(outputs, outputs)
    if value is not None and value != own:
        raise Refused(422, f"function_to_apply: got {str(value)[:20]}; this model's scores are by {own}.")
