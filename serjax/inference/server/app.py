"""The ASGI application: routes, who may call them, and errors as one sentence."""

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from serjax.inference.server import api, pages
from serjax.inference.server.limits import Refused
from serjax.inference.server.live import stream
from serjax.inference.server.service import Service
from serjax.runtime.errors import UserError

log = logging.getLogger(__name__)
Handler = Callable[[Request], Awaitable[Response]]


def make_app(service: Service) -> Starlette:
    """Return the application of a service, which runs as long as it."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with service.running():
            yield

    def route(path: str, handler: Handler, method: str = "GET", *, ready: bool = False, key: bool = False) -> BaseRoute:
        return Route(path, guarded(service, path, handler, ready=ready, key=key), methods=[method])

    async def live(socket: WebSocket) -> None:
        try:
            check_origin(socket, service.settings.cors)
            socket.scope["authorized"] = service.knows(bearer(socket))
            await stream(socket, service)
        except Refused as error:
            await socket.send_denial_response(api.refusal(error))

    routes = [
        route("/", pages.index),
        route("/", api.classify, "POST", ready=True, key=True),
        route("/models/{name:path}", api.classify, "POST", ready=True, key=True),
        route("/v1/audio/transcriptions", api.transcribe, "POST", ready=True, key=True),
        WebSocketRoute("/stream", live),
        route("/v1/models", api.models, key=True),
        route("/health", api.health),
        route("/metrics", api.metrics, key=True),
        route("/openapi.json", pages.openapi),
        route("/docs", pages.docs),
        route("/card", pages.card),
        route("/examples", pages.example_list),
        route("/examples/{name}", pages.example),
    ]
    middleware = [Middleware(_Headers)]
    if service.settings.cors:
        allowed = {"allow_origins": service.settings.cors, "allow_methods": ["GET", "POST"]}
        middleware.append(
            Middleware(CORSMiddleware, **allowed, allow_headers=["*"], expose_headers=["Retry-After"])  # type: ignore[arg-type]
        )
    app = Starlette(
        routes=routes, middleware=middleware, lifespan=lifespan, exception_handlers={HTTPException: _not_found}
    )
    app.state.service = service
    return app


def guarded(service: Service, path: str, handler: Handler, *, ready: bool, key: bool) -> Handler:
    """Return a handler that is counted, asks for the key, and answers errors with one sentence.

    Args:
        service: the model.
        path: of the route, for the numbers.
        handler: the route's own.
        ready: refuse before the warm-up is done.
        key: ask for the API key.
    """

    async def answer(request: Request) -> Response:
        try:
            if key:
                check_origin(request, service.settings.cors)
                if not service.knows(bearer(request)):
                    raise Refused(401, "the API key is missing or wrong; send Authorization: Bearer KEY.")
            if ready:
                service.check_ready()
            return await handler(request)
        except Refused as error:
            return api.refusal(error)
        except UserError as error:
            return JSONResponse({"error": str(error)}, 422)
        except (ClientDisconnect, api.ClientGone):
            return Response(status_code=499)  # nobody reads it; the number is nginx's
        except Exception:
            log.exception(f"A request to {path} failed.")
            return JSONResponse({"error": "the server failed on this request, which its log tells of."}, 500)

    async def counted(request: Request) -> Response:
        began = time.monotonic()
        response = await answer(request)
        service.metrics.count("serjax_requests_total", route=path, status=f"{response.status_code}")
        if ready:
            service.metrics.observe("serjax_request_seconds", time.monotonic() - began, route=path)
        return response

    return counted


def bearer(connection: HTTPConnection) -> str | None:
    """Return the key that a client gives, if it gives one."""
    kind, _, key = connection.headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" and key.strip() else None


def check_origin(connection: HTTPConnection, allowed: tuple[str, ...]) -> None:
    """Refuse a call from a foreign page, which would let anybody's page use a server that is open to its visitor.

    Raises:
        Refused: the Origin header names neither this server nor an allowed origin; 403.
    """
    origin = connection.headers.get("origin")
    if origin is None or origin in allowed or "*" in allowed:
        return
    if urlsplit(origin).netloc != connection.headers.get("host"):
        raise Refused(403, f"pages of {origin[:80]} may not call this server; start it with --cors {origin[:80]}.")


class _Headers:
    """Middleware that gives every answer the headers of `pages.HEADERS`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.lower().encode(), value.encode()) for name, value in pages.HEADERS.items()]
                message["headers"] = [*message["headers"], *own]
            await send(message)

        await self.app(scope, receive, with_headers)


async def _not_found(_request: Request, error: Exception) -> Response:
    """Answer for a path or method that there is not."""
    assert isinstance(error, HTTPException)
    sentence = {404: "there is no such path; /docs lists them.", 405: "this path has no such method; see /docs."}
    return JSONResponse(
        {"error": sentence.get(error.status_code, error.detail)}, error.status_code, headers=error.headers
    )
