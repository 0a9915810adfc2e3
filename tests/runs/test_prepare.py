"""From recordings to a set: what is read, decoded and written, and what is refused before anything is decoded."""

import sys

import numpy as np
import pytest
import soundfile

from serjax.data.config import DataConfig
from serjax.runs.prepare import prepare
from serjax.runtime.errors import UserError


@pytest.fixture
def recordings(tmp_path):
    """Return RAVDESS clips of two actors by their names, of another rate."""
    tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 48_000)
    for actor in (1, 2):
        for emotion in (3, 4):
            path = tmp_path / "RAVDESS" / f"03-01-0{emotion}-01-01-01-{actor:02d}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, 0.1 * actor * tone, 48_000)
    return tmp_path / "RAVDESS"


@pytest.mark.readers
def test_a_corpus_is_written(recordings, tmp_path, caplog):
    pytest.importorskip("tensorflow_datasets", reason="extra tfds")
    bad = recordings / "03-01-03-02-01-01-01.wav"
    bad.write_bytes(b"nothing")
    config = DataConfig(str(recordings), cache=str(tmp_path / "cache"), skip_bad=True)
    with caplog.at_level("INFO", "serjax"):
        folder = prepare(config, tmp_path / "sets")
    assert folder == tmp_path / "sets" / "ravdess" / "1.0.0"
    assert (folder / "dataset_info.json").is_file()
    assert "4 clips, 2 speakers, 2 classes (happy 2, sad 2)." in caplog.text
    assert f"skipped: {bad}" in caplog.text


def test_what_is_refused_at_once(recordings, tmp_path, monkeypatch):
    config = DataConfig(str(recordings), cache=str(tmp_path / "cache"))
    with pytest.raises(UserError, match="a set is written on a disk; give a folder, and copy it to the bucket then"):
        prepare(config, "gs://bucket/sets")
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r"written by tensorflow-datasets, which is not installed; .*serjax\[tfds\]"):
        prepare(config, tmp_path / "sets")
    assert not (tmp_path / "cache").exists()
