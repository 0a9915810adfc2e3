"""Embeddings of many clips are computed once each, and a stop costs nothing that was done."""

import numpy as np
import pytest
import soundfile

from serjax.inference.clips import Named
from serjax.inference.embedded import EmbeddingCache, embed_clips
from serjax.inference.inputs import Sample, read_sound
from serjax.runtime.errors import MissingPackage, UserError


class Lengths:
    """Embeds a clip as its number of samples; counts what it computes."""

    def __init__(self, stop_after=None):
        self.computed, self.stop_after = [], stop_after

    def read(self, path):
        return Sample(read_sound(path)[0], notes=(f"{path}: odd.",) if "odd" in path else ())

    def pieces(self, wave):
        return [wave] * (1 + len(wave) // 16_000)

    def embed(self, samples):
        for place in reversed(range(len(samples))):
            if len(self.computed) == self.stop_after:
                raise KeyboardInterrupt
            self.computed.append(len(samples[place].wave))
            yield place, np.array([len(samples[place].wave)], np.float32)


@pytest.fixture
def clips(tmp_path):
    """Five clips, of which the last is a copy of the first under another name, and the third is empty."""
    rng = np.random.default_rng(0)
    found = []
    for name, length in (("a", 8_000), ("odd", 9_000), ("bad", 0), ("c", 20_000)):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, rng.normal(0, 0.1, length), 16_000)
        found.append(Named(path.name, str(path)))
    (tmp_path / "bad.wav").write_bytes(b"")
    (tmp_path / "copy.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    return [*found, Named("copy.wav", str(tmp_path / "copy.wav"))]


def test_each_sound_is_computed_once(clips, tmp_path):
    cache, embedder = EmbeddingCache(tmp_path / "cache", "key"), Lengths()
    rows = embed_clips(embedder, clips, cache)
    assert sorted(embedder.computed) == [8_000, 9_000, 20_000]
    assert [row.name for row in rows] == [clip.name for clip in clips]
    assert rows[0].digest == rows[4].digest != rows[1].digest
    assert [cache[row.digest].tolist() for row in rows if row.error is None] == [[8000], [9000], [20000], [8000]]
    assert [row.seconds for row in rows] == [0.5, 0.5625, 0, 1.25, 0.5]
    assert [row.pieces for row in rows] == [1, 1, 1, 2, 1]
    assert rows[1].notes == (f"{clips[1].path}: odd.",)
    assert [row.error for row in rows if row.error] == [f"{clips[2].path}: the file is empty (0 bytes); get it again."]
    again = Lengths()
    assert embed_clips(again, clips, cache) == rows
    assert again.computed == []


def test_a_call_that_was_stopped_is_gone_on_with(clips, tmp_path):
    cache, stopped = EmbeddingCache(tmp_path / "cache", "key"), Lengths(stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        embed_clips(stopped, clips, cache)
    rest = Lengths()
    rows = embed_clips(rest, clips, cache)
    assert sorted(stopped.computed + rest.computed) == [8_000, 9_000, 20_000]
    assert len(rest.computed) == 1
    assert all(row.digest in cache for row in rows if row.error is None)


def test_clips_are_computed_before_too_many_are_held(clips, tmp_path, monkeypatch):
    monkeypatch.setattr("serjax.inference.embedded._CLIPS", 1)
    sizes = []

    class Watched(Lengths):
        def embed(self, samples):
            sizes.append(len(samples))
            return super().embed(samples)

    embed_clips(Watched(), clips, EmbeddingCache(tmp_path / "cache", "key"))
    assert max(sizes) == 1


def test_settings_have_caches_of_their_own(clips, tmp_path):
    for key in ("one", "two"):
        embedder = Lengths()
        embed_clips(embedder, clips, EmbeddingCache(tmp_path / "cache", key))
        assert len(embedder.computed) == 3


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY"])
def test_a_damaged_file_of_the_cache_is_made_again(clips, tmp_path, damage):
    cache = EmbeddingCache(tmp_path / "cache", "key")
    (row, *_) = embed_clips(Lengths(), clips[:1], cache)
    cache.path(row.digest).write_bytes(damage)
    embed_clips(Lengths(), clips[:1], cache)
    assert cache[row.digest].tolist() == [8000]


def test_a_cache_that_cannot_be_written_is_a_sentence(clips, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match=r"cache: it cannot be written .*--cache DIR"):
        embed_clips(Lengths(), clips, EmbeddingCache(tmp_path / "cache", "key"))


def test_a_missing_package_is_no_fault_of_a_clip(clips, tmp_path):
    class Bare(Lengths):
        def read(self, path):
            raise MissingPackage("PyAV", "video", "Videos are decoded")

    with pytest.raises(MissingPackage):
        embed_clips(Bare(), clips, EmbeddingCache(tmp_path / "cache", "key"))
