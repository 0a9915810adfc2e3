"""A job's command: its output goes to a file, and it is told to stop."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from serjax.runs.study.jobs import run_job


def test_output_and_status_are_the_command_s(tmp_path):
    log = tmp_path / "deep" / "a.log"
    assert run_job([sys.executable, "-c", "print('said'); raise SystemExit(3)"], str(log)) == 3
    run_job([sys.executable, "-c", "import sys; print('more', file=sys.stderr)"], str(log))
    assert log.read_text().splitlines() == ["said", "more"]


def test_the_command_is_told_to_stop_with_the_job(tmp_path, monkeypatch):
    code = """if True:
        import signal, sys, time
        def stop(*_):
            print("saved", flush=True)
            sys.exit(143)
        signal.signal(signal.SIGTERM, stop)
        print("ready", flush=True)
        time.sleep(60)
    """
    log = tmp_path / "a.log"
    wait = subprocess.Popen.wait

    def stopped(process, timeout=None):
        monkeypatch.setattr(subprocess.Popen, "wait", wait)
        ready = threading.Event()
        while not (log.is_file() and "ready" in log.read_text()):
            ready.wait(0.05)
        os.kill(os.getpid(), signal.SIGINT)
        ready.wait(5)

    monkeypatch.setattr(subprocess.Popen, "wait", stopped)
    # A command that was tested before may have left a handler of its own.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_job([sys.executable, "-c", code], str(log))
    finally:
        signal.signal(signal.SIGINT, before)
    assert log.read_text().splitlines() == ["ready", "saved"]
