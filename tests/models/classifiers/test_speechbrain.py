"""The head of SpeechBrain's emotion recognition as a formula over true frames."""

import numpy as np
import pytest
from flax import nnx
from noise import noisy
from releases import WAV2VEC2
from still_encoder import StillEncoder

from serjax.models.classifiers.speechbrain import SpeechBrainClassifier, SpeechBrainLayout
from serjax.models.embedding import embed
from serjax.models.inputs import Inputs

LENGTHS = np.array([600, 250], np.int32)
# What stands behind a clip's end is not silence: nothing of it may be heard.
WAVE = np.random.default_rng(0).normal(0.02, 0.3, (2, 600)).astype(np.float32)


@pytest.mark.parametrize(("normalize", "output_norm"), [(True, True), (False, False)])
def test_logits_equal_the_formula_over_true_frames(normalize, output_norm):
    layout = SpeechBrainLayout(3, bias=True, normalize=normalize, output_norm=output_norm)
    model = noisy(lambda rngs: SpeechBrainClassifier(WAV2VEC2, layout, rngs=rngs))
    model.speech_encoder = nnx.static(StillEncoder(WAV2VEC2))
    encoder, inputs = model.speech_encoder, Inputs(WAVE / 100, LENGTHS)
    pooled, logits = embed(model, inputs), model(inputs)
    for row, length in enumerate(LENGTHS):
        wave = inputs.wave[row, :length]
        # Of so quiet a clip the epsilon is seen.
        wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-5) if normalize else wave
        np.testing.assert_allclose(encoder.wave[row, :length], wave, atol=1e-5)
        x = encoder.true(row)[-1]
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-5) if output_norm else x
        np.testing.assert_allclose(pooled[row], x.mean(0), atol=1e-5)
    linear = model.output_mlp["w"]
    np.testing.assert_allclose(logits, pooled @ linear.kernel[...] + linear.bias[...], atol=1e-5)
