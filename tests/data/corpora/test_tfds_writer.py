"""A corpus that is written as a set comes back as it was (extra `tfds`)."""

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from serjax.data.config import DataConfig
from serjax.data.corpora.read import read_corpus
from serjax.data.corpora.tfds_writer import to_16_bits, write_tfds
from serjax.data.store.clips import open_store
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError


@pytest.fixture
def store(tmp_path):
    """Return decoded clips that say all that a clip can, and one that says little."""
    facts = [
        {
            **{"speaker": "anna", "session": "1", "text": "all is well", "attributes": (("gender", "female"),)},
            **{"values": (("arousal", 3.25), ("tension", 1.0)), "votes": (("sad", 2.0), ("angry", 1.0))},
        },
        {"speaker": "ben", "attributes": (("gender", "male"), ("age", "30-39")), "votes": (("sad", 1.0),)},
        {},
    ]
    clips = []
    for number, known in enumerate(facts):
        samples = (3000 * np.sin(np.arange(1600 + number) / (5 + number))).astype(np.int16)
        soundfile.write(tmp_path / f"{number}.wav", samples, 16_000)
        label = ["sad", "angry"][number % 2]
        clips.append(Utterance(f"folder/clip {number}", tmp_path / f"{number}.wav", label, **known))
    return open_store(clips, tmp_path / "store", skip_bad=False)


@pytest.mark.readers
@pytest.mark.parametrize("form", ["array_record", "tfrecord"])
def test_clips_come_back(store, tmp_path, form):
    pytest.importorskip("tensorflow_datasets", reason="extra tfds")
    written = write_tfds(store, ("sad", "angry"), tmp_path / "sets", name="My corpus-2", form=form)
    assert (written.folder, written.clipped) == (tmp_path / "sets" / "my_corpus_2" / "1.0.0", 0)
    found = read_corpus(DataConfig(str(written.folder), "tfds", cache=str(tmp_path / "cache")))
    assert found.labels == ("sad", "angry")
    again = open_store(found.utterances, tmp_path / "again", skip_bad=False)
    for number, (clip, other) in enumerate(zip(store.utterances, found.utterances, strict=True)):
        for field in ("id", "label", "speaker", "session", "text", "attributes"):
            assert getattr(other, field) == getattr(clip, field)
        for field in ("values", "votes"):
            assert dict(getattr(other, field)) == dict(getattr(clip, field))
        assert np.array_equal(again.clip(number), store.clip(number))
    with pytest.raises(UserError, match=r"1\.0\.0: it is there already; choose another --version"):
        write_tfds(store, ("angry", "sad"), tmp_path / "sets", name="My corpus-2", form=form)


@pytest.mark.readers
def test_sets_that_cannot_be_written(store, tmp_path):
    pytest.importorskip("tensorflow_datasets", reason="extra tfds")
    with pytest.raises(UserError, match="--version two: it is no version; give three numbers"):
        write_tfds(store, ("angry", "sad"), tmp_path / "sets", name="x", version="two")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/sets: it cannot be written .*choose another folder with --out DIR"):
        write_tfds(store, ("angry", "sad"), tmp_path / "file" / "sets", name="x")


@given(arrays(np.int16, st.integers(0, 50)))
def test_samples_of_16_bits_come_back(samples):
    whole, beyond = to_16_bits(samples.astype(np.float32) / 32768)
    assert np.array_equal(whole, samples)
    assert not beyond


def test_samples_beyond_full_scale_are_counted():
    samples = np.array([0, 0.5, -1, 1, 1.001, -1.5, 1 / 2**16 + 1e-6], np.float32)
    whole, beyond = to_16_bits(samples)
    assert whole.tolist() == [0, 16384, -32768, 32767, 32767, -32768, 1]
    assert beyond
    assert not to_16_bits(samples[:4])[1]
