"""The first parameters of all jobs: random, or a checkpoint's where it has them."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Key

from serjax.checkpoints.naming import abstract
from serjax.training.folds import FoldAxis, PerFold
from serjax.training.optimizer import Params, path_name


def flat(state: Params) -> dict[str, Array]:
    """Return a state's arrays by name, such as `trunk.encoder.layer_norm.scale`."""
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def count(state: Params) -> int:
    """Return the number of weights in a state; batch statistics are none."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.filter_state(state, nnx.Param)))


def initial(
    make: Callable[[nnx.Rngs], nnx.Module],
    frozen: Callable[[Any], bool],
    keys: Key[Array, "k"],
    shared_key: Key[Array, ""],
    axis: FoldAxis,
    given: Mapping[str, Array],
) -> tuple[nnx.GraphDef[Any], PerFold, Params]:
    """Return the graph definition, every job's trained parameters and the frozen ones, which all jobs share.

    Args:
        make: builds one model.
        frozen: whether the parameter at a path of the model's state is frozen.
        keys: each job's random key.
        shared_key: key of what is frozen.
        axis: how jobs are computed.
        given: parameters by name that come from a checkpoint; what they replace is never drawn.
    """

    def split(model: nnx.Module) -> Any:
        return nnx.split(model, lambda path, _: not frozen(path), ...)

    def draw(part: int, key: Key[Array, ""], given: Mapping[str, Array]) -> Params:
        state = split(make(nnx.Rngs(key)))[part]
        return jax.tree_util.tree_map_with_path(lambda path, leaf: given.get(path_name(path), leaf), state)

    graphdef = split(abstract(make))[0]
    given = axis.share(dict(given))
    params = axis.jit(lambda key, given: draw(1, key, given), "ks")(axis.put(keys), given)
    return graphdef, params, jax.jit(lambda key, given: draw(2, key, given))(shared_key, given)
