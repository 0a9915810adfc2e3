"""Features are made once, found again, and go on after a kill; padding in the batches changes nothing."""

import numpy as np
import pytest

from serjax.features.extract import encode_clips
from serjax.runtime.errors import UserError
from serjax.runtime.fingerprint import fingerprint


class Clips:
    def __init__(self, lengths):
        self.waves = [np.random.default_rng(n).normal(size=n).astype(np.float32) for n in lengths]
        self.lengths = np.array(lengths)

    def __len__(self):
        return len(self.waves)

    def clip(self, i):
        return self.waves[i]


LENGTHS = [900, 2500, 400, 40_000, 1200, 3300, 2500]
SETTINGS = {"key": "k", "samples": 3000, "crop": "head", "batch_size": 2, "progress": False}


def frame_means(weights, wave, length):
    """A trunk of one layer: means of 400 samples, and the sum of the clip."""
    frames = wave[:, : wave.shape[1] // 400 * 400].reshape(wave.shape[0], -1, 400).mean(-1)
    return weights * frames[:, None, :, None], length // 400


def expected(clips):
    for wave in clips.waves:
        count = min(len(wave), 3000) // 400
        yield wave[: count * 400].reshape(count, 400).mean(-1)


def test_every_clip_is_encoded_in_its_place(tmp_path):
    clips = Clips(LENGTHS)
    states, frames = encode_clips(frame_means, np.float32(2), clips, tmp_path, **SETTINGS)
    for i, mean in enumerate(expected(clips)):
        assert frames[i] == len(mean)
        np.testing.assert_allclose(states[i, 0, : frames[i], 0], 2 * mean, atol=1e-6)


def test_features_are_found_again(tmp_path):
    clips = Clips(LENGTHS)
    first, _ = encode_clips(frame_means, np.float32(1), clips, tmp_path, **SETTINGS)

    def refuse(weights, wave, length):
        raise AssertionError("encoded again")

    again, _ = encode_clips(refuse, np.float32(1), clips, tmp_path, **SETTINGS)
    np.testing.assert_array_equal(first, again)


def test_a_broken_call_goes_on_where_it_stopped(tmp_path, monkeypatch):
    clips = Clips([500 + 10 * n for n in range(80)])
    seen = []

    class Killed(Exception):
        pass

    read = Clips.clip

    def clip(self, i):
        seen.append(i)
        if len(seen) == 70:
            raise Killed
        return read(self, i)

    monkeypatch.setattr(Clips, "clip", clip)
    with pytest.raises(Killed):
        encode_clips(frame_means, np.float32(1), clips, tmp_path, **SETTINGS)
    before = len(seen)
    states, frames = encode_clips(frame_means, np.float32(1), clips, tmp_path, **SETTINGS)
    assert 0 < len(seen) - before < 80
    for i, mean in enumerate(expected(clips)):
        np.testing.assert_allclose(states[i, 0, : frames[i], 0], mean, atol=1e-6)


def test_a_folder_that_cannot_be_written_gets_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written .*--data\.cache"):
        encode_clips(frame_means, np.float32(1), Clips(LENGTHS), tmp_path / "file", **SETTINGS)


def test_fingerprints_tell_weights_and_settings_apart():
    one = {"a": np.ones(3), "b": np.zeros(2)}
    assert fingerprint(one, "head") == fingerprint({"a": np.ones(3), "b": np.zeros(2)}, "head")
    others = [fingerprint(one, "centre"), fingerprint({"a": np.ones(3), "c": np.zeros(2)}, "head")]
    assert len({fingerprint(one, "head"), *others}) == 3
