"""Features are computed once, found again and resumed after a stop; padding in the batches changes nothing."""

import signal
import subprocess
import sys

import numpy as np
import pytest

from serjax.features.extract import clip_batches, extract
from serjax.features.frozen import encode_clips
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


def frame_means(weights, wave, length):
    """An encoder of one layer: means of 400 samples."""
    frames = wave[:, : wave.shape[1] // 400 * 400].reshape(wave.shape[0], -1, 400).mean(-1)
    return weights * frames[:, None, :, None], length // 400


def encode(clips, folder, function=frame_means, weights=np.float32(1), pooled=False):  # noqa: B008
    names = [f"clip{i}" for i in range(len(clips))]
    settings = {"samples": 3000, "crop": "head", "batch_size": 2}
    return encode_clips(function, weights, clips, names, folder / "k", pooled=pooled, **settings)


def expected(clips):
    for wave in clips.waves:
        count = min(len(wave), 3000) // 400
        yield wave[: count * 400].reshape(count, 400).mean(-1)


def test_every_clip_is_encoded_in_its_place(tmp_path):
    clips = Clips(LENGTHS)
    states, frames = encode(clips, tmp_path, weights=np.float32(2))
    assert states.shape == (7, 1, 7, 1)
    for i, mean in enumerate(expected(clips)):
        assert frames[i] == len(mean)
        np.testing.assert_allclose(states[i, 0, : frames[i], 0], 2 * mean, atol=1e-6)
        assert not states[i, 0, frames[i] :].any()


def test_pooled_states_are_mapped_from_the_file(tmp_path):
    clips = Clips(LENGTHS)

    def pooled(weights, wave, length):
        return wave[:, None, :1, None] * np.ones((2, 1, 5), np.float32), length // length

    states, frames = encode(clips, tmp_path, pooled, pooled=True)
    assert states.shape == (7, 2, 1, 5)
    assert not states.flags.owndata
    np.testing.assert_array_equal(states[:, 1, 0, 4], [wave[0] for wave in clips.waves])
    np.testing.assert_array_equal(frames, 1)


def test_the_disk_holds_true_frames_alone(tmp_path):
    _, frames = encode(Clips(LENGTHS), tmp_path)
    assert (tmp_path / "k" / "rows.npy").stat().st_size == 128 + 4 * frames.sum()
    assert sorted(path.name for path in (tmp_path / "k").iterdir()) == ["index.json", "rows.npy"]


@pytest.mark.parametrize("crop", ["head", "centre"])
def test_batches_are_of_about_one_length(crop):
    lengths = np.array([16_000, 50_000, 20_000, 17_000, 90_000])
    first, second, third = clip_batches(lengths, 48_000, crop, 2)
    assert [[piece.clip for piece in batch.pieces] for batch in (first, second, third)] == [[0, 3], [2, 1], [4]]
    assert [batch.samples for batch in (first, second, third)] == [20_160, 48_000, 48_000]
    start = 21_000 if crop == "centre" else 0
    assert third.pieces[0][:3] == (4, start, 48_000)
    assert third.rows == 2


def test_features_are_found_again(tmp_path):
    clips = Clips(LENGTHS)
    first, _ = encode(clips, tmp_path)

    def refuse(weights, wave, length):
        raise AssertionError("encoded again")

    again, _ = encode(clips, tmp_path, refuse)
    np.testing.assert_array_equal(first, again)


def test_a_stopped_call_is_resumed(tmp_path, monkeypatch):
    clips = Clips([500 + 10 * n for n in range(80)])
    seen = []

    class Stopped(Exception):
        pass

    read = Clips.clip

    def clip(self, i):
        seen.append(i)
        if len(seen) == 70:
            raise Stopped
        return read(self, i)

    monkeypatch.setattr(Clips, "clip", clip)
    with pytest.raises(Stopped):
        encode(clips, tmp_path)
    states, frames = encode(clips, tmp_path)
    # Batches of two, of which two were being computed.
    assert 0 < len(seen) - 70 <= 80 - 70 + 1 + 2 * 2
    for i, mean in enumerate(expected(clips)):
        np.testing.assert_allclose(states[i, 0, : frames[i], 0], mean, atol=1e-6)


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from serjax.data.store import ragged
sys.path.insert(0, sys.argv[2])
from test_extract import Clips, encode
ragged._SAVE_SECONDS = 0
class Killing(Clips):
    def clip(self, i):
        if i == 50:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().clip(i)
encode(Killing([500 + 10 * n for n in range(60)]), Path(sys.argv[1]))
"""


def test_a_killed_process_is_resumed(tmp_path, request):
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(request.path.parent)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    clips, seen = Clips([500 + 10 * n for n in range(60)]), []
    read = clips.clip
    clips.clip = lambda i: seen.append(i) or read(i)
    states, frames = encode(clips, tmp_path)
    assert min(seen) >= 40
    for i, mean in enumerate(expected(clips)):
        np.testing.assert_allclose(states[i, 0, : frames[i], 0], mean, atol=1e-6)


def test_features_that_are_not_finite_name_the_clip(tmp_path):
    clips = Clips(LENGTHS)
    clips.waves[4][100] = np.nan
    with pytest.raises(UserError, match="clip4: its features hold NaN or infinity"):
        encode(clips, tmp_path)


def test_padding_may_be_anything(tmp_path):
    clips = Clips(LENGTHS)

    def noisy(weights, wave, length):
        states, frames = frame_means(weights, wave, length)
        within = np.arange(states.shape[2])[None, None, :, None] < frames[:, None, None, None]
        return states / within, frames

    states, _ = encode(clips, tmp_path, noisy)
    assert np.isfinite(states).all()


def test_a_folder_that_cannot_be_written_gets_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written .*--data\.cache"):
        encode(Clips(LENGTHS), tmp_path / "file")


def test_damaged_features_get_a_sentence(tmp_path):
    clips = Clips(LENGTHS)
    encode(clips, tmp_path)
    (tmp_path / "k" / "index.json").write_text('{"format": 0}')
    with pytest.raises(UserError, match=r"k: these stored features are damaged \(its format is 0.*; delete them"):
        encode(clips, tmp_path)


def test_frames_of_known_number_lie_in_the_order_of_the_clips(tmp_path):
    clips = Clips(LENGTHS)
    lengths = np.minimum(clips.lengths, 3000) // 400
    found = extract(
        lambda weights, wave, length: (frame_means(weights, wave, length)[0][:, 0], length // 400),
        np.float32(1),
        clips,
        [""] * 7,
        clip_batches(clips.lengths, 3000, "head", 2),
        tmp_path / "k",
        lengths=lengths,
    )
    np.testing.assert_allclose(found.rows[:, 0], np.concatenate(list(expected(clips))), atol=1e-6)


def test_fingerprints_tell_weights_and_settings_apart():
    one = {"a": np.ones(3), "b": np.zeros(2)}
    assert fingerprint(one, "head") == fingerprint({"a": np.ones(3), "b": np.zeros(2)}, "head")
    others = [fingerprint(one, "centre"), fingerprint({"a": np.ones(3), "c": np.zeros(2)}, "head")]
    assert len({fingerprint(one, "head"), *others}) == 3
