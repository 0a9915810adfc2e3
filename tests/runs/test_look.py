"""A look at a corpus: its files hold the numbers that it returns, and only a look at the same root is replaced."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from serjax.data.config import DataConfig
from serjax.runs.look import NUMBERS, PAGE, look
from serjax.runtime.errors import UserError

SHARED = Path(__file__).parents[2] / "../shared/data"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two classes with three faults: a silent clip, inverted channels, and no sound file."""
    root = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    for label in ("calm", "sad"):
        (root / label).mkdir()
        for n in range(3):
            soundfile.write(root / label / f"clip{n}.wav", 0.1 * rng.standard_normal(9600), 16000)
    wave = 0.1 * rng.standard_normal(9600)
    soundfile.write(root / "sad" / "inverted.wav", np.stack([wave, -wave], 1), 16000)
    soundfile.write(root / "sad" / "zero.wav", np.zeros(9600), 16000)
    (root / "sad" / "text.wav").write_text("nothing")
    return root


def kinds(report):
    return [one["kind"] for one in report["suspicions"]]


def test_the_files_hold_what_is_returned(corpus, tmp_path):
    report = look(DataConfig(root=str(corpus)), out=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [PAGE, NUMBERS]
    assert json.loads((tmp_path / "out" / NUMBERS).read_text()) == report
    page = (tmp_path / "out" / PAGE).read_text()
    for one in report["suspicions"]:
        assert one["kind"] in {
            "unreadable",
            "no_speakers",
            "few_clips",
            "silent",
            "cancelled_channels",
            "mixed_channels",
        }
    assert len(report["suspicions"]) == 6
    assert kinds(report)[0] == "unreadable"
    assert "data:image/png;base64," in page


def test_names_alone_open_no_file(corpus, monkeypatch):
    monkeypatch.setattr("serjax.data.look.measured.measure", None)
    report = look(DataConfig(root=str(corpus)), decode=False)
    assert report["sound"] is None
    assert kinds(report) == ["no_speakers", "few_clips"]


def test_only_a_look_at_the_same_root_is_replaced(corpus, tmp_path):
    first = shutil.copytree(corpus, tmp_path / "first")
    out = tmp_path / "out"
    look(DataConfig(root=str(first)), out=out, decode=False)
    (first / "sad" / "zero.wav").unlink()
    assert look(DataConfig(root=str(first)), out=out, decode=False)["clips"] == 8
    with pytest.raises(UserError, match="it holds a look at"):
        look(DataConfig(root=str(corpus)), out=out, decode=False)
    (out / NUMBERS).write_text("[]")
    with pytest.raises(UserError, match="of something else"):
        look(DataConfig(root=str(first)), out=out, decode=False)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings in ../shared/data are not here")
def test_real_corpora():
    emodb = look(DataConfig(root=str(SHARED / "emodb4")))
    assert kinds(emodb) == []
    assert (emodb["clips"], len(emodb["speakers"])) == (339, 10)
    ravdess = look(DataConfig(root=str(SHARED / "ravdess")))
    assert kinds(ravdess) == ["very_quiet", "copies"]
    # Both are in the corpus as published.
    same = ["Actor_07/03-01-03-01-02-01-07", "Actor_07/03-01-03-01-02-02-07"]
    assert ravdess["duplicates"] == [{"clips": same, "labels": ["happy"], "equal_bytes": True}]
    assert ravdess["seconds"] == pytest.approx(88.8 * 60, rel=1e-3)


def test_settings_are_checked(tmp_path):
    with pytest.raises(UserError, match="corpus is 'none'"):
        look(DataConfig(root=str(tmp_path), corpus="none"))
