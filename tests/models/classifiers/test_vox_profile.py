"""What stands above Vox-Profile's encoders as a formula over true frames."""

import numpy as np
import pytest
from flax import nnx
from noise import noisy
from releases import WAVLM, WHISPER
from still_encoder import StillEncoder

from serjax.models.classifiers.vox_profile import VoxProfileClassifier, VoxProfileLayout
from serjax.models.embedding import embed
from serjax.models.inputs import Inputs
from serjax.models.layers.standardize import unit_variance

LENGTHS = np.array([600, 250], np.int32)
# What stands behind a clip's end is not silence: nothing of it may be heard.
WAVE = np.random.default_rng(0).normal(0.02, 0.3, (2, 600)).astype(np.float32)


def relu(x):
    return np.maximum(x, 0)


def linear(layer, x):
    return x @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])


@pytest.mark.parametrize(
    ("states", "config", "frames"),
    # Whisper's mean is over half of a clip's whole hops of 160 samples, rounded up.
    [("sum", WAVLM, (9, 4)), ("layers", WAVLM, (9, 4)), ("last", WHISPER, (2, 1))],
)
def test_outputs_equal_the_formula_over_true_frames(states, config, frames):
    layout = VoxProfileLayout(12, 3, True, states, normalize=config is WAVLM)
    model = noisy(lambda rngs: VoxProfileClassifier(config, layout, rngs=rngs))
    model.speech_encoder = nnx.static(StillEncoder(config, frames))
    encoder, inputs = model.speech_encoder, Inputs(WAVE, LENGTHS)
    pooled, outputs = np.asarray(embed(model, inputs)), model(inputs)
    heard = unit_variance(WAVE, LENGTHS) if config is WAVLM else WAVE
    np.testing.assert_array_equal(encoder.wave, heard)
    assert encoder.options["padding"] == ("exact" if config is WAVLM else "transformers")
    first = {"sum": 0, "layers": 1, "last": 3}[states]
    weights = np.zeros(1) if states == "last" else np.asarray(model.weights[...])
    shares = np.exp(weights) / np.exp(weights).sum()
    for row in range(2):
        x = np.einsum("l,lnd->nd", shares, encoder.true(row)[first:])
        for place in ("0", "3", "6"):
            layer = model.model_seq[place]
            x = x if place == "0" else relu(x)
            x = x @ np.asarray(layer.weight[...])[:, :, 0].T + np.asarray(layer.bias[...])
        np.testing.assert_allclose(pooled[row], x.mean(0), atol=1e-5)
    hidden = relu(linear(model.emotion_layer["0"], pooled))
    np.testing.assert_allclose(outputs[:, :3], linear(model.emotion_layer["2"], hidden), atol=1e-5)
    for place, head in enumerate((model.arousal_layer, model.valence_layer, model.dominance_layer), 3):
        value = linear(head["2"], relu(linear(head["0"], pooled)))[:, 0]
        np.testing.assert_allclose(outputs[:, place], 1 / (1 + np.exp(-value)) - 0.5, atol=1e-5)
