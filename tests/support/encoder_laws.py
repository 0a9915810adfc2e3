"""Laws that every encoder obeys, and what the tests of encoders build and feed them with."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.emotion2vec_config import Emotion2vecConfig
from serjax.models.layers.masking import length_mask

KEY = jax.random.key(7)
EMOTION2VEC = Emotion2vecConfig(
    hidden_size=16,
    num_hidden_layers=2,
    prenet_depth=1,
    num_attention_heads=2,
    intermediate_size=24,
    conv_dim=(8, 8, 8),
    conv_kernel=(10, 3, 2),
    conv_stride=(5, 2, 2),
    num_conv_pos_embeddings=5,
    conv_pos_kernel_size=5,
    num_conv_pos_embedding_groups=4,
    num_extra_tokens=3,
    dropout_input=0.2,
)


@cache
def build(config, seed=0):
    """Return the definition and the parameters of an encoder."""
    return nnx.split(build_encoder(config, rngs=nnx.Rngs(seed)))


@cache
def encode(config, **options):
    """Return the jitted encoder as a function of parameters, wave, lengths and key."""
    graphdef, _ = build(config)
    return jax.jit(lambda state, wave, lengths, key=None: nnx.merge(graphdef, state)(wave, lengths, key, **options))


def waves(lengths, size, filler=0.0, seed=0, scale=1.0):
    """Return noise of so many samples a row, `filler` behind it; longer rows begin as shorter ones do."""
    drawn = 1000 if size <= 1000 else 12_000
    noise = scale * np.random.default_rng(seed).normal(size=(len(lengths), drawn)).astype(np.float32)[:, :size]
    return jnp.where(length_mask(jnp.asarray(lengths), size), noise, filler)


def within(output):
    """Return the states of true frames, those beyond set to zero."""
    states = jnp.stack(output.hidden_states)
    return jnp.where(length_mask(output.lengths, states.shape[2])[None, :, :, None], states, 0)


def check_padding(config, lengths, size=640):
    """Hold that more padding, what it contains and the other clips change nothing; the second clip is also alone."""
    state, run, lengths = build(config)[1], encode(config), jnp.array(lengths)
    short = within(run(state, waves(lengths, size), lengths))
    long = within(run(state, waves(lengths, 1000, filler=3.0), lengths))
    np.testing.assert_allclose(long[:, :, : short.shape[2]], short, atol=1e-5)
    assert not long[:, :, short.shape[2] :].any()
    length = int(lengths[1])
    alone = run(state, waves(lengths, size)[1:2, :length], lengths[1:2])
    count = config.frames(length)
    assert int(alone.lengths[0]) == count
    np.testing.assert_allclose(short[:, 1, :count], within(alone)[:, 0, :count], atol=1e-5)


def check_finite(config, lengths, size=640):
    """Hold that states and gradients of training are finite, of silence too; return the gradient of noise."""
    graphdef, state = build(config)
    lengths = jnp.array(lengths)

    def loss(state, wave, key):
        return jnp.sum(jnp.square(jnp.stack(nnx.merge(graphdef, state)(wave, lengths, key).hidden_states)))

    run = jax.jit(jax.value_and_grad(loss))
    for wave in (jnp.zeros((len(lengths), size)), waves(lengths, size)):
        value, gradient = run(state, wave, KEY)
        assert jnp.isfinite(value)
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    return gradient


def check_folds(config, lengths, size=640):
    """Hold that the gradients of folds in one vmap equal those of a loop over folds."""
    graphdef, _ = build(config)
    folds, lengths = [build(config, seed)[1] for seed in (1, 2)], jnp.array(lengths)
    wave, keys = jnp.stack([waves(lengths, size, seed=seed) for seed in (1, 2)]), jax.random.split(KEY)

    def gradient(state, wave, key):
        return jax.grad(lambda s: jnp.sum(jnp.sin(within(nnx.merge(graphdef, s)(wave, lengths, key)))))(state)

    together = jax.jit(jax.vmap(gradient))(jax.tree.map(lambda *leaves: jnp.stack(leaves), *folds), wave, keys)
    one = jax.jit(gradient)
    for fold, (state, row, key) in enumerate(zip(folds, wave, keys, strict=True)):
        for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(one(state, row, key)), strict=True):
            np.testing.assert_allclose(a[fold], b, atol=1e-4 * max(1, np.abs(b).max()))


def check_key(config, frozen, lengths, size=640):
    """Hold that training changes all states, and with so many frozen layers those behind them alone."""
    state, wave, lengths = build(config)[1], waves(lengths, size), jnp.array(lengths)
    evaluation = within(encode(config)(state, wave, lengths))
    for count in (None, *frozen):
        training = within(encode(config, frozen_layers=count)(state, wave, lengths, KEY))
        changed = [np.abs(a - b).max() > 1e-3 for a, b in zip(evaluation, training, strict=True)]
        still = 0 if count is None else count + 1
        assert changed == [False] * still + [True] * (len(changed) - still)


def check_above(config, first, lengths, size=640):
    """Hold that the layers from one on, given its input in a longer batch, make the whole encoder's states."""
    graphdef, state = build(config)
    lengths = jnp.array(lengths)
    whole = encode(config)(state, waves(lengths, size), lengths)
    given = jnp.pad(whole.whole(first), ((0, 0), (0, 3), (0, 0)), constant_values=3.0)
    run = jax.jit(lambda state, *given: nnx.merge(graphdef, state).above(*given, first=first))
    above = [one[:, :-3] for one in run(state, given, whole.lengths)]
    assert len(above) == len(whole.hidden_states) - first
    masks = length_mask(whole.lengths, above[0].shape[1])[:, :, None]
    for a, b in zip(above, whole.hidden_states[first:], strict=True):
        np.testing.assert_allclose(jnp.where(masks, a, 0), jnp.where(masks, b, 0), atol=1e-5)
