"""SIGTERM: at once where nothing waits for it, else after a step; a second one never waits."""

import os
import signal

import pytest

from serjax.runtime import preemption
from serjax.runtime.preemption import Terminated, heed_sigterm, stop_asked, stoppable


@pytest.fixture(autouse=True)
def handler():
    before = signal.getsignal(signal.SIGTERM)
    heed_sigterm()
    yield
    signal.signal(signal.SIGTERM, before)
    preemption._asked.clear()


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_ends_what_runs():
    with pytest.raises(Terminated):
        terminate()
    assert not stop_asked()
    # What cleans up after Ctrl-C does so here.
    assert issubclass(Terminated, KeyboardInterrupt)


def test_sigterm_waits_for_the_end_of_a_step():
    with stoppable():
        assert not stop_asked()
        terminate()
        assert stop_asked()
    assert stop_asked()


def test_a_second_sigterm_does_not_wait():
    with stoppable():
        terminate()
        with pytest.raises(Terminated):
            terminate()


def test_sigterm_that_waited_is_not_lost_with_an_error():
    with pytest.raises(ValueError, match="other"), stoppable():
        raise ValueError("other")
    with pytest.raises(Terminated):
        terminate()


def test_several_processes_remember_the_one_step_that_jax_tells(monkeypatch):
    told = iter([False, True, False])
    monkeypatch.setattr("serjax.runtime.distributed.several", lambda: True)
    monkeypatch.setattr("jax.experimental.multihost_utils.reached_preemption_sync_point", lambda step: next(told))
    assert [stop_asked() for _ in range(3)] == [False, True, True]
