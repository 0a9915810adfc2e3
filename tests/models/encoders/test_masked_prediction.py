"""The network of masked prediction: cosines over a temperature, masks, padding, and scaled gradients."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from noise import noisy

from serjax.models.encoders.masked_prediction import MaskedPredictor
from serjax.models.layers.masking import length_mask

CLUSTERS = 5
LENGTHS = np.array([620, 330])
WAVE = np.where(np.arange(620) < LENGTHS[:, None], np.random.default_rng(0).normal(size=(2, 620)), 0).astype(np.float32)


@pytest.fixture(scope="module")
def still(layer_config):
    """Nothing is drawn at random."""
    return replace(layer_config, **dict.fromkeys(("hidden_dropout", "activation_dropout", "attention_dropout"), 0.0))


@pytest.fixture(scope="module")
def network(still):
    return nnx.split(noisy(lambda rngs: MaskedPredictor(still, CLUSTERS, projection=6, rngs=rngs)))


@pytest.fixture(scope="module")
def masked(still):
    within = length_mask(still.frames(jnp.asarray(LENGTHS)), still.frames(620))
    return jnp.asarray(np.random.default_rng(1).random(within.shape) < 0.4) & within


@partial(jax.jit, static_argnums=0)
def predict(graphdef, state, wave, lengths, masked):
    return nnx.merge(graphdef, state)(wave, lengths, masked, None)


def test_logits_are_cosines_over_the_temperature(network, masked, still):
    found = predict(*network, WAVE, LENGTHS, masked)
    assert found.logits.shape == (2, still.frames(620), CLUSTERS)
    assert found.logits.dtype == jnp.float32
    assert 1 < np.abs(found.logits).max() <= 1 / 0.1 + 1e-4
    # The length of neither side matters.
    model = nnx.merge(*network, copy=True)
    model.label_embeddings.set_value(7 * model.label_embeddings[...])
    longer = predict(*nnx.split(model), WAVE, LENGTHS, masked)
    np.testing.assert_allclose(longer.logits, found.logits, atol=1e-4)


def test_padding_changes_no_logit_and_no_square(network, masked, still):
    found = predict(*network, WAVE, LENGTHS, masked)
    count = int(still.frames(330))
    alone = predict(*network, WAVE[1:, :330], LENGTHS[1:], masked[1:, : still.frames(330)])
    np.testing.assert_allclose(alone.logits[0, :count], found.logits[1, :count], atol=1e-4)
    np.testing.assert_allclose(alone.square[0], found.square[1], rtol=1e-4)


def test_masked_frames_change_the_predictions_of_others(network, masked):
    """The mask reaches frames that are not masked through attention."""
    one, two = (predict(*network, WAVE, LENGTHS, mask).logits for mask in (masked, jnp.zeros_like(masked)))
    assert np.abs(one - two)[~np.asarray(masked)].max() > 1e-3


def test_normalised_input_makes_loudness_irrelevant(network, masked):
    loud, soft = (predict(*network, scale * WAVE, LENGTHS, masked).logits for scale in (3.0, 1.0))
    np.testing.assert_allclose(loud, soft, atol=2e-3)


def test_gradient_of_the_convolutions_is_scaled(network, masked):
    graphdef, state = network

    @partial(jax.jit, static_argnums=1)
    def gradient(state, factor):
        def loss(state):
            model, lengths = nnx.merge(graphdef, state), jnp.asarray(LENGTHS)
            found = model(jnp.asarray(WAVE), lengths, masked, None, feature_grad_mult=factor)
            return jnp.sin(found.logits).sum()

        return jax.grad(loss)(state)

    whole, tenth = gradient(state, 1.0), gradient(state, 0.1)
    for (path, one), (_, other) in zip(nnx.to_flat_state(whole), nnx.to_flat_state(tenth), strict=True):
        convolution = path[:2] == ("speech_encoder", "feature_extractor")
        expected = np.asarray(one[...]) * (0.1 if convolution else 1.0)
        np.testing.assert_allclose(other[...], expected, atol=1e-4 + 1e-4 * np.abs(expected).max(), err_msg=str(path))
