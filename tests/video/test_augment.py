import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.video.augment import BLURS, add_noise, blur, change, darken
from serjax.video.config import VideoAugment

KEY = jax.random.key(0)
NOTHING = {"blur_p": 0.0, "brightness_p": 0.0, "noise_p": 0.0}


def clips(count, frames=2, size=16, seed=0):
    return jnp.asarray(np.random.default_rng(seed).integers(0, 256, (count, frames, size, size, 3)), jnp.uint8)


def opencv_kernel(size):
    """Return the weights that OpenCV's getGaussianKernel documents for a deviation of 0."""
    deviation = 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    weights = np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * deviation**2))
    return weights / weights.sum()


def blurred(clip, size):
    """Return a clip [f h w c], smoothed row by row and column by column."""
    side = size // 2
    for axis in (1, 2):
        around = [(side, side) if axis == other else (0, 0) for other in range(4)]
        padded = np.pad(clip, around, mode="reflect")
        clip = np.apply_along_axis(lambda line: np.convolve(line, opencv_kernel(size), "valid"), axis, padded)
    return clip


def test_a_blur_is_one_of_three_gaussians_for_all_frames_of_a_clip():
    video = clips(12).astype(jnp.float32)
    found, sizes = blur(KEY, video, 1.0), set()
    for clip, got in zip(np.asarray(video), found, strict=True):
        fits = [size for size in BLURS if np.allclose(blurred(clip, size), got, atol=1e-2)]
        assert len(fits) == 1
        sizes |= set(fits)
    assert sizes == set(BLURS)


def test_darkening_is_one_factor_a_clip_within_its_range():
    video = clips(50).astype(jnp.float32) + 1
    factors = np.asarray(darken(KEY, video, 0.2, 0.6, 1.0) / video).reshape(50, -1)
    np.testing.assert_allclose(factors, factors[:, :1] * np.ones_like(factors), rtol=1e-4)
    assert 0.2 <= factors.min() < 0.25
    assert 0.55 < factors.max() <= 0.6


def test_noise_has_one_pattern_and_one_deviation_a_clip():
    video = clips(400, size=8).astype(jnp.float32)
    noise = np.asarray(add_noise(KEY, video, 10.0, 1.0) - video)
    np.testing.assert_allclose(noise[:, 0], noise[:, 1], atol=1e-3)
    deviations = noise[:, 0].std(axis=(1, 2, 3))
    assert deviations.max() < 12
    assert abs(deviations.mean() - 5) < 0.5
    assert abs(noise.mean()) < 0.2


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_pictures_stay_pictures(seed, blur_p, brightness_p, noise_p):
    config = VideoAugment(blur_p=blur_p, brightness_p=brightness_p, noise=0.5, noise_p=noise_p)
    found = change(jax.random.key(seed), clips(3), config)
    assert found.dtype == jnp.float32
    assert found.shape == (3, 2, 16, 16, 3)
    assert 0 <= found.min() <= found.max() <= 255


def test_probabilities_of_zero_change_nothing():
    np.testing.assert_array_equal(change(KEY, clips(4), VideoAugment(**NOTHING)), clips(4).astype(jnp.float32))


@pytest.mark.parametrize("name", ["blur_p", "brightness_p", "noise_p"])
def test_a_probability_is_the_share_of_clips_that_change(name):
    video = clips(400, frames=1, size=8)
    found = change(KEY, video, VideoAugment(**{**NOTHING, name: 0.25}))
    share = np.any(np.asarray(found) != video, axis=(1, 2, 3, 4)).mean()
    assert 0.19 < share < 0.31


def test_the_key_decides_and_jit_changes_nothing():
    compiled = jax.jit(change, static_argnums=2)
    config, video = VideoAugment(), clips(6)
    np.testing.assert_allclose(compiled(KEY, video, config), change(KEY, video, config), atol=1e-3)
    assert not np.allclose(compiled(KEY, video, config), compiled(jax.random.key(1), video, config), atol=1)


def test_vmap_over_folds_is_a_loop():
    keys, video = jax.random.split(KEY, 2), jnp.stack([clips(3), clips(3, seed=1)])
    together = jax.vmap(lambda key, video: change(key, video, VideoAugment()))(keys, video)
    for fold in range(2):
        np.testing.assert_allclose(together[fold], change(keys[fold], video[fold], VideoAugment()), atol=1e-3)
