"""SIGTERM and SIGHUP: at once where nothing waits for them, else after a step; a second one never waits."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from serjax.runtime import preemption
from serjax.runtime.preemption import Terminated, TerminatedAtOnce, heed_signals, stop_asked, stoppable


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    wakeup = signal.set_wakeup_fd(-1)
    # A runner of tests may have started them with it ignored.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    heed_signals(lambda: None)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    signal.set_wakeup_fd(wakeup)
    preemption._asked.clear()
    preemption._signalled = None


def terminate(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_what_runs(number):
    with pytest.raises(TerminatedAtOnce):
        terminate(number)
    assert not stop_asked()
    # What cleans up after Ctrl-C does so here.
    assert issubclass(Terminated, KeyboardInterrupt)


def signalled(*numbers, then=lambda: None):
    """Get signals where training waits for the end of a step, as loops do."""
    with stoppable():
        assert not stop_asked()
        for number in numbers:
            terminate(number)
        then()


def stop():
    if stop_asked():
        raise Terminated


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_waits_for_the_end_of_a_step(number):
    with pytest.raises(Terminated) as raised:
        signalled(number, then=stop)
    assert raised.type is Terminated
    assert stop_asked()


def test_signal_after_the_last_step_ends_what_follows():
    reached = []
    with pytest.raises(TerminatedAtOnce):
        signalled(signal.SIGTERM, then=lambda: reached.append("the end of the block"))
    assert reached


def test_a_second_signal_does_not_wait(monkeypatch):
    monkeypatch.setattr(preemption, "_SAME", 0.0)
    reached = []
    with pytest.raises(TerminatedAtOnce):
        signalled(signal.SIGTERM, signal.SIGTERM, then=lambda: reached.append("the end of the block"))
    assert not reached


def test_a_signal_that_comes_twice_is_one(monkeypatch):
    monkeypatch.setattr(preemption, "_SAME", 1000.0)
    with pytest.raises(Terminated) as raised:
        signalled(signal.SIGTERM, signal.SIGTERM, then=stop)
    assert raised.type is Terminated


def test_signal_that_waited_is_not_lost_with_an_error():
    def fail():
        raise ValueError("other")

    with pytest.raises(ValueError, match="other"):
        signalled(signal.SIGTERM, then=fail)
    with pytest.raises(Terminated):
        terminate()


def test_several_processes_remember_the_one_step_that_jax_tells(monkeypatch):
    told = iter([False, True, False])
    monkeypatch.setattr("serjax.runtime.distributed.several", lambda: True)
    monkeypatch.setattr("jax.experimental.multihost_utils.reached_preemption_sync_point", lambda step: next(told))
    assert [stop_asked() for _ in range(3)] == [False, True, True]


def test_jax_is_told_while_training_waits_and_finds_the_step(monkeypatch):
    told, asked = [], []
    monkeypatch.setattr("serjax.runtime.distributed.several", lambda: True)
    monkeypatch.setattr("jax.experimental.multihost_utils.reached_preemption_sync_point", lambda step: False)
    monkeypatch.setattr(preemption, "_tell_jax", told.append)
    with pytest.raises(TerminatedAtOnce):
        signalled(signal.SIGHUP, then=lambda: asked.append(stop_asked()))
    # All stop after the step that JAX names, not this process before the others.
    assert asked == [False]
    with pytest.raises(TerminatedAtOnce):
        terminate()
    assert told == [signal.SIGTERM]


def run(code, number, *, hangup="SIG_DFL"):
    """Return the exit status and the standard error of a program that gets a signal once it has printed a line."""
    begin = f"import signal, sys, time\nfrom serjax import cli\nsignal.signal(signal.SIGHUP, signal.{hangup})"
    code = f"{begin}\n{textwrap.dedent(code)}\ncli.run(main, 'stopped.')"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, error = process.communicate(timeout=120)
    return process.returncode, error


WAITING = """
def main(argv):
    try:
        print("ready", flush=True)
        time.sleep(600)
    finally:
        print("cleaned up", file=sys.stderr)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_command_cleans_up_and_ends_with_a_sentence(number):
    assert run(WAITING, number) == (143, "cleaned up\nstopped.\n")


def test_command_that_is_stuck_in_c_ends_too():
    code = """
    import ctypes

    def main(argv):
        mutex, libc = ctypes.create_string_buffer(256), ctypes.CDLL(None)
        libc.pthread_mutex_lock(mutex)
        print("ready", flush=True)
        # Waits forever, and no signal interrupts it.
        libc.pthread_mutex_lock(mutex)
    """
    assert run(code, signal.SIGTERM) == (143, "stopped.\n")


def test_signal_that_is_ignored_stays_so():
    code = """
    def main(argv):
        print("ready", flush=True)
        time.sleep(1)
        return 0
    """
    assert run(code, signal.SIGHUP, hangup="SIG_IGN") == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
@pytest.mark.parametrize("which", [(0,), (1,), (0, 1)])
def test_signal_to_one_process_ends_all_of_them(number, which):
    """The first computes what the other waits for, in a call of C."""
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    script = Path(__file__).with_name("waiting_process.py")
    processes = [
        subprocess.Popen(
            [sys.executable, script, str(port), str(index)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )
        for index in (0, 1)
    ]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    for index in which:
        processes[index].send_signal(number)
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [143, 143], errors
    assert "stopped." in errors[0]
    assert "Traceback" not in "".join(errors)
