"""SIGTERM, by which clusters announce that a machine is taken away: training stops after a step, saves and ends."""

import contextlib
import itertools
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from serjax.runtime import distributed


class Terminated(KeyboardInterrupt):
    """The program was asked to end by SIGTERM; what is running cleans up as after Ctrl-C."""


_asked = threading.Event()
_steps = itertools.count()
_waits = False


def heed_sigterm() -> None:
    """Let SIGTERM raise `Terminated`, or stop training after its step.

    Among several processes it is JAX that takes the signal and finds the step after which all of them stop.
    """
    signal.signal(signal.SIGTERM, _note)


def _note(_number: int, _frame: FrameType | None) -> None:
    if not _waits or _asked.is_set():
        raise Terminated
    _asked.set()


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM wait for the next `stop_asked` while the block runs, saving included.

    Raised inside of Orbax, it would leave a write that nobody ends and everybody waits for.
    """
    global _waits
    _waits = True
    try:
        yield
    finally:
        _waits = False


def stop_asked() -> bool:
    """Return whether to save and raise `Terminated` now; every process asks after each of its steps."""
    if distributed.several():
        # The command line imports this module before JAX.
        from jax.experimental import multihost_utils

        # JAX says so of one step alone, the last of an epoch perhaps.
        if multihost_utils.reached_preemption_sync_point(next(_steps)):
            _asked.set()
    return _asked.is_set()
