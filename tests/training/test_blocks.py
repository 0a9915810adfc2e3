"""A map in blocks gives the numbers of a map of all entries at once."""

import jax
import numpy as np
import pytest

from serjax.training.blocks import in_blocks
from serjax.training.fold_axis import FOLD, SHARED, fold_axis


@pytest.mark.parametrize("block", [1, 4, 6, 100])
def test_blocks_give_the_numbers_of_all_folds_at_once(block):
    axis = fold_axis(6, 1, together=True, devices=jax.devices()[:1])

    def step(state, x, shared):
        return state + x @ shared, {"sum": x.sum()}

    rng = np.random.default_rng(0)
    state, x, shared = (rng.normal(size=size).astype(np.float32) for size in [(6, 2), (6, 3), (3, 2)])
    active = np.array([True, False, True, True, True, False])

    def done(block):
        call = axis.jit_step(step, (FOLD, FOLD, SHARED), block)
        return axis.gather(call(active, axis.shard(state), axis.shard(x), axis.replicate(shared)))

    (wanted, metrics), (new, sums) = done(None), done(block)
    np.testing.assert_allclose(new, wanted, rtol=1e-6)
    np.testing.assert_allclose(sums["sum"], metrics["sum"], rtol=1e-6)
    np.testing.assert_array_equal(new[~active], state[~active])


def test_a_block_is_no_larger_than_asked_for():
    mapped = in_blocks(lambda x, y: x + y, (0, None), 4)
    assert "length=2" in str(jax.make_jaxpr(mapped)(np.arange(6.0), 1.0))  # two blocks of three
