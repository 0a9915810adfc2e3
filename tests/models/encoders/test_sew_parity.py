"""SEW against transformers' in PyTorch: same weights, same waves, same answers."""

import jax.numpy as jnp
import numpy as np
import pytest
from torch_encoders import TINY, TOLERANCE, randomise, reference, theirs_of, torch, waves

from serjax.checkpoints.huggingface import load_encoder, save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor

pytestmark = pytest.mark.torch
CONVOLUTIONS = {"conv_dim": [16, 24] * 6 + [16]}
LAYOUTS = {
    "group norm": CONVOLUTIONS,
    "layer norm, no projection": {
        "conv_dim": [16] * 12 + [32],
        "feat_extract_norm": "layer",
        "conv_bias": True,
        "num_conv_pos_embeddings": 6,
    },
    "three into one, odd kernel": {**CONVOLUTIONS, "squeeze_factor": 3, "num_conv_pos_embeddings": 15},
    "nothing squeezed": {**CONVOLUTIONS, "squeeze_factor": 1},
}


def theirs(model, wave, lengths=None):
    """Return what the layers see, squeezed, and the last state."""
    mask = None if lengths is None else torch.tensor(np.arange(wave.shape[1]) < np.array(lengths)[:, None]).long()
    with torch.no_grad():
        output = model(torch.tensor(wave), attention_mask=mask, output_hidden_states=True)
    return [state.numpy() for state in output.hidden_states], output.last_hidden_state.numpy()


def assert_close(encoder, wave, lengths, padding, expected, rows):
    """Compare rows of a batch with rows of theirs, before and after the last layer is upsampled."""
    factor = encoder.config.squeezed
    output = encoder(wave, jnp.array(lengths), padding=padding)
    layers = encoder(wave, jnp.array(lengths), padding=padding, normalize_last=False).hidden_states
    states, last = expected
    assert len(states) == len(layers)
    for row, theirs_row in rows:
        count = int(output.lengths[row])
        np.testing.assert_allclose(output.hidden_states[-1][row, :count], last[theirs_row, :count], 0, TOLERANCE)
        for mine, other in zip(layers, states, strict=True):
            squeezed = mine[row, ::factor][: count // factor]
            np.testing.assert_allclose(squeezed, other[theirs_row, : count // factor], 0, TOLERANCE)


def check_every_way(model, encoder, lengths):
    """Compare one batch with transformers' padding, and with ours each clip alone."""
    wave, rows = waves(lengths), range(len(lengths))
    assert_close(encoder, wave, lengths, "transformers", theirs(model, wave, lengths), [(i, i) for i in rows])
    for row, length in enumerate(lengths):
        alone = theirs(model, wave[row : row + 1, :length])
        assert_close(encoder, wave, lengths, "exact", alone, [(row, 0)])


@pytest.mark.parametrize("layout", LAYOUTS)
# Frames 27, 15, 3, 4 and 28: odd and even, in batches of an odd and an even number.
@pytest.mark.parametrize("lengths", [[9000, 5123, 1100, 1500], [9320, 5443]], ids=["27 frames", "28 frames"])
def test_hidden_states_of_every_layer(tmp_path, layout, lengths):
    model = reference("sew", 1, **LAYOUTS[layout])
    model.save_pretrained(tmp_path)
    check_every_way(model, load_encoder(str(tmp_path)).encoder, lengths)


@pytest.mark.slow
def test_hidden_states_at_base_size(tmp_path):
    model = randomise(theirs_of("sew", "Model")(theirs_of("sew", "Config")()), 0)
    model.save_pretrained(tmp_path)
    check_every_way(model, load_encoder(str(tmp_path)).encoder, [32_000, 21_000])


def test_the_encoder_of_a_task_checkpoint_and_what_is_saved_of_it(tmp_path):
    model = randomise(theirs_of("sew", "ForCTC")(theirs_of("sew", "Config")(**{**TINY, **CONVOLUTIONS})), 3)
    model.save_pretrained(tmp_path / "theirs")
    loaded = load_encoder(str(tmp_path / "theirs"))
    assert any("also holds lm_head; only the encoder was loaded." in note for note in loaded.notes)
    check_every_way(model.base_model, loaded.encoder, [3000])
    save_pretrained(loaded.encoder, tmp_path / "ours", preprocessor=Preprocessor())
    again, info = theirs_of("sew", "Model").from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(map(info.get, ("missing_keys", "unexpected_keys", "mismatched_keys")))
    np.testing.assert_array_equal(theirs(again.eval(), waves([3000]))[1], theirs(model.base_model, waves([3000]))[1])
