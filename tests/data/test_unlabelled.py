"""Recordings without labels: all below a folder, by names below it; clips that are known are left out."""

import numpy as np
import pytest
import soundfile

from serjax.data.config import DataConfig
from serjax.data.unlabelled import fresh_clips, open_unlabelled
from serjax.runtime.errors import UserError


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("calls/a.wav", "calls/deep/b.flac", "c.wav"):
        (tmp_path / "other" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "other" / name, rng.normal(0, 0.1, 2_000), 16_000)
    return tmp_path / "other"


def test_every_sound_below_a_folder_is_read_and_none_has_a_label(folder, tmp_path):
    store = open_unlabelled(folder, "--domain.root", DataConfig(), tmp_path / "cache")
    assert {clip.id for clip in store.utterances} == {"other/calls/a", "other/calls/deep/b", "other/c"}
    assert {(clip.label, clip.speaker) for clip in store.utterances} == {("", None)}
    assert store.lengths.tolist() == [2_000] * 3


def test_a_folder_that_is_not_there_and_a_broken_file_are_named(folder, tmp_path, caplog):
    with pytest.raises(UserError, match=r"^--domain\.root \S*nowhere: there is no such folder"):
        open_unlabelled(tmp_path / "nowhere", "--domain.root", DataConfig(), tmp_path / "cache")
    (folder / "bad.wav").write_bytes(b"")
    with pytest.raises(UserError, match=r"1 of 4 clips cannot be used"):
        open_unlabelled(folder, "--domain.root", DataConfig(), tmp_path / "cache")
    assert len(open_unlabelled(folder, "--domain.root", DataConfig(skip_bad=True), tmp_path / "cache")) == 3
    assert "skipped: " in caplog.text


def test_clips_whose_samples_are_known_are_left_out(folder, tmp_path, caplog):
    caplog.set_level("INFO")
    store = open_unlabelled(folder, "--domain.root", DataConfig(), tmp_path / "cache")
    assert fresh_clips(store, frozenset(), "--domain.root") == (0, 1, 2)
    assert fresh_clips(store, frozenset(store.hashes[:1]), "--domain.root") == (1, 2)
    assert "1 clips of --domain.root are clips of --data.root too; they are left out." in caplog.text
    with pytest.raises(UserError, match=r"^--domain\.root: all its 3 clips are clips of --data\.root too"):
        fresh_clips(store, frozenset(store.hashes), "--domain.root")
