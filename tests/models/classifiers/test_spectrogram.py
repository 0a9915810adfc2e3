"""Networks on spectrograms and hand-made features: sizes, padding, windows, augmentation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.audio import SAMPLE_RATE
from serjax.audio.config import AugmentConfig
from serjax.audio.functionals import WINDOW, functionals
from serjax.audio.mixup import Pairs
from serjax.checkpoints.conversion import to_tensors
from serjax.models.base import Augmentation, Resolution
from serjax.models.functional import abstract, count
from serjax.models.inputs import Inputs
from serjax.models.layers.standardize import Standardizer
from serjax.models.spectrogram import SHORTEST_WINDOW, Functionals, Spectrogram

SMALL = ("audio_cnn", "bilstm")
"""Quick to compile; the others share every line but their network's."""


def settings(family, **options):
    """Return resolved settings of a network for inputs of half a second."""
    config = Functionals(**options) if family == "bilstm" else Spectrogram(family=family, **options)
    return config.resolved(Resolution(0.5))


def model(family, augment=None, recordings=None, **options):
    augmentation = Augmentation(augment or AugmentConfig(), recordings or {})
    return settings(family, **options).build(3, augmentation=augmentation, rngs=nnx.Rngs(0))


def clips(count, length=6000, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(0, 0.1, (count, length)), jnp.float32)


@pytest.mark.parametrize(
    ("family", "classes", "parameters"),
    [
        ("audio_cnn", 8, 155_752),
        ("audio_resnet18", 8, 12_785_224),
        # transformers counts 4,007,548 with three input channels; the stem has 576 weights less, the head 329,992.
        ("efficientnet", 8, 4_007_548 - 576 + 329_992),
        ("bilstm", 6, 1_870_086),
        ("bilstm", 8, 1_870_600),
    ],
)
def test_published_sizes(family, classes, parameters):
    whole = abstract(lambda rngs: settings(family).build(classes, rngs=rngs))
    assert count(nnx.state(whole)) == parameters


