"""The head of the baselines of Odyssey as a formula over true frames."""

import numpy as np
from flax import nnx
from noise import noisy
from releases import WAVLM
from still_encoder import StillEncoder

from serjax.models.classifiers.odyssey import OdysseyClassifier, OdysseyLayout
from serjax.models.embedding import embed
from serjax.models.inputs import Inputs

LENGTHS = np.array([600, 250], np.int32)
# What stands behind a clip's end is not silence: nothing of it may be heard.
WAVE = np.random.default_rng(0).normal(0.02, 0.3, (2, 600)).astype(np.float32)


def test_logits_equal_the_formula_over_true_frames():
    model = noisy(lambda rngs: OdysseyClassifier(WAVLM, OdysseyLayout(3, 2, 0.02, 0.5), rngs=rngs))
    model.speech_encoder = nnx.static(StillEncoder(WAVLM))
    encoder, inputs = model.speech_encoder, Inputs(WAVE, LENGTHS)
    pooled, logits = embed(model, inputs), model(inputs)
    within = np.arange(600) < LENGTHS[:, None]
    np.testing.assert_allclose(encoder.wave, np.where(within, (WAVE - 0.02) / (0.5 + 1e-6), 0), atol=1e-6)
    linear, attention = model.pool_model.sap_linear, np.asarray(model.pool_model.attention[...])
    for row in range(2):
        x = encoder.true(row)[-1]
        score = np.exp(np.tanh(x @ linear.kernel[...] + linear.bias[...]) @ attention)
        shares = score / score.sum()
        mean = (shares * x).sum(0)
        deviation = np.sqrt(np.maximum((shares * x**2).sum(0) - mean**2, 1e-5))
        np.testing.assert_allclose(pooled[row], [*mean, *deviation], atol=1e-5)
    x = np.asarray(pooled)
    for layer, norm in model.ser_model.fc:
        x = x @ layer.kernel[...] + layer.bias[...]
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
        x = np.maximum(x * norm.scale[...] + norm.bias[...], 0)
    last = model.ser_model.out[0]
    np.testing.assert_allclose(logits, x @ last.kernel[...] + last.bias[...], atol=1e-5)
