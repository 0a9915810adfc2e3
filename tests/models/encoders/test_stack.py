import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.models.encoders.config import preset
from serjax.models.encoders.stack import BaseEncoder, check_waves, run_layer
from serjax.runtime.errors import UserError


class Doubled(nnx.Module):
    """Twice its input, for a layer."""

    def __call__(self, x, mask, key, factor, attentions):
        return factor * x, jnp.ones((len(x), 1, x.shape[1], x.shape[1])) if attentions else None


@pytest.mark.parametrize("remat", [False, True])
def test_a_layer_is_skipped_in_training_alone(remat):
    x, mask = jnp.ones((1, 3, 2)), jnp.ones((1, 3), bool)
    found = {
        float(run_layer(Doubled(), x, mask, key, 2.0, layerdrop=0.5, remat=remat)[0].max())
        for key in jax.random.split(jax.random.key(0), 12)
    }
    assert found == {1.0, 2.0}
    y, weights = run_layer(Doubled(), x, mask, None, 2.0, attentions=True, layerdrop=0.5, remat=remat)
    np.testing.assert_array_equal(y, 2 * x)
    assert weights.shape == (1, 1, 3, 3)


def test_a_family_computes_by_a_class_of_its_own():
    with pytest.raises(NotImplementedError):
        BaseEncoder()(jnp.zeros((1, 9)), jnp.array([9]))


def test_waves_of_which_there_is_no_answer_are_refused():
    config = preset("whisper", "tiny")
    with pytest.raises(UserError, match="the waves have 319 samples, but the first frame takes 320"):
        check_waves(config, jnp.zeros((1, 319)))
    with pytest.raises(UserError, match="the waves hold NaN or infinity"):
        check_waves(config, jnp.full((1, 320), jnp.nan))