@pytest.mark.parametrize(
    ("family", "window"),
    [
        ("audio_cnn", None),
        pytest.param("bilstm", None, marks=pytest.mark.slow),
        pytest.param("bilstm", 0.2, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("pad_mode", ["zeros", "repeat"])
def test_neighbours_and_padding_change_nothing(family, pad_mode, window):
    windows = {} if window is None else {"window": window}
    network = model(family, pad_mode=pad_mode, target_dbfs=-20.0, **windows)
    wave, lengths = clips(3), jnp.array([6000, 4500, 3000])
    wave = jnp.where(jnp.arange(6000) < lengths[:, None], wave, 0)
    together = network(Inputs(wave, lengths))
    for row, length in enumerate([6000, 4500, 3000]):
        for width in (length, 8000, 9999):
            alone = jnp.zeros((1, width)).at[:, :length].set(wave[row, :length])
            np.testing.assert_allclose(
                network(Inputs(alone, lengths[row : row + 1]))[0], together[row], rtol=0, atol=2e-5
            )


def test_the_shortest_window_is_the_fourier_window():
    assert WINDOW == SHORTEST_WINDOW * SAMPLE_RATE


def test_windows_are_read_in_turn_up_to_the_end_of_the_clip():
    front = settings("bilstm", window=0.2).front_end
    wave, lengths = clips(4, 8000), jnp.array([8000, 4801, 4800, 100])
    wave = jnp.where(jnp.arange(8000) < lengths[:, None], wave, 0)
    values, frames = front(wave, lengths)
    assert values.shape == (4, 4, 312)
    assert frames.tolist() == [4, 3, 2, 1]
    for i in range(4):
        np.testing.assert_allclose(values[:, i], functionals(wave[:, i * 1600 : i * 1600 + 3200]), rtol=1e-5, atol=1e-5)


def test_features_are_mixed_with_their_partners_up_to_the_end_of_the_longer_clip():
    network = model("bilstm", window=0.2)
    wave, lengths = clips(2, 8000), jnp.array([8000, 3200])
    wave = jnp.where(jnp.arange(8000) < lengths[:, None], wave, 0)
    (x, frames), weight = network.prepared(wave, lengths), jnp.array([0.25, 0.75])
    mixed, longer = network.prepared(wave, lengths, pairs=Pairs(weight, jnp.array([1, 0])))
    assert frames.tolist() == [4, 1]
    assert longer.tolist() == [4, 4]
    np.testing.assert_allclose(mixed[0, 0], 0.25 * x[0, 0] + 0.75 * x[1, 0], rtol=1e-5)
    np.testing.assert_allclose(mixed[:, 1:], 0.25 * jnp.stack([x[0, 1:]] * 2), rtol=1e-5)


def test_the_order_of_windows_is_heard():
    network = model("bilstm", window=0.2)
    quiet, loud = clips(1, 4000) * 0.01, clips(1, 4000)
    length = jnp.array([8000])
    rising, falling = (
        network(Inputs(jnp.concatenate(parts, axis=1), length)) for parts in ((quiet, loud), (loud, quiet))
    )
    assert not np.allclose(rising, falling, atol=1e-3)


def test_a_clip_is_heard_at_its_level_whatever_it_was():
    network = model("audio_cnn", target_dbfs=-20.0)
    wave, lengths = clips(1), jnp.array([6000])
    np.testing.assert_allclose(network(Inputs(wave * 0.01, lengths)), network(Inputs(wave, lengths)), rtol=0, atol=1e-4)
    plain = model("audio_cnn")
    assert not np.allclose(plain(Inputs(wave * 0.01, lengths)), plain(Inputs(wave, lengths)), atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "augment",
    [
        AugmentConfig(speed_factors=(0.9,)),
        AugmentConfig(gain=6.0, gain_p=1.0),
        AugmentConfig(noise_snr=(0.0, 0.0), noise_p=1.0),
        AugmentConfig(noise_levels=((1.0, 5.0),)),
        AugmentConfig(mel_masks=2, time_masks=1, time_width=9, mask_p=1.0),
    ],
    ids=["speed", "gain", "noise", "noise levels", "masks"],
)
def test_each_augmentation_is_for_training_and_follows_its_key(augment):
    plain, changed = model("audio_cnn"), model("audio_cnn", augment)
    wave, lengths = clips(4), jnp.full(4, 6000)
    np.testing.assert_array_equal(plain(Inputs(wave, lengths)), changed(Inputs(wave, lengths)))
    answer = [nnx.clone(changed)(Inputs(wave, lengths), jax.random.key(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(answer[0], answer[1])
    assert not np.allclose(answer[0], nnx.clone(plain)(Inputs(wave, lengths), jax.random.key(0)), atol=1e-4)
    if augment.speed_factors == ():
        assert not np.allclose(answer[0], answer[2], atol=1e-4)


@pytest.mark.slow
def test_banks_are_mixed_in_and_not_saved():
    augment = AugmentConfig(noise="folder", noise_snr=(0.0, 0.0), noise_p=1.0, rir="folder", rir_p=1.0)
    network = model("audio_cnn", augment, {"noise": (2, 4000), "rir": (1, 100)})
    network.banks["noise"].wave.set_value(clips(2, 4000))
    network.banks["noise"].length.set_value(jnp.array([4000, 2000]))
    network.banks["rir"].wave.set_value(clips(1, 100))
    network.banks["rir"].length.set_value(jnp.array([100]))
    wave, lengths, key = clips(4), jnp.full(4, 6000), jax.random.key(0)
    assert not np.allclose(
        nnx.clone(network)(Inputs(wave, lengths), key),
        nnx.clone(model("audio_cnn"))(Inputs(wave, lengths), key),
        atol=1e-3,
    )
    assert not any("banks" in name for name in to_tensors(network))


def test_standardisation_has_no_gradient_and_survives_constant_features():
    standardize = Standardizer(3)
    standardize.mean.set_value(jnp.array([1.0, 2.0, 3.0]))
    standardize.deviation.set_value(jnp.array([2.0, 0.0, 1.0]))
    graphdef, state = nnx.split(standardize)
    x = jnp.array([[3.0, 2.0, 3.0]])
    np.testing.assert_allclose(standardize(x), [[1, 0, 0]])
    gradient = jax.grad(lambda state: jnp.sum(nnx.merge(graphdef, state)(x) ** 2))(state)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))
