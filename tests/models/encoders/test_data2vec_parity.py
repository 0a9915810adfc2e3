"""data2vec-audio against transformers' in PyTorch: same weights, same waves, same answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from torch_encoders import TINY, assert_close, check_every_way, randomise, reference, theirs, theirs_of, torch, waves

from serjax.checkpoints.huggingface import load_encoder, save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor

pytestmark = pytest.mark.torch
FAMILY = "data2vec-audio"
LAYOUTS = {
    "three positional convolutions": {"num_conv_pos_embeddings": 3},
    "even kernel, biases": {"num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 6, "conv_bias": True},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_hidden_states_of_every_layer(tmp_path, layout):
    model = reference(FAMILY, 1, **LAYOUTS[layout])
    model.save_pretrained(tmp_path)
    check_every_way(model, load_encoder(str(tmp_path)).encoder, [9000, 5123, 400])


@pytest.mark.slow
def test_hidden_states_at_base_size(tmp_path):
    model = randomise(theirs_of(FAMILY, "Model")(theirs_of(FAMILY, "Config")()), 0)
    model.save_pretrained(tmp_path)
    check_every_way(model, load_encoder(str(tmp_path)).encoder, [32_000, 21_000])


def test_the_encoder_of_a_task_checkpoint_and_what_is_saved_of_it(tmp_path):
    options = {**TINY, "num_conv_pos_embeddings": 2}
    model = randomise(theirs_of(FAMILY, "ForCTC")(theirs_of(FAMILY, "Config")(**options)), 3)
    model.save_pretrained(tmp_path / "theirs")
    loaded = load_encoder(str(tmp_path / "theirs"))
    assert any("also holds lm_head; only the encoder was loaded." in note for note in loaded.notes)
    wave = waves([3000])
    expected = theirs(model.base_model, wave)
    assert_close(loaded.encoder(wave, jnp.array([3000])), expected)
    save_pretrained(loaded.encoder, tmp_path / "ours", preprocessor=Preprocessor())
    again, info = theirs_of(FAMILY, "Model").from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(map(info.get, ("missing_keys", "unexpected_keys", "mismatched_keys")))
    for mine, other in zip(theirs(again.eval(), wave), expected, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_bfloat16_errs_no_more_than_theirs(tmp_path):
    mine, other = [], []
    for seed in range(4):
        model = reference(FAMILY, seed, num_conv_pos_embeddings=3)
        model.save_pretrained(tmp_path)
        wave = waves([8000, 8000], seed)
        exact = theirs(model, wave)[-1]
        graphdef, state = nnx.split(load_encoder(str(tmp_path)).encoder)
        low = nnx.merge(graphdef, jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), state))
        mine.append(np.asarray(low(wave, jnp.array([8000, 8000])).hidden_states[-1], np.float32) - exact)
        with torch.no_grad():
            found = model.to(torch.bfloat16)(torch.tensor(wave).to(torch.bfloat16)).last_hidden_state
        other.append(found.float().numpy() - exact)
    assert np.mean(np.square(mine)) <= np.mean(np.square(other))
