"""First parameters and states of all trials: random, or a checkpoint's where it has them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import optax
from flax import nnx
from jaxtyping import Array, Key

from serjax.models.functional import Params, abstract, path_name
from serjax.training.config import OptimizerConfig
from serjax.training.fold_axis import FOLD, SHARED, FoldAxis, PerFold
from serjax.training.optimizer import keeps_average, make_optimizer
from serjax.training.update import evaluated, init_state


def initial(
    make: Callable[[nnx.Rngs], nnx.Module],
    frozen: Callable[[Any], bool],
    keys: Key[Array, "k"],
    shared_key: Key[Array, ""],
    axis: FoldAxis,
    given: Mapping[str, Array],
) -> tuple[nnx.GraphDef[Any], PerFold, Params]:
    """Return the graph definition, every trial's trained parameters and the frozen ones, which all trials share.

    Args:
        make: builds one model.
        frozen: whether the parameter at a path of the model's state is frozen.
        keys: each trial's random key.
        shared_key: key of what is frozen.
        axis: how trials are computed.
        given: parameters by name that come from a checkpoint; what they replace is never drawn.
    """

    def draw(part: int, key: Key[Array, ""], given: Mapping[str, Array]) -> Params:
        state = _split(make(nnx.Rngs(key)), frozen)[part]
        return jax.tree_util.tree_map_with_path(lambda path, leaf: given.get(path_name(path), leaf), state)

    graphdef = _split(abstract(make), frozen)[0]
    given = axis.replicate(dict(given))
    params = axis.jit(lambda key, given: draw(1, key, given), (FOLD, SHARED))(axis.shard(keys), given)
    shared = axis.jit(lambda key, given: draw(2, key, given), (SHARED, SHARED), SHARED)
    return graphdef, params, shared(axis.replicate(shared_key), given)


def _split(model: nnx.Module, frozen: Callable[[Any], bool]) -> Any:
    return nnx.split(model, lambda path, _: not frozen(path), ...)


def state_shapes(
    make: Callable[[nnx.Rngs], nnx.Module],
    frozen: Callable[[Any], bool],
    optimizer: OptimizerConfig,
    *,
    best: bool = True,
    shared: bool = True,
) -> tuple[Any, Any]:
    """Return shapes and dtypes of all arrays that each trial keeps while it trains, and of those that trials share.

    Args:
        make: builds one model.
        frozen: whether the parameter at a path of the model's state is frozen.
        optimizer: settings.
        best: a trial keeps the parameters of its best epoch, too.
        shared: what is frozen is one for all trials.
    """
    _, params, still = _split(abstract(make), frozen)
    state = jax.eval_shape(partial(init_state, optimizer=make_optimizer(optimizer, params, still)), params)
    own = {"state": state, "gradient": params, "best": params if best else ()}
    return (own, still) if shared else (own | {"frozen": still}, ())


def first_states(params: PerFold, optimizer: optax.GradientTransformation, axis: FoldAxis) -> PerFold:
    """Return every trial's state before its first update."""
    return axis.jit(partial(init_state, optimizer=optimizer), (FOLD,))(params)


def make_evaluated(axis: FoldAxis) -> Callable[[PerFold], PerFold]:
    """Return a function from every trial's state to the parameters to validate and to save."""
    averages = axis.jit(evaluated, (FOLD,))
    return lambda state: averages(state) if keeps_average(state) else axis.field(state, "params")
