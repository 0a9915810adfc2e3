"""`python -m serjax.prepare` passes its options on, and prints the folder of the set."""

from pathlib import Path

import pytest

import serjax.runs.prepare
from serjax.data.config import DataConfig
from serjax.prepare import main
from serjax.runtime.errors import UserError


def test_options_become_settings(monkeypatch, capsys, tmp_path):
    asked = []

    def prepare(config, out, **given):
        asked.append((config, out, given))
        return Path("sets/x/2.0.0")

    monkeypatch.setattr(serjax.runs.prepare, "prepare", prepare)
    options = ["--name", "x", "--version", "2.0.0", "--format", "tfrecord", "--data.columns", "label=mood", "id=key"]
    more = ["--data.corpus", "hf", "--data.split", "train", "--data.labels", "sad", "angry", "--data.skip-bad"]
    assert main(["owner/set", "--out", "sets", *options, *more]) == 0
    config = DataConfig(
        "owner/set", "hf", split="train", columns=("label=mood", "id=key"), labels=("sad", "angry"), skip_bad=True
    )
    assert asked == [(config, "sets", {"name": "x", "version": "2.0.0", "form": "tfrecord"})]
    assert capsys.readouterr().out == "sets/x/2.0.0\n"


def test_a_mistyped_option_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"--data\.colums: there is no such option; did you mean --data\.columns\?"):
        main(["x", "--out", "y", "--data.colums", "a=b"])
