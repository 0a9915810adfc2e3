"""Encoders of transformers with random weights, and comparisons with them."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from hard_waves import band_pass

from serjax.models.encoders.families import FAMILIES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

TOLERANCE = 1e-4
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": [16, 24, 16, 24, 16, 24, 16],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


def theirs_of(family, kind):
    """Return transformers' class of a kind, such as Model."""
    return getattr(transformers, f"{FAMILIES[family].architecture}{kind}")


def randomise(model, seed):
    """Draw all parameters anew, norms and biases too, so that no zero or one hides a mistake; first kernels pass bands.

    Those of trained encoders do. Random ones let DC and hum through and hide what these cost others.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if name.endswith("conv_layers.0.conv.weight"):
                value.copy_(torch.tensor(band_pass(value.shape[2], value.shape[0], seed).T[:, None]))
            elif name.endswith(("original0", "weight_g")) or (value.ndim == 1 and name.endswith("weight")):
                value.copy_(1 + 0.4 * noise)
            elif value.ndim == 1:
                value.copy_(0.3 * noise)
            else:
                value.copy_(1.5 * noise / value[0].numel() ** 0.5)
    return model.eval()


def reference(family, seed=0, **options):
    """Return a model of transformers with random weights of no usual scale."""
    return randomise(theirs_of(family, "Model")(theirs_of(family, "Config")(**{**TINY, **options})), seed)


def waves(lengths, seed=0):
    """Return clips with an offset and levels of their own, padded with zeros to the longest."""
    rng = np.random.default_rng(seed)
    batch = np.zeros((len(lengths), max(lengths)), np.float32)
    for row, length in zip(batch, lengths, strict=True):
        row[:length] = rng.normal(rng.uniform(-0.1, 0.1), rng.uniform(0.1, 1), length)
    return batch


def theirs(model, wave, lengths=None):
    """Return each hidden state as transformers computes it, the last one as last_hidden_state has it."""
    mask = None
    if lengths is not None:
        mask = torch.tensor(np.arange(wave.shape[1]) < np.array(lengths)[:, None]).long()
    with torch.no_grad():
        output = model(torch.tensor(wave), attention_mask=mask, output_hidden_states=True)
    # transformers 5 gives the last layer's output before its norm among the hidden states, 4.57 after it.
    return [*(state.numpy() for state in output.hidden_states[:-1]), output.last_hidden_state.numpy()]


def assert_close(output, expected, row=None):
    """Compare the true frames of every hidden state, or of one row with a batch of that clip alone."""
    assert len(output.hidden_states) == len(expected)
    for mine, other in zip(output.hidden_states, expected, strict=True):
        rows = (
            zip(mine, other, output.lengths, strict=True)
            if row is None
            else [(mine[row], other[0], output.lengths[row])]
        )
        for states, peer, count in rows:
            np.testing.assert_allclose(states[:count], peer[:count], rtol=0, atol=TOLERANCE)


def check_every_way(model, encoder, lengths):
    """Compare one batch without padding, with transformers' padding, and with ours each clip alone."""
    full = waves([max(lengths)] * len(lengths))
    expected = theirs(model, full)
    for padding in ("transformers", "exact"):
        whole = encoder(full, jnp.full(len(lengths), max(lengths)), padding=padding)
        assert whole.lengths.tolist() == [len(expected[0][0])] * len(lengths)
        assert_close(whole, expected)
    batch = waves(lengths)
    assert_close(encoder(batch, jnp.array(lengths), padding="transformers"), theirs(model, batch, lengths))
    exact = encoder(batch, jnp.array(lengths), padding="exact")
    for row, length in enumerate(lengths):
        alone = theirs(model, batch[row : row + 1, :length])
        assert int(exact.lengths[row]) == len(alone[0][0])
        assert_close(exact, alone, row)
