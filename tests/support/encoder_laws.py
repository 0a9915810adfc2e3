"""Laws that every encoder obeys, for those with layers of their own."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from serjax.models.encoders.build import build_encoder
from serjax.models.layers.masking import length_mask

LENGTHS = jnp.array([600, 311, 50, 0])
KEY = jax.random.key(7)


def waves(size, filler=0.0, seed=0):
    noise = np.random.default_rng(seed).normal(size=(len(LENGTHS), 1000)).astype(np.float32)[:, :size]
    return jnp.where(length_mask(LENGTHS, size), noise, filler)


def within(output):
    """Return the states of true frames, those beyond set to zero."""
    states = jnp.stack(output.hidden_states)
    return jnp.where(length_mask(output.lengths, states.shape[2])[None, :, :, None], states, 0)


def check_padding(config):
    """Hold that more padding, what it contains and the other clips change nothing."""
    graphdef, state = nnx.split(build_encoder(config, rngs=nnx.Rngs(0)))
    run = jax.jit(lambda state, wave, lengths: nnx.merge(graphdef, state)(wave, lengths))
    short = within(run(state, waves(640), LENGTHS))
    long = within(run(state, waves(1000, filler=3.0), LENGTHS))
    np.testing.assert_allclose(long[:, :, : short.shape[2]], short, atol=1e-5)
    assert not long[:, :, short.shape[2] :].any()
    alone = run(state, waves(640)[1:2, :311], LENGTHS[1:2])
    assert int(alone.lengths[0]) == config.frames(311)
    np.testing.assert_allclose(short[:, 1, : config.frames(311)], within(alone)[:, 0], atol=1e-5)


def check_folds(config):
    """Hold that gradients of training are finite, and that folds in one vmap equal a loop over folds."""
    models = [build_encoder(config, rngs=nnx.Rngs(seed)) for seed in (1, 2)]
    graphdef, folds = nnx.split(models[0])[0], [nnx.state(model) for model in models]
    wave, keys = jnp.stack([waves(640, seed=seed) for seed in (1, 2)]), jax.random.split(KEY)

    def gradient(state, wave, key):
        return jax.grad(lambda s: jnp.sum(jnp.sin(within(nnx.merge(graphdef, s)(wave, LENGTHS, key)))))(state)

    together = jax.jit(jax.vmap(gradient))(jax.tree.map(lambda *leaves: jnp.stack(leaves), *folds), wave, keys)
    one = jax.jit(gradient)
    for fold, (state, row, key) in enumerate(zip(folds, wave, keys, strict=True)):
        alone = jax.tree.leaves(one(state, row, key))
        for a, b in zip(jax.tree.leaves(together), alone, strict=True):
            assert jnp.isfinite(b).all()
            np.testing.assert_allclose(a[fold], b, atol=1e-4 * max(1, np.abs(b).max()))
