"""One update of one trial on one device, whatever the objective: pure functions of arrays.

Trials and devices are added by `serjax.training.fold_axis`; nothing here knows of either. An objective is a file of its
own, such as `serjax.training.classification`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from serjax.models.functional import Params, merge, overlay
from serjax.runtime.platform import target_platform
from serjax.training.optimizer import evaluated_params


class TrialConstants(NamedTuple):
    """Values of one trial that stay the same in all its updates and differ from its neighbours'.

    Attributes:
        key: random key.
        steps: number of updates that the schedule counts on.
        peak: highest learning rate.
        class_weight: weight of each class in the loss, where there are classes.
        values: settings of its own by dotted name, such as `optimizer.weight_decay`.
        log_share: logarithm of each class's share of the training clips, for targets other than one class.
    """

    key: Key[Array, ""]
    steps: Int[Array, ""]
    peak: Float[Array, ""]
    class_weight: Float[Array, "c"] | None = None
    values: dict[str, Float[Array, ""]] | None = None
    log_share: Float[Array, "c"] | None = None


class TrainState(NamedTuple):
    """Arrays that an update changes.

    Attributes:
        params: trained parameters and batch statistics.
        optimizer: state of the optimizer.
        updates: how many were made.
    """

    params: Params
    optimizer: optax.OptState
    updates: Int[Array, ""]


class Objective(Protocol):
    """Loss of a kind of training: how a batch becomes parts, each part a loss, and their sum a gradient."""

    @property
    def dtype(self) -> str:
        """Number format that the model computes in."""

    @property
    def zero(self) -> Any:
        """Sums of a part of no rows, see `loss`."""

    def prepare(self, batch: Any, constants: TrialConstants, key: Key[Array, ""]) -> tuple[Any, Key[Array, "p"], Any]:
        """Return a batch's parts [p b ...], a random key for each, and totals of the whole batch that all parts share.

        Mixup and masks are drawn here, for the whole batch; totals are what the loss is a mean over.
        """

    def loss(self, model: Any, part: Any, totals: Any, key: Key[Array, ""] | None) -> tuple[Float[Array, ""], Any]:
        """Return a part's loss, which adds up with that of the others, and a pytree of sums that add up, too."""

    def finish(
        self, gradient: Params, loss: Float[Array, ""], sums: Any, totals: Any
    ) -> tuple[Params, dict[str, Float[Array, ""]]]:
        """Return the gradient of the mean loss, and metrics by name, from what parts have added up to."""


def init_state(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """Return the state before the first update."""
    return TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32))


def evaluated(state: TrainState) -> Params:
    """Return the parameters to validate and to save."""
    return evaluated_params(state.params, state.optimizer)


def update(
    state: TrainState,
    batch: Any,
    constants: TrialConstants,
    frozen: Params,
    *,
    objective: Objective,
    graphdef: nnx.GraphDef[Any],
    optimizer: optax.GradientTransformation,
    gather: Callable[[Params], Params] = lambda params: params,
) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
    """Make one update from one batch.

    The gradients of a batch's parts add up to those of the whole; batch statistics see one part after the other.

    Args:
        state: parameters and moments; the number of updates made also decides what is drawn.
        batch: as the objective takes it.
        constants: of the trial.
        frozen: parameters that stay.
        objective: the loss.
        graphdef: of the model.
        optimizer: any of optax; one that takes them is told `step`, `steps` and `peak`, as `make_optimizer`'s is.
        gather: see `serjax.models.functional.merge`.

    Returns:
        The new state, and the objective's metrics with the gradient's `norm` and the learning `rate`, where the
        optimizer's state has one `learning_rate`.
    """
    key = jax.random.fold_in(constants.key, state.updates)
    parts, keys, totals = objective.prepare(batch, constants, key)

    def loss(params: Params, part: Any, key: Key[Array, ""]) -> tuple[Array, tuple[Any, Params]]:
        model = merge(graphdef, params, frozen, objective.dtype, gather)
        value, sums = objective.loss(model, part, totals, key)
        # A frozen part has statistics too, which are none of an update's.
        stats = overlay(nnx.filter_state(params, nnx.BatchStat), nnx.state(model, nnx.BatchStat))
        return value, (sums, stats)

    def add(total: Any, part: tuple[Any, Key[Array, ""]]) -> tuple[Any, None]:
        *sums, stats = total
        (value, (more, stats)), gradient = jax.value_and_grad(loss, has_aux=True)(overlay(state.params, stats), *part)
        return (*jax.tree.map(jnp.add, tuple(sums), (value, more, gradient)), stats), None

    stats = nnx.filter_state(state.params, nnx.BatchStat)
    zero = jax.tree.map(jnp.asarray, (0.0, objective.zero))
    nothing = (*zero, jax.tree.map(jnp.zeros_like, state.params), stats)
    # Unrolled on a CPU, where convolutions inside a compiled loop are an order of magnitude slower.
    unroll = len(keys) == 1 or target_platform() == "cpu"
    (value, sums, gradient, stats), _ = jax.lax.scan(add, nothing, (parts, keys), unroll=unroll)
    gradient, metrics = objective.finish(gradient, value, sums, totals)
    moves, moments = optax.with_extra_args_support(optimizer).update(
        gradient, state.optimizer, state.params, step=state.updates, steps=constants.steps, peak=constants.peak
    )
    metrics = metrics | {"norm": optax.tree.norm(gradient)}
    rates = optax.tree_utils.tree_get_all_with_path(moments, "learning_rate")
    if len(rates) == 1:
        metrics["rate"] = rates[0][1]
    # Batch statistics have no gradient, so that the optimizer leaves them alone; they are what the last part left.
    params = overlay(optax.apply_updates(state.params, moves), stats)
    return TrainState(params, moments, state.updates + 1), metrics
