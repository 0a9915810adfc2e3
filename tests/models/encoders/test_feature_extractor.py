import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from serjax.models.encoders import feature_extractor
from serjax.models.encoders.feature_extractor import FeatureExtractor


def test_stretches_of_a_long_clip_are_those_of_the_whole(monkeypatch, config):
    model = FeatureExtractor(config, rngs=nnx.Rngs(0))
    wave = np.random.default_rng(0).normal(0.2, 1, size=(2, 1_010)).astype(np.float32)
    lengths = jnp.array([1_010, 600])
    whole = jax.jit(model)(wave, lengths)
    monkeypatch.setattr(feature_extractor, "LONG", 16)
    parted = jax.jit(lambda wave, lengths: model(wave, lengths))(wave, lengths)
    assert parted.shape == whole.shape == (2, 50, 8)
    np.testing.assert_allclose(parted[0], whole[0], atol=1e-5)
    np.testing.assert_allclose(parted[1, :29], whole[1, :29], atol=1e-5)
