"""A job of an engine: one command, whose output goes to a file; workers import nothing else of serjax for it."""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

PATIENCE = 30.0
"""Seconds that a command that is to stop has for saving its state."""


def run_job(command: Sequence[str], log: str) -> int:
    """Run a command, and return its exit status; where the job is to stop, the command is told first.

    Args:
        command: the words.
        log: file that its output is added to; its folder is made.
    """
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            return process.wait()
        except BaseException:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
