"""The command line of live answers: JSON lines where it is piped, bars on a terminal, and an end by Ctrl-C."""

import json
import logging
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile
from rich.console import Console
from saved_runs import write_run

from serjax.audio.capture import Captured, Device, Sound
from serjax.inference.load import load
from serjax.listen import main
from serjax.runtime.errors import UserError
from serjax.runtime.preemption import Terminated


@pytest.fixture(autouse=True)
def _log(monkeypatch, caplog):
    # The command's own handler and level would stay for other tests, as those of other commands do for these.
    monkeypatch.setattr(logging.getLogger("serjax"), "handlers", [])
    monkeypatch.setattr("serjax.cli.show_log", lambda **_: None)
    caplog.set_level(logging.INFO, "serjax")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_run(folder, max_seconds=0.5)
    return str(folder)


def heard(monkeypatch, pieces, rate=16_000):
    """Let the microphone give these pieces."""

    @contextmanager
    def microphone(device):
        yield Sound(device or "Headset", rate, iter(pieces))

    monkeypatch.setattr("serjax.audio.capture.microphone", microphone)


def pieces(count, size=2_000, level=0.1, lost=0):
    wave = np.random.default_rng(0).normal(0, 1, (count * size, 1)).astype(np.float32) * level
    now = time.monotonic()
    return [Captured(wave[size * i : size * (i + 1)], now, lost if i == 1 else 0) for i in range(count)]


def test_piped_answers_are_json_lines_of_the_timeline(run, monkeypatch, capsys, caplog):
    given = pieces(8)
    heard(monkeypatch, given)
    assert main([run, "--window", "0.5", "--hop", "0.25", "--device", "Webcam"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    line = load(run).timeline((np.concatenate([one.samples for one in given]), 16_000), 0.5, 0.25)
    assert [(one["start"], one["end"]) for one in found] == [(0, 0.25), *((row.start, row.end) for row in line.rows)]
    for one, row in zip(found[1:], line.rows, strict=True):
        scores = {entry["label"]: entry["score"] for entry in one["scores"]}
        np.testing.assert_allclose([scores[label] for label in line.labels], row.score, rtol=0, atol=1e-5)
        assert one["uncertainty"] == pytest.approx(row.uncertainty, abs=1e-4)
        assert (one["skipped"], one["delay_s"] > 0) == (0, True)
        assert one["level_db"] == pytest.approx(-20, abs=0.5)
    assert caplog.messages == ["Webcam: windows of 0.5 s every 0.25 s; Ctrl-C ends it."]


def test_what_is_left_out_is_told(run, monkeypatch, capsys, caplog):
    slow = [Captured(np.zeros((16_000, 1), np.float32), time.monotonic(), 2)]
    heard(monkeypatch, slow)
    assert main([run, "--hop", "0.25"]) == 0
    (found,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (found["skipped"], found["level_db"], found["end"]) == (3, None, 1)
    assert caplog.messages[1:] == [
        "3 of 4 windows were skipped: an answer took longer than the hop of 0.25 s; give a longer --hop, or --dtype "
        "bfloat16.",
        "The microphone dropped samples 2 times; times after that are early by as much.",
        "All of it was silence: the microphone may be muted, or another one; see --list-devices.",
    ]


def test_sound_that_ends_at_once_is_told(run, monkeypatch, capsys, caplog):
    heard(monkeypatch, [])
    assert main([run]) == 0
    assert caplog.messages[-1] == "Nothing was answered: the sound ended before the first hop."


def test_a_terminal_gets_bars(run, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("serjax.runtime.progress.console", Console(file=sys.stdout, force_terminal=True, width=100))
    heard(monkeypatch, [*pieces(4), Captured(np.zeros((16_000, 1), np.float32), time.monotonic())])
    assert main([run, "--hop", "0.25"]) == 0
    shown = capsys.readouterr().out
    for text in ("angry", "█", "0.0 to 0.5 s, answered", "uncertainty", "level -20 dB", "(silence)", "windows skipped"):
        assert text in shown


def test_ctrl_c_is_the_end_and_a_signal_is_no_ctrl_c(run, monkeypatch, capsys):
    def until(error):
        yield from pieces(4)
        raise error

    heard(monkeypatch, until(KeyboardInterrupt()))
    assert main([run]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    heard(monkeypatch, until(Terminated()))
    with pytest.raises(Terminated):
        main([run])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no model is named; give the folder of a run"),
        (
            ["RUN", "--file", "x.wav", "--device", "1"],
            "--file plays a recording in place of a microphone; leave --device",
        ),
        (["RUN", "--file", "missing.wav"], "missing.wav: it cannot be opened"),
        (["RUN", "--hop", "2"], "hop: got 2 s; give more than 0 and at most the window of 0.5 s"),
        (["RUN", "--windows", "2"], "--windows: there is no such option; did you mean --window"),
    ],
)
def test_bad_options_are_a_sentence(run, monkeypatch, options, message):
    heard(monkeypatch, [])
    with pytest.raises(UserError, match=message):
        main([run if one == "RUN" else one for one in options])


def test_devices_are_listed(monkeypatch, capsys):
    found = [Device(3, "Headset", 1, 44_100, True)]
    monkeypatch.setattr("serjax.audio.capture.devices", lambda: found)
    assert main(["--list-devices"]) == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("3", "Headset", "44100 Hz", "default"))
    found.clear()
    with pytest.raises(UserError, match="this machine has no microphone that PortAudio knows"):
        main(["--list-devices"])


@pytest.mark.slow
def test_a_file_is_played_until_ctrl_c(run, tmp_path):
    soundfile.write(tmp_path / "x.wav", np.random.default_rng(0).normal(0, 0.1, 16_000 * 60), 16_000)
    command = [sys.executable, "-m", "serjax.listen", run, "--file", str(tmp_path / "x.wav"), "--hop", "0.25"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as listening:
        lines = [json.loads(listening.stdout.readline()) for _ in range(3)]
        listening.send_signal(signal.SIGINT)
        rest, errors = listening.communicate(timeout=60)
    assert listening.returncode == 0, errors
    ends = [one["end"] for one in lines]
    assert ends == sorted(set(ends))
    assert len(rest.splitlines()) < 20
    assert "Traceback" not in errors
