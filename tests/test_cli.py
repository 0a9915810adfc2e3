"""What the command lines share."""

import subprocess
import sys

LOST = """
import gc, signal, time
from serjax import cli

signal.signal(signal.SIGINT, signal.default_int_handler)

def main(argv):
    def pressed_while_collecting(phase, info):
        gc.callbacks.remove(pressed_while_collecting)
        signal.raise_signal(signal.SIGINT)
    gc.callbacks.append(pressed_while_collecting)
    gc.collect()
    time.sleep(60)
    return 0

cli.run(main, "stopped, and said so.")
"""


def test_ctrl_c_in_a_callback_that_cannot_raise_is_not_lost():
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (130, "stopped, and said so.\n")
