"""The head of SpeechBrain's emotion recognition as a formula over true frames."""

import jax
import numpy as np
import pytest
from noise import noisy
from releases import WAV2VEC2

from serjax.models.classifiers.speechbrain import SpeechBrainClassifier, SpeechBrainLayout
from serjax.models.embedding import embed
from serjax.models.inputs import Inputs
from serjax.models.layers.standardize import unit_variance

LENGTHS = np.array([6_000, 2_500])
# What stands behind a clip's end is not silence: nothing of it may be heard.
WAVE = np.random.default_rng(0).normal(0.02, 0.3, (2, 6_000)).astype(np.float32)


@pytest.mark.parametrize("output_norm", [True, False])
def test_logits_equal_the_formula_over_true_frames(output_norm):
    layout = SpeechBrainLayout(3, bias=True, normalize=True, output_norm=output_norm)
    model = noisy(lambda rngs: SpeechBrainClassifier(WAV2VEC2, layout, rngs=rngs))
    inputs, normal = Inputs(WAVE, LENGTHS), unit_variance(WAVE, LENGTHS, 1e-5)
    logits, pooled, output = jax.jit(
        lambda: (model(inputs), embed(model, inputs), model.speech_encoder(normal, LENGTHS))
    )()
    for row, count in enumerate(np.asarray(output.lengths)):
        x = np.asarray(output.hidden_states[-1][row, :count])
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-5) if output_norm else x
        np.testing.assert_allclose(pooled[row], x.mean(0), atol=1e-5)
    linear = model.output_mlp["w"]
    np.testing.assert_allclose(logits, pooled @ linear.kernel[...] + linear.bias[...], atol=1e-5)
