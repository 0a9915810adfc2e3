"""The head of the baselines of Odyssey as a formula over true frames."""

import jax
import numpy as np
from noise import noisy
from releases import WAVLM

from serjax.models.classifiers.odyssey import OdysseyClassifier, OdysseyLayout
from serjax.models.embedding import embed
from serjax.models.inputs import Inputs

LENGTHS = np.array([6_000, 2_500])
# What stands behind a clip's end is not silence: nothing of it may be heard.
WAVE = np.random.default_rng(0).normal(0.02, 0.3, (2, 6_000)).astype(np.float32)


def test_logits_equal_the_formula_over_true_frames():
    model = noisy(lambda rngs: OdysseyClassifier(WAVLM, OdysseyLayout(3, 2, 0.02, 0.5), rngs=rngs))
    inputs, within = Inputs(WAVE, LENGTHS), np.arange(6_000) < LENGTHS[:, None]
    normal = np.where(within, (WAVE - 0.02) / (0.5 + 1e-6), 0)
    logits, pooled, output = jax.jit(
        lambda: (model(inputs), embed(model, inputs), model.speech_encoder(normal, LENGTHS))
    )()
    linear, attention = model.pool_model.sap_linear, np.asarray(model.pool_model.attention[...])
    for row, count in enumerate(np.asarray(output.lengths)):
        x = np.asarray(output.hidden_states[-1][row, :count], np.float64)
        score = np.exp(np.tanh(x @ linear.kernel[...] + linear.bias[...]) @ attention)
        shares = score / score.sum()
        mean = (shares * x).sum(0)
        deviation = np.sqrt(np.maximum((shares * x**2).sum(0) - mean**2, 1e-5))
        np.testing.assert_allclose(pooled[row], [*mean, *deviation], atol=1e-5)
    np.testing.assert_allclose(logits, model.ser_model(pooled), atol=1e-5)
