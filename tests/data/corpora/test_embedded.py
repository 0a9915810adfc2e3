"""Sound that lies in tables: written once, by its contents, and back bit for bit."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from serjax.audio.decode import decode
from serjax.data.corpora.embedded import EmbeddedFiles
from serjax.runtime.errors import UserError

TONE = (3000 * np.sin(np.arange(1600) / 5)).astype(np.int16)


def test_a_recording_is_written_once(tmp_path):
    store = EmbeddedFiles(tmp_path)
    first = store.put_samples(TONE, 16_000, "a/b 1", "clip 1")
    assert store.put_samples(TONE.astype(np.int64), 16_000, "a/b 1", "clip 2") == first
    assert store.written == 1
    assert [path for path in store.folder.rglob("*") if path.is_file()] == [first]
    assert EmbeddedFiles(tmp_path).put(first.read_bytes(), "a/b 1") == first
    assert first.name.endswith("-a_b_1.wav")


def test_a_file_that_a_stop_left_short_is_written_anew(tmp_path):
    store = EmbeddedFiles(tmp_path)
    path = store.put_samples(TONE, 16_000, "a", "clip")
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    assert EmbeddedFiles(tmp_path).put(whole, "a").read_bytes() == whole


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (TONE, TONE / 32768),
        (np.stack([TONE, TONE], axis=1), TONE / 32768),
        ((TONE / 40000).astype(np.float32), TONE / 40000),
    ],
    ids=["16 bits", "two channels", "floats"],
)
def test_samples_come_back(tmp_path, samples, expected):
    path = EmbeddedFiles(tmp_path).put_samples(samples, 16_000, "a", "clip")
    assert np.array_equal(decode(path), expected.astype(np.float32))


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "AIFF", "AU", "MP3"])
def test_the_suffix_follows_from_the_contents(tmp_path, form):
    soundfile.write(tmp_path / "sound", TONE, 16_000, format=form)
    path = EmbeddedFiles(tmp_path).put((tmp_path / "sound").read_bytes(), "name.xyz")
    assert path.suffix == f".{form.lower()}"
    assert len(decode(path)) == pytest.approx(1600, abs=100)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.array([0, 70_000]), "clip 3: its samples lie between 0 and 70000, which 16 bits do not hold"),
        (np.zeros((2, 2, 2), np.int16), "clip 3: its samples have the shape"),
        (np.zeros(5, bool), "clip 3: its samples are of type bool"),
    ],
)
def test_samples_that_cannot_be(tmp_path, samples, message):
    with pytest.raises(UserError, match=message):
        EmbeddedFiles(tmp_path).put_samples(samples, 16_000, "a", "clip 3")


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    store = EmbeddedFiles(tmp_path)
    with pytest.raises(UserError, match=r"the disk is full .* another disk with --data\.cache DIR\.") as told:
        store.put_samples(TONE, 16_000, "a", "clip")
    assert "\n" not in str(told.value)
    assert not [path for path in Path(store.folder).rglob("*") if path.is_file()]
