"""The command line of a look: its options reach it, and the status says whether training would refuse the corpus."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from serjax.data.config import DataConfig
from serjax.look import main
from serjax.runs.look import look
from serjax.runtime.errors import UserError


@pytest.fixture
def corpus(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("calm", "sad"):
        (tmp_path / "clips" / label).mkdir(parents=True)
        for n in range(2):
            soundfile.write(tmp_path / "clips" / label / f"c{n}.wav", 0.1 * rng.standard_normal(9600), 16000)
    return tmp_path / "clips"


def test_options_become_settings(monkeypatch, corpus, capsys):
    given = {}

    def looked(data, **others):
        given.update(data=data, **others)
        return look(DataConfig(root=str(corpus)), decode=False)

    monkeypatch.setattr("serjax.runs.look.look", looked)
    options = ["--data.labels", "calm", "sad", "--data.columns", "label=emotion", "--data.audio-root", "there"]
    options += ["--data.max-clips", "9", "--no-decode", "--seed", "3", "--out", "here"]
    assert main(["DIR", *options]) == 0
    assert given.pop("data") == DataConfig(
        root="DIR", labels=("calm", "sad"), columns=("label=emotion",), audio_root="there", max_clips=9
    )
    assert given.pop("out").name == "here"
    assert given == {"decode": False, "seed": 3}
    assert "clips: 4 clips, speakers unknown, 2 classes, no sound was decoded." in capsys.readouterr().out


def test_the_page_has_a_folder_of_the_corpus_name(corpus, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([f"{corpus}/"]) == 0
    assert (tmp_path / "look-clips" / "look.html").is_file()
    assert "Suspicious: 2" in capsys.readouterr().out


def test_the_status_tells_of_what_training_refuses_and_of_a_stop(corpus, monkeypatch, tmp_path, capsys):
    (corpus / "sad" / "bad.wav").write_text("nothing")
    assert main([str(corpus), "--out", str(tmp_path / "out")]) == 2
    assert "refused by training: 1 clip cannot be decoded" in capsys.readouterr().out
    stopped = look(DataConfig(root=str(corpus)), decode=False) | {"stopped": True, "measured": 4}
    monkeypatch.setattr("serjax.runs.look.look", lambda *_, **__: stopped)
    assert main([str(corpus)]) == 130
    assert "Stopped: sound is that of 4 clips" in " ".join(capsys.readouterr().out.split())


def test_a_folder_is_needed():
    with pytest.raises(UserError, match="DIR"):
        main([])


STOPPING = """
import os, signal, sys
from serjax import cli, look
from serjax.data.look import measured

own, seen = measured.measure, []

def measure(*given, **named):
    seen.append(given)
    if len(seen) == 2:
        os.kill(os.getpid(), signal.SIGINT)
    return own(*given, **named)

measured.measure = measure
cli.run(look.main)
"""


@pytest.mark.slow
def test_ctrl_c_shows_what_was_measured(corpus, tmp_path):
    names = [f"{label}/n{n}.wav" for label in ("calm", "sad") for n in range(200)]
    for name in names:
        os.link(corpus / "sad" / "c0.wav", corpus / name)
    command = [sys.executable, "-c", STOPPING, str(corpus), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert "Stopped: sound is that of" in " ".join(done.stdout.split())
    report = json.loads((tmp_path / "out" / "look.json").read_text())
    assert report["stopped"]
    assert report["measured"] < report["clips"] == 404
