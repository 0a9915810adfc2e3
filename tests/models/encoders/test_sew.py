import jax
import jax.numpy as jnp
import numpy as np
import pytest
from encoder_laws import check_above, check_finite, check_folds, check_padding
from flax import nnx

from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.sew import SqueezingConv
from serjax.models.encoders.sew_config import SEWConfig
from serjax.models.encoders.wav2vec2 import WeightNormConv
from serjax.runtime.errors import UserError

LENGTHS = [600, 311, 50, 0]


def test_padding_changes_nothing(sew_config):
    check_padding(sew_config, LENGTHS)


def test_gradients_are_finite(sew_config):
    check_finite(sew_config, LENGTHS)


@pytest.mark.slow
def test_folds_in_one_vmap_equal_a_loop(sew_config):
    check_folds(sew_config, LENGTHS)


def test_layers_run_apart_from_what_comes_before_them(sew_config):
    check_above(sew_config, 1, LENGTHS)


@pytest.mark.parametrize(("taps", "factor"), [(6, 2), (5, 2), (7, 3), (4, 3), (2, 4), (6, 1)])
def test_the_convolution_is_every_so_manieth_output_of_the_whole_one(taps, factor):
    sizes = {"hidden_size": 8, "num_conv_pos_embeddings": taps, "num_conv_pos_embedding_groups": 2}
    config = SEWConfig(squeeze_factor=factor, **sizes)
    whole, squeezing = (kind(config, rngs=nnx.Rngs(0)) for kind in (WeightNormConv, SqueezingConv))
    x = jax.random.normal(jax.random.key(0), (2, 11, 8))
    found = squeezing(x)
    assert found.shape[1] == 11 // factor
    np.testing.assert_allclose(found, whole(x)[:, ::factor][:, : 11 // factor], atol=1e-5)


def test_squeezed_frames_stand_side_by_side_and_those_left_over_are_zero(sew_config):
    encoder = build_encoder(sew_config, rngs=nnx.Rngs(0))
    wave = jax.random.normal(jax.random.key(0), (2, 130))
    output = encoder(wave, jnp.array([130, 110]), attentions=True)
    assert output.lengths.tolist() == [6, 5]
    for state in output.hidden_states[:-1]:
        np.testing.assert_array_equal(state[:, :4:2], state[:, 1:4:2])
    for state in output.hidden_states:
        assert state[0].any(-1).all()
        assert state[1].any(-1).tolist() == [True] * 4 + [False] * 2
    assert {shares.shape for shares in output.attentions} == {(2, 2, 3, 3)}


def test_a_clip_of_fewer_frames_than_are_squeezed_into_one_is_refused(sew_config):
    encoder = build_encoder(sew_config, rngs=nnx.Rngs(0))
    with pytest.raises(UserError, match="the waves have 49 samples, but the first frame takes 50"):
        encoder(jnp.ones((1, 49)), jnp.array([49]))
