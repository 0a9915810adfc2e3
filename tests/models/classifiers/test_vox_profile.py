"""What stands above Vox-Profile's encoders as a formula over true frames."""

import jax
import numpy as np
import pytest
from noise import noisy
from releases import WAVLM

from serjax.models.classifiers.vox_profile import VoxProfileClassifier, VoxProfileLayout, _window_frames
from serjax.models.embedding import embed
from serjax.models.inputs import Inputs
from serjax.models.layers.standardize import unit_variance

LENGTHS = np.array([6_000, 2_500])
# What stands behind a clip's end is not silence: nothing of it may be heard.
WAVE = np.random.default_rng(0).normal(0.02, 0.3, (2, 6_000)).astype(np.float32)


def relu(x):
    return np.maximum(x, 0)


def linear(layer, x):
    return x @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])


@pytest.mark.parametrize("states", ["sum", "layers", "last"])
def test_outputs_equal_the_formula_over_true_frames(states):
    layout = VoxProfileLayout(12, 3, True, states, normalize=True)
    model = noisy(lambda rngs: VoxProfileClassifier(WAVLM, layout, rngs=rngs))
    inputs, normal = Inputs(WAVE, LENGTHS), unit_variance(WAVE, LENGTHS)
    outputs, pooled, output = jax.jit(
        lambda: (model(inputs), embed(model, inputs), model.speech_encoder(normal, LENGTHS))
    )()
    first = {"sum": 0, "layers": 1, "last": 3}[states]
    weights = np.zeros(1) if states == "last" else np.asarray(model.weights[...])
    shares = np.exp(weights) / np.exp(weights).sum()
    for row, count in enumerate(np.asarray(output.lengths)):
        chosen = [np.asarray(state[row, :count]) for state in output.hidden_states[first:]]
        x = sum(share * one for share, one in zip(shares, chosen, strict=True))
        for place in ("0", "3", "6"):
            layer = model.model_seq[place]
            x = relu(x) if place != "0" else x
            x = x @ np.asarray(layer.weight[...])[:, :, 0].T + np.asarray(layer.bias[...])
        np.testing.assert_allclose(pooled[row], x.mean(0), atol=1e-4)
    pooled = np.asarray(pooled)
    hidden = relu(linear(model.emotion_layer["0"], pooled))
    np.testing.assert_allclose(outputs[:, :3], linear(model.emotion_layer["2"], hidden), atol=1e-5)
    for place, head in enumerate((model.arousal_layer, model.valence_layer, model.dominance_layer), 3):
        value = linear(head["2"], relu(linear(head["0"], pooled)))[:, 0]
        np.testing.assert_allclose(outputs[:, place], 1 / (1 + np.exp(-value)) - 0.5, atol=1e-5)


def test_frames_of_a_window_are_counted_as_the_original_counts_them():
    lengths = np.array([160, 320, 4_100, 240_000])
    np.testing.assert_array_equal(_window_frames(lengths), [(n // 160 - 1) // 2 + 1 for n in lengths])
