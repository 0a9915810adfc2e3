"""Errors of devices that run out of memory, as sentences."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from serjax.runtime.errors import UserError


@contextmanager
def memory_errors(what: str, remedy: str) -> Iterator[None]:
    """Turn an error of a device that is out of memory into a sentence; others pass.

    Args:
        what: is computed inside, such as "600 s of sound at once". Results must be fetched inside, too.
        remedy: what to do, after a semicolon.

    Raises:
        UserError: there is not enough memory.
    """
    try:
        yield
    except MemoryError:
        raise UserError(f"there is not enough memory for {what}; {remedy}.") from None
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower():
            raise UserError(f"there is not enough memory for {what}; {remedy}.") from None
        raise
