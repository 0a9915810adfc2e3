"""wav2vec2-conformer where it is none of wav2vec2's: test_wav2vec2.py holds it to all the rest."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from noise import noisy

from serjax.checkpoints.conversion import to_tensors
from serjax.models.encoders.config import preset
from serjax.models.encoders.wav2vec2_conformer import SpeechEncoder

TINY = replace(preset("wav2vec2-conformer", "tiny"), num_hidden_layers=1, conv_depthwise_kernel_size=3)


def test_rotary_rates_are_stored_and_stay_in_float32():
    rotary = noisy(lambda rngs: SpeechEncoder(replace(TINY, position_embeddings_type="rotary"), rngs=rngs))
    assert to_tensors(rotary)["encoder.embed_positions.inv_freq"].shape == (16,)
    assert "encoder.embed_positions.inv_freq" not in to_tensors(noisy(lambda rngs: SpeechEncoder(TINY, rngs=rngs)))
    built = SpeechEncoder(replace(TINY, position_embeddings_type="rotary", num_hidden_layers=0), rngs=nnx.Rngs(0))
    rates = built.encoder.embed_positions.inv_freq
    assert isinstance(rates, nnx.BatchStat)
    np.testing.assert_allclose(rates[...], 10_000.0 ** (-np.arange(16) / 16), rtol=1e-6)


def test_nothing_passes_through_the_positional_convolution():
    graphdef, state = nnx.split(noisy(lambda rngs: SpeechEncoder(TINY, rngs=rngs)))
    wave = jnp.asarray(np.random.default_rng(0).normal(size=(1, 3000)), jnp.float32)

    def total(state):
        return jnp.sum(nnx.merge(graphdef, state)(wave, jnp.array([3000])).hidden_states[-1] ** 2)

    for path, gradient in nnx.to_flat_state(jax.jit(jax.grad(total))(state)):
        if "pos_conv_embed" in path:
            assert not np.asarray(gradient[...]).any()
