"""Front ends: length of the input, true frames, level, padding, windows, and the order of augmentation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.audio.config import AugmentConfig
from serjax.audio.spectrogram import RAVDESS_AUDIO, log_mel
from serjax.models.front_end import NUM_FUNCTIONALS, FrontEnd, Recordings, augmented

KEY = jax.random.key(0)
LENGTHS = np.array([3_200, 1_500, 4_000])


def waves(columns=4_000, lengths=LENGTHS, seed=0):
    wave = np.random.default_rng(seed).normal(0, 0.1, (len(lengths), columns)).astype(np.float32)
    return np.where(np.arange(columns) < lengths[:, None], wave, 0)


def test_spectrogram_has_the_length_of_the_input_and_counts_true_frames():
    front = FrontEnd(RAVDESS_AUDIO, 0.2)
    image, frames = jax.jit(front)(waves(), LENGTHS)
    expected = log_mel(jnp.asarray(waves()[:, :3_200]), RAVDESS_AUDIO).swapaxes(1, 2)
    np.testing.assert_allclose(image, expected, atol=1e-4)
    assert image.shape[2] == front.features == RAVDESS_AUDIO.mels
    np.testing.assert_array_equal(
        frames, np.minimum(np.minimum(LENGTHS, 3_200) // RAVDESS_AUDIO.hop + 1, image.shape[1])
    )


def test_short_batches_are_filled_up_to_the_input():
    call = jax.jit(FrontEnd(RAVDESS_AUDIO, 0.25))
    short, frames = call(waves()[1:2, :1_500], LENGTHS[1:2])
    whole, same = call(waves()[1:2], LENGTHS[1:2])
    np.testing.assert_allclose(short, whole, atol=1e-5)
    np.testing.assert_array_equal(frames, same)


@pytest.mark.parametrize("target", [-20.0, -35.0])
def test_target_level_makes_features_independent_of_loudness(target):
    call = jax.jit(FrontEnd(RAVDESS_AUDIO, 0.25, target_dbfs=target))
    loud, soft = (call(scale * waves(), LENGTHS)[0] for scale in (1.0, 0.1))
    np.testing.assert_allclose(loud, soft, atol=0.02)


def test_repeated_clips_fill_the_input():
    call = jax.jit(FrontEnd(RAVDESS_AUDIO, 0.25, pad_mode="repeat"))
    repeated = np.stack([np.resize(row[:length], 4_000) for row, length in zip(waves(), LENGTHS, strict=True)])
    image, frames = call(waves(), LENGTHS)
    np.testing.assert_allclose(image, jax.jit(FrontEnd(RAVDESS_AUDIO, 0.25))(repeated, np.full(3, 4_000))[0], atol=1e-4)
    assert (frames == image.shape[1]).all()


@pytest.mark.parametrize(("seconds", "window", "count"), [(0.2, None, 1), (0.3, 0.13, 3)])
def test_functionals_of_half_overlapping_windows(seconds, window, count):
    front = FrontEnd(None, seconds, window=window)
    samples = round(16_000 * seconds)
    lengths = np.array([samples, front.window, front.window + 1, 10])
    values, frames = jax.jit(front)(waves(samples, lengths), lengths)
    assert values.shape == (4, count, NUM_FUNCTIONALS)
    assert frames.tolist() == [count, 1, min(2, count), 1]
    assert jnp.isfinite(values).all()


def bank(seed):
    recordings = Recordings((2, 500))
    recordings.wave.set_value(jnp.asarray(waves(500, np.array([500, 300]), seed)))
    recordings.length.set_value(jnp.array([500, 300]))
    return recordings


def test_recordings_are_neither_trained_nor_saved():
    state = nnx.state(Recordings((2, 500)))
    assert jax.tree.leaves(nnx.filter_state(state, (nnx.Param, nnx.BatchStat))) == []


@pytest.mark.parametrize(
    ("changes", "banks"),
    [
        ({"gain_p": 1.0, "gain": 6.0}, ()),
        ({"noise_p": 1.0}, ()),
        ({"noise_p": 1.0, "noise": "folder"}, ("noise",)),
        ({"noise_levels": ((1.0, 10.0),)}, ()),
        ({"rir_p": 1.0, "rir": "folder"}, ("rir",)),
        ({"speed_factors": (0.9,)}, ()),
    ],
    ids=["gain", "Gaussian noise", "noise", "levels", "room", "speed"],
)
def test_each_augmentation_changes_every_clip_and_leaves_silence_behind(changes, banks):
    config = AugmentConfig(**changes)
    call = jax.jit(partial(augmented, config=config, banks={name: bank(3) for name in banks}))
    wave, lengths = call(waves(), LENGTHS, KEY)
    assert np.all(np.any(wave != waves(), axis=1))
    assert not np.asarray(wave)[np.arange(4_000) >= np.asarray(lengths)[:, None]].any()


def test_augmentation_without_settings_is_identity():
    wave, lengths = augmented(waves(), LENGTHS, KEY, AugmentConfig(), {})
    np.testing.assert_array_equal(wave, waves())
    np.testing.assert_array_equal(lengths, LENGTHS)


def test_noise_levels_leave_the_rest_of_the_clips_clean():
    lengths = np.full(200, 100)
    call = jax.jit(partial(augmented, config=AugmentConfig(noise_levels=((0.3, 5.0),)), banks={}))
    changed = np.any(np.asarray(call(waves(100, lengths), lengths, KEY)[0]) != waves(100, lengths), axis=1)
    assert changed.mean() == pytest.approx(0.3, abs=0.1)
