"""What the command lines share."""

import logging
import subprocess
import sys

from serjax import cli

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


def test_the_log_goes_to_standard_output_and_warnings_to_standard_error(capsys, caplog):
    for _ in range(2):  # a second command of the same process prints nothing twice
        cli.show_log()
    log = logging.getLogger("serjax.somewhere")
    log.info("[bold]epoch 1[/] :x: " + "long " * 40)
    log.warning("skipped: a.wav")
    log.debug("not told")
    printed = capsys.readouterr()
    assert printed.out == "[bold]epoch 1[/] :x: " + "long " * 40 + "\n"
    assert printed.err == "skipped: a.wav\n"
    assert caplog.messages[1:] == ["skipped: a.wav"]


def test_standard_output_is_left_to_answers(capsys):
    cli.show_log(stdout=False)
    logging.getLogger("serjax").info("a note")
    assert capsys.readouterr() == ("", "a note\n")


def test_a_library_prints_nothing():
    code = "import logging; import serjax; logging.getLogger('serjax').info('quiet')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
