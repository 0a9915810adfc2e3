"""The platform that programs are compiled for, by which models choose among formulations of one computation."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import jax

_named: ContextVar[str | None] = ContextVar("platform", default=None)


def target_platform() -> str:
    """Return the platform that is compiled for: cpu, tpu, gpu, as `jax.default_backend` says unless told otherwise."""
    return _named.get() or jax.default_backend()


@contextlib.contextmanager
def compiling_for(platform: str) -> Iterator[None]:
    """Trace what is compiled inside for another platform than this process has, such as a TPU that is elsewhere.

    A function that JAX has traced before is not traced again: compile one that was made inside.

    Args:
        platform: cpu, tpu or gpu.
    """
    token = _named.set(platform)
    try:
        yield
    finally:
        _named.reset(token)
