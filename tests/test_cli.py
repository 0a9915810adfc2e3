"""What the command lines share."""

import errno
import io
import logging
import os
import subprocess
import sys
import threading

import pytest

from serjax import cli
from serjax.runtime.errors import UserError
from serjax.runtime.version import __version__

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


QUICK = """
import importlib, sys
main = importlib.import_module(sys.argv[1]).main
from serjax.runtime.errors import UserError
try:
    main(sys.argv[2:])
except (UserError, SystemExit) as error:
    print(error, sorted({"jax", "flax", "sklearn", "scipy", "matplotlib"} & set(sys.modules)))
"""
NO_OPTION = "--nonsense: there is no such option;"


@pytest.mark.parametrize(
    ("command", "arguments", "answer"),
    [
        ("train", ["--nonsense"], "--exp is missing"),
        ("train", ["--exp", "quickstart", "--nonsense"], NO_OPTION),
        ("pretrain", ["--exp", "tapt_hubert", "--nonsense"], NO_OPTION),
        ("plan", ["--on", "local", "--exp", "quickstart", "--nonsense"], NO_OPTION),
        ("evaluate", ["--nonsense"], NO_OPTION),
        ("predict", ["--nonsense"], NO_OPTION),
        ("compare", ["--nonsense"], NO_OPTION),
        ("gather", ["--nonsense"], NO_OPTION),
    ],
)
def test_an_unknown_option_is_answered_before_anything_heavy_is_imported(command, arguments, answer):
    code = [sys.executable, "-c", QUICK, f"serjax.{command}", *arguments]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(answer), done.stderr
    assert done.stdout.endswith(" []\n")


def test_serjax_lists_its_commands(capsys):
    assert cli.main([]) == 0
    printed = capsys.readouterr().out
    for name, text in {"train": "Train the folds of an experiment", "compare": "Differences of finished runs"}.items():
        assert any(line.split() == [name, *line.split()[1:]] and text in line for line in printed.splitlines())


def test_every_command_has_a_text():
    found = cli.commands()
    assert {"compare", "evaluate", "gather", "plan", "predict", "pretrain", "train"} <= found.keys()
    assert not {"cli", "__init__"} & found.keys()
    assert all(found.values())


@pytest.mark.parametrize(("name", "answer"), [("trian", "did you mean train?"), ("zzz", "there are compare, ")])
def test_a_mistyped_command_is_answered_with_the_nearest(name, answer):
    with pytest.raises(UserError, match="there is no such command") as raised:
        cli.main([name, "--exp", "x"])
    assert answer in str(raised.value)


def test_a_full_standard_error_costs_nothing(monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    cli.say("a note")


def test_an_interruption_takes_nothing_apart_that_could_crash():
    code = (
        "import atexit, os\nfrom serjax import cli\natexit.register(os.abort)\ndef main(_): raise KeyboardInterrupt\n"
    )
    done = subprocess.run([sys.executable, "-c", code + "cli.run(main)"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "stopped.\n")


SCRIPT = "import sys; from serjax.cli import script; sys.argv = ['serjax', *sys.argv[1:]]; script()"


@pytest.mark.parametrize(
    ("arguments", "status", "out", "err"),
    [
        (["--version"], 0, f"serjax {__version__}\n", ""),
        (["train", "--exp", "nope"], 2, "", "there is no such experiment"),
        (["predict", "--jsn"], 2, "", "did you mean --json?"),
        (["predikt"], 2, "", "did you mean predict?"),
    ],
)
def test_the_script_runs_a_command_with_its_arguments_and_status(arguments, status, out, err):
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, out)
    assert err in done.stderr
    assert "Traceback" not in done.stderr


def test_output_that_nobody_reads_any_more_ends_it_without_a_word():
    code = "from serjax import cli\ncli.run(lambda argv: [print(number, flush=True) for number in range(9_999)][-1])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_control_characters_are_never_printed_raw(capsys):
    cli.say("a\x1b[31mb")
    assert "\x1b" not in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_is_skipped_with_a_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SERJAX_CACHE", str(tmp_path / "file" / "cache"))
    cli.compilation_cache()
    assert "so that each start compiles anew" in capsys.readouterr().err


def test_threads_that_break_off_print_nothing_after_the_last_sentence(monkeypatch, capfd):
    left = []
    monkeypatch.setattr(os, "_exit", left.append)
    monkeypatch.setattr(threading, "_shutdown", lambda: os.write(2, b"RuntimeError: Event loop is closed"))
    print("stopped", file=sys.stderr)
    cli._leave(130)
    assert left == [130]
    assert capfd.readouterr().err == "stopped\n"
