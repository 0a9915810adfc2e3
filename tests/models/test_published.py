"""Published classifiers: pooling and heads as formulas, padding, and names of their parameters."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from noise import noisy
from saved_runs import ENCODER

from serjax.models.inputs import Inputs
from serjax.models.layers.standardize import unit_variance
from serjax.models.published import HeadLayout, PublishedClassifier

LENGTHS = np.array([6_000, 2_500])
WAVE = np.where(np.arange(6_000) < LENGTHS[:, None], np.random.default_rng(0).normal(0.2, 0.5, (2, 6_000)), 0).astype(
    np.float32
)
LAYOUTS = {
    "projector": HeadLayout("projector", 3, 8),
    "weighted": HeadLayout("projector", 3, 8, weighted_layers=True),
    "mean": HeadLayout("dense", 3, 12),
    "sum": HeadLayout("dense", 3, 12, pooling="sum"),
    "max": HeadLayout("dense", 3, 12, pooling="max", last="output"),
}


# Group norm would hide how loud a clip is.
LAYER_NORM = replace(ENCODER, feat_extract_norm="layer", conv_bias=True)


@cache
def build(layout, normalize=True, encoder=ENCODER):
    return nnx.split(noisy(lambda rngs: PublishedClassifier(encoder, layout, normalize=normalize, rngs=rngs)))


@partial(jax.jit, static_argnums=0)
def answer(graphdef, state, wave, lengths):
    model = nnx.merge(graphdef, state)
    prepared = unit_variance(wave, lengths) if model.normalize else wave
    return model(Inputs(wave, lengths)), model.speech_encoder(prepared, lengths)


@pytest.mark.parametrize("name", LAYOUTS)
def test_logits_equal_the_formula_over_true_frames(name):
    layout = LAYOUTS[name]
    model = nnx.merge(*build(layout))
    logits, output = answer(*build(layout), WAVE, LENGTHS)

    def linear(layer, x):
        return x @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])

    for row, count in enumerate(np.asarray(output.lengths)):
        states = [np.asarray(state[row, :count]) for state in output.hidden_states]
        if layout.kind == "projector":
            weights = np.asarray(jax.nn.softmax(model.layer_weights[...])) if layout.weighted_layers else [0, 1]
            x = sum(weight * state for weight, state in zip(weights, states, strict=True))
            expected = linear(model.classifier, linear(model.projector, x).mean(0))
        else:
            pooled = getattr(np, layout.pooling)(states[-1], axis=0)
            expected = linear(getattr(model.classifier, layout.last), np.tanh(linear(model.classifier.dense, pooled)))
        np.testing.assert_allclose(logits[row], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["projector", "sum", "max"])
def test_single_clip_equals_clip_in_padded_batch(name):
    together, _ = answer(*build(LAYOUTS[name]), WAVE, LENGTHS)
    alone, _ = answer(*build(LAYOUTS[name]), WAVE[1:, :2_500], LENGTHS[1:])
    np.testing.assert_allclose(alone[0], together[1], rtol=1e-4, atol=1e-4)


def test_normalisation_is_that_of_the_feature_extractor():
    prepared = jax.jit(unit_variance)(WAVE, LENGTHS)
    with_it, without = (build(LAYOUTS["mean"], normalize, LAYER_NORM) for normalize in (True, False))
    inside, _ = answer(*with_it, WAVE, LENGTHS)
    np.testing.assert_allclose(inside, answer(*without, prepared, LENGTHS)[0], atol=1e-5)
    assert np.abs(inside - answer(*without, WAVE, LENGTHS)[0]).max() > 1e-3


def test_parameters_are_called_as_in_the_checkpoints():
    names = {name: {path[:2] for path, _ in nnx.to_flat_state(build(LAYOUTS[name])[1])} for name in LAYOUTS}
    assert ("classifier", "out_proj") in names["mean"]
    assert ("classifier", "output") in names["max"]
    assert ("projector", "kernel") in names["projector"]
    assert ("layer_weights",) in names["weighted"]
    assert ("layer_weights",) not in names["projector"]


def test_logits_are_finite_for_clips_of_one_frame_and_silence():
    logits, _ = answer(*build(LAYOUTS["max"]), np.zeros((2, 6_000), np.float32), np.array([400, 6_000]))
    assert jnp.isfinite(logits).all()
