"""Picking by places: ONNX Runtime picks what JAX does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from onnx_runs import same

pytestmark = pytest.mark.onnx
X = np.random.default_rng(0).normal(size=(3, 6, 5)).astype(np.float32)
PLACES = np.array([[0, 2], [1, 1], [2, 0]], np.int32)

CASES = {
    "rows": lambda x: x[:, np.array([3, 0, 3])],
    "one_row": lambda x: x[:, -1],
    "stretches": lambda x: jax.vmap(lambda at: lax.dynamic_slice_in_dim(x, at, 2, axis=1))(jnp.arange(3)),
    "table": lambda x: x.swapaxes(0, 1)[np.array([[0, 1], [5, 2]])],
    "points": lambda x: x[:, np.array([0, 1, 4]), np.array([2, 2, 0])],
    "strides": lambda x: x[:, 1:6:2, ::2],
    "open_end": lambda x: x[:, : x.shape[1] - 1],
    "up_to_the_batch": lambda x: x[: x.shape[0] - 1],
    "own_rows": lambda x: jnp.take_along_axis(x, jnp.argmax(x, axis=1, keepdims=True), axis=1),
    "computed_rows": lambda x: jnp.take(x, jnp.clip(jnp.arange(4), 0, 3), axis=1, mode="clip"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("spec", [None, "b, _, _"], ids=["static", "symbolic"])
def test_it_picks_what_jax_picks(name, spec):
    same(CASES[name], X, spec=spec)


def test_places_that_are_inputs():
    table = {"w": jnp.asarray(X[0])}
    same(lambda w, places: jnp.take(w, places, axis=0, mode="clip"), PLACES + 7, weights=table)
    same(lambda w, places: w.at[places].get(mode="promise_in_bounds"), PLACES, weights=table, spec="b, _")
    same(lambda w, places: jax.vmap(lambda at: w[:, at])(places), PLACES, weights={"w": jnp.asarray(X[0].T)})


def test_an_open_number_of_distances():
    """The way WavLM's positions are picked."""
    table = {"w": jnp.asarray(X[0].T)}

    def bias(w, x):
        place = jnp.arange(x.shape[0])
        return jnp.take(w, jnp.clip(place[None, :] - place[:, None], -2, 2) + 2, axis=1, mode="clip")

    same(bias, X, weights=table, spec="n, _, _")
