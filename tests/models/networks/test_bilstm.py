import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.checkpoints.conversion import load_tensors, to_tensors
from serjax.models.networks.bilstm import BiLSTM, BiLSTMClassifier


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize(("classes", "count"), [(6, 1_870_086), (8, 1_870_600)])
def test_parameters_are_as_many_as_published(classes, count):
    model = nnx.eval_shape(lambda: BiLSTMClassifier(classes, rngs=nnx.Rngs(0)))
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model))) == count


SMALL = nnx.split(BiLSTMClassifier(3, features=5, size=8, rngs=nnx.Rngs(0)))


@jax.jit
def logits(x, frames):
    return nnx.merge(*SMALL)(x, frames)


@settings(max_examples=10)
@given(lengths=st.lists(st.integers(1, 6), min_size=2, max_size=2))
def test_padding_changes_nothing(lengths):
    x = normal(2, 9, 5) * 100  # what stands in the padding is no smaller than the clip
    together = logits(x, jnp.array(lengths))
    for row, length in enumerate(lengths):
        alone = logits(x[row : row + 1, :length], jnp.array([length]))
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5)


def test_dropout_comes_with_a_key_alone():
    model, x, frames = nnx.merge(*SMALL), normal(2, 3, 5), jnp.array([3, 2])
    assert (model(x, frames) == logits(x, frames)).all()
    assert (model(x, frames, jax.random.key(0)) != logits(x, frames)).any()


@pytest.mark.slow
def test_vmap_over_folds_is_a_loop():
    graphdef, state = SMALL
    states = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf * 2]), state)
    x, frames = normal(2, 3, 4, 5), jnp.array([[4, 1, 2], [3, 4, 4]])

    @jax.jit
    def gradient(state, x, frames):
        return jax.grad(lambda state: jnp.sum(jnp.sin(nnx.merge(graphdef, state)(x, frames))))(state)

    together = jax.vmap(gradient)(states, x, frames)
    for fold in range(2):
        alone = gradient(*jax.tree.map(lambda leaf, fold=fold: leaf[fold], (states, x, frames)))
        for got, want in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(got[fold], want, rtol=1e-4, atol=1e-5)
            assert jnp.abs(want).max() > 0


def test_initial_weights_fill_pytorchs_ranges():
    model = BiLSTMClassifier(6, rngs=nnx.Rngs(0))
    bounds = {"fc0": 312**-0.5, "lstm": 256**-0.5, "fc1": 512**-0.5, "fc2": 256**-0.5}
    for key, value in to_tensors(model).items():
        bound = bounds[key.split(".")[0]]
        assert np.abs(value).max() <= bound, key
        if value.size > 100:
            assert np.abs(value).max() > 0.95 * bound, key
            assert abs(value.std() - bound / 3**0.5) < 0.1 * bound, key


@pytest.mark.torch
def test_states_are_those_of_pytorchs_packed_lstm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    peer = torch.nn.LSTM(6, 5, bidirectional=True, batch_first=True)
    ours = BiLSTM(6, 5, rngs=nnx.Rngs(0))
    tensors = {key: value.numpy().copy() for key, value in peer.state_dict().items()}
    nnx.update(ours, load_tensors(ours, tensors, source="here"))
    x, frames = normal(3, 7, 6), [7, 1, 4]
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.tensor(np.asarray(x)), frames, batch_first=True, enforce_sorted=False
    )
    expected = torch.nn.utils.rnn.pad_packed_sequence(peer(packed)[0], batch_first=True)[0]
    np.testing.assert_allclose(ours(x, jnp.array(frames)), expected.detach(), rtol=0, atol=1e-5)
    peer.load_state_dict({key: torch.tensor(value) for key, value in to_tensors(ours).items()}, strict=True)
