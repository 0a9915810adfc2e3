"""SIGTERM, by which clusters announce that a machine is taken away, and SIGHUP of a terminal that is closed.

Training stops after a step, saves and ends; all else ends at once, and so does what gets a second signal.
"""

import contextlib
import ctypes
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from serjax.runtime import distributed


class Terminated(KeyboardInterrupt):
    """The program was asked to end by a signal; what is running cleans up as after Ctrl-C."""


class TerminatedAtOnce(Terminated):
    """It ends where it stands: other processes of the run have not agreed on it, as they do on a step of training."""


_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_GRACE = 3.0
"""Seconds for the main thread to take a signal: Python does so between two calls of C, such as one that compiles."""

_SAME = 1.0
"""Seconds within which a second signal is the first one again: SLURM signals a task, and srun passes on its own."""

_asked = threading.Event()
"""To stop after this step: this process was asked to, or where there are several, all of them agreed on it."""
_steps = itertools.count()
_waits = False
_signalled: float | None = None
"""When the main thread took the first signal, as `time.monotonic` counts."""
_tell_jax: Callable[[int], None] | None = None
"""JAX's own handler of SIGTERM, by which it finds a step after which all processes stop."""


def heed_signals(end: Callable[[], None]) -> None:
    """Let SIGTERM and SIGHUP raise `TerminatedAtOnce`, or stop training after its step.

    A signal that is ignored, as SIGHUP is under nohup, stays so.

    Args:
        end: says so and ends the process; called by another thread where the main one is stuck in a call of C, such as
            one that waits for other processes.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _note)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    # Else signals of a child would be taken for those of this process.
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
    threading.Thread(target=_end_what_is_stuck, args=(read, end), daemon=True, name="signals").start()


def heed_signals_among_processes() -> None:
    """Take SIGTERM back from JAX, which takes it where processes are joined, and hand it on while training waits."""
    global _tell_jax
    if signal.getsignal(signal.SIGTERM) is not _note:
        return
    theirs = _handler()
    signal.signal(signal.SIGTERM, _note)
    for number in _SIGNALS:
        signal.siginterrupt(number, False)  # as with JAX's handler: no call of its connections is broken off
    if theirs not in (_handler(), None, 0, 1):  # default, ignored
        _tell_jax = ctypes.CFUNCTYPE(None, ctypes.c_int)(theirs)


def _handler() -> int | None:
    """Return the address of the C function that SIGTERM calls, with which `struct sigaction` begins."""
    found = (ctypes.c_void_p * 64)()
    ctypes.CDLL(None).sigaction(int(signal.SIGTERM), None, found)
    return found[0]


def _note(_number: int, _frame: FrameType | None) -> None:
    global _signalled
    again = _again(_signalled)
    first, _signalled = _signalled is None, _signalled or time.monotonic()
    if not _waits or again or (distributed.several() and _tell_jax is None):
        raise TerminatedAtOnce
    if not first:
        return
    if _tell_jax is not None:
        _tell_jax(signal.SIGTERM)
    else:
        _asked.set()


def _again(since: float | None) -> bool:
    """Return whether a signal that comes now is a second one, after the first came at `since`."""
    return since is not None and time.monotonic() - since >= _SAME


def _end_what_is_stuck(pipe: int, end: Callable[[], None]) -> None:
    """End the process where the main thread does not take a signal, or has not ended after a second one."""
    since = None
    while numbers := os.read(pipe, 4096):
        if not set(numbers) & set(_SIGNALS):
            continue
        again = _again(since)
        since = since or time.monotonic()
        if _waits and not again:
            continue
        time.sleep(_GRACE)
        if again or _signalled is None:
            end()


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let a signal wait for the next `stop_asked` while the block runs, saving included.

    Raised inside of Orbax, it would leave a write that nobody ends and everybody waits for.

    Raises:
        TerminatedAtOnce: after the block, where a signal came and no step was left to stop after.
    """
    global _waits
    _waits = True
    try:
        yield
    finally:
        _waits = False
    if _signalled is not None:
        raise TerminatedAtOnce


def stop_asked() -> bool:
    """Return whether to save and raise `Terminated` now; every process asks after each of its steps."""
    if distributed.several():
        # The command line imports this module before JAX.
        from jax.experimental import multihost_utils

        # JAX says so of one step alone, the last of an epoch perhaps.
        if multihost_utils.reached_preemption_sync_point(next(_steps)):
            _asked.set()
    return _asked.is_set()
