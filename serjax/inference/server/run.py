"""Running a server: the port, signals, and the end."""

import contextlib
import logging
import signal
import socket
from collections.abc import Iterator

from serjax.runtime.errors import MissingPackage, UserError, reason

try:
    import python_multipart  # noqa: F401
    import starlette  # noqa: F401
    import uvicorn
    import websockets  # noqa: F401
except ImportError as error:
    raise MissingPackage(f"{error.name}", "serve", "Recordings are served") from None

from serjax.inference.server.app import make_app
from serjax.inference.server.service import Service

log = logging.getLogger(__name__)
_GRACE = 30
"""Seconds that requests in progress have at the end."""


class _Server(uvicorn.Server):
    """A server that ends on SIGINT and SIGTERM when its requests are answered, and at once on a second one."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals while the server runs; unlike uvicorn's own, do not raise them again afterwards."""
        # Other wake-ups would end the process within seconds.
        wakeup = signal.set_wakeup_fd(-1)
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)

    def handle_exit(self, sig: int, frame: object) -> None:
        """Note a signal."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address.

    Raises:
        UserError: there is no such address, or the port is in use.
    """
    if not 0 <= port < 1 << 16:
        raise UserError(f"--port: got {port}; give 0 to 65535.")
    found = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(1024)
    except OSError as error:
        if found is not None:
            found.close()
        raise UserError(
            f"{host}:{port}: the server cannot listen there ({reason(error)}); give another --port or --host."
        ) from None
    return found


def serve(service: Service, listening: socket.socket) -> None:
    """Serve a model until SIGINT or SIGTERM; requests in progress are answered first.

    Args:
        service: the model.
        listening: see `bind`.
    """
    config = uvicorn.Config(
        make_app(service),
        loop="asyncio",  # uvloop forks for a new decoder, which JAX's threads do not survive
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        ws_max_size=1 << 20,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=_GRACE,
        limit_concurrency=4 * service.limits.queue,
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    log.info(f"Serving {service.settings.name} on http://{shown}:{port} (page, API; /docs); Ctrl-C ends it.")
    _Server(config).run(sockets=[listening])
    log.info("The server has ended.")
