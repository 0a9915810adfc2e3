"""Models as pure functions of their parameters."""

import typing
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from serjax.models.inputs import Inputs

Params = Any
"""A pytree of arrays."""


def path_name(path: tuple[Any, ...]) -> str:
    """Return a parameter's path as `speech_encoder.encoder.layers.0.attention.q_proj.kernel`."""
    parts = (getattr(key, "key", getattr(key, "name", getattr(key, "idx", key))) for key in path)
    return ".".join(str(part) for part in parts).removesuffix(".value")


Module = TypeVar("Module", bound=nnx.Module)


def abstract(make: Callable[[nnx.Rngs], Module], dtype: str = "float32") -> Module:
    """Return the module that `make` builds, with shapes in place of arrays: no random weights are drawn.

    Args:
        make: given what stands for nnx.Rngs, of which only `rngs.params()` works, builds the module.
        dtype: of its parameters; see `cast`.
    """

    def build() -> Module:
        module = make(typing.cast(nnx.Rngs, SimpleNamespace(params=lambda: key)))
        if dtype != "float32":
            nnx.update(module, cast(nnx.state(module), dtype))
        return module

    # One key for all: Flax would trace the counter of nnx.Rngs, at ten times the cost (1.4 s for a large encoder).
    key = jax.random.key(0)
    return nnx.eval_shape(build)


def cast(tree: Params, dtype: str) -> Params:
    """Return the tree with floating-point leaves in `dtype`, but for batch statistics, which stay as they are."""

    def one(leaf: Any) -> Any:
        kept = isinstance(leaf, nnx.BatchStat) or not jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf if kept else leaf.astype(dtype)

    return jax.tree.map(one, tree, is_leaf=lambda leaf: isinstance(leaf, nnx.BatchStat))


def logits_of(
    graphdef: nnx.GraphDef[Any],
    params: Params,
    frozen: Params,
    inputs: Inputs,
    key: Key[Array, ""] | None,
    dtype: str,
    gather: Callable[[Params], Params] = lambda params: params,
) -> Float[Array, "b c"]:
    """Return the model's logits in float32, computed in `dtype`; no key means evaluation; see `merge` for `gather`."""
    return apply(merge(graphdef, params, frozen, dtype, gather), inputs, key, dtype)


def merge(
    graphdef: nnx.GraphDef[Any],
    params: Params,
    frozen: Params,
    dtype: str,
    gather: Callable[[Params], Params] = lambda params: params,
) -> Any:
    """Return the model with its parameters in `dtype`, for one call inside a compiled function.

    Args:
        graphdef: of the model.
        params: trained parameters.
        frozen: the others.
        dtype: to compute in.
        gather: returns parameters laid out for the computation, where they are stored in parts.
    """
    return nnx.merge(graphdef, gather(cast(params, dtype)), gather(cast(frozen, dtype)), copy=True)


def apply(
    model: Any, inputs: Inputs, key: Key[Array, ""] | None, dtype: str, weight: Float[Array, "b"] | None = None
) -> Float[Array, "b c"]:
    """Return logits in float32 of a merged model, whose batch statistics move in training.

    Args:
        model: made by `merge`.
        inputs: the batch.
        key: random key of training; None for evaluation.
        dtype: what to compute in.
        weight: in training, 0 for rows that only fill up the batch and must not count in batch statistics.
    """
    return model(rounded(inputs, dtype), key, weight).astype(jnp.float32)


def rounded(inputs: Inputs, dtype: str) -> Inputs:
    """Return a batch in `dtype`, but for what stays in float32.

    Waves are rounded by what takes them, behind their mean and variance; shares of mixup mix labels too.
    """
    return cast(inputs._replace(wave=None, pairs=None), dtype)._replace(wave=inputs.wave, pairs=inputs.pairs)


def overlay(params: Params, given: Params) -> Params:
    """Return the state with leaves replaced by those that `given` has too."""
    leaves = dict(nnx.to_flat_state(given))
    return nnx.from_flat_state([(path, leaves.get(path, leaf)) for path, leaf in nnx.to_flat_state(params)])


def flat(state: Params) -> dict[str, Array]:
    """Return a state's arrays by name, such as `speech_encoder.encoder.layer_norm.scale`."""
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def count(state: Params) -> int:
    """Return the number of weights in a state; batch statistics are none."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.filter_state(state, nnx.Param)))
