"""Classification: cross entropy of classes, with mixup, class weights and label smoothing."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from serjax.audio.config import AugmentConfig
from serjax.audio.mixup import draw_pairs, mix
from serjax.models.functional import Params, apply, logits_of
from serjax.models.inputs import AnyArray, Inputs
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.optimizer import make_optimizer
from serjax.training.trials import with_values
from serjax.training.update import Objective, TrainState, TrialConstants, update


class LabelledInputs(NamedTuple):
    """A batch of inputs with their classes.

    Attributes:
        inputs: what the model is called with.
        label: class of each row.
        weight: 0 for rows that only fill up the last batch, else 1.
        target: of other targets than one class, see `serjax.data.targets`.
    """

    inputs: Inputs
    label: Int[AnyArray, "b"]
    weight: Float[AnyArray, "b"]
    target: Float[AnyArray, "b c"] | None = None


class TargetPart(NamedTuple):
    """A part of a batch: inputs, targets such as shares of the classes in each row, weights of rows."""

    inputs: Inputs
    target: Float[Array, "b c"]
    weight: Float[Array, "b"]


@dataclass(frozen=True)
class Classification:
    """Objective of classes; its metrics `loss` and `weight` are sums, whose ratio is the mean loss.

    Attributes:
        train: parts of a batch, label smoothing.
        augment: mixup.
        dtype: what the model computes in.
    """

    train: TrainConfig
    augment: AugmentConfig
    dtype: str

    zero: ClassVar[float] = 0.0

    def prepare(
        self, batch: LabelledInputs, constants: TrialConstants, key: Key[Array, ""]
    ) -> tuple[TargetPart, Key[Array, "p"], Float[Array, "c"]]:
        """Return parts, mixed where mixup is asked for, their keys, and the class weights."""
        assert constants.class_weight is not None
        parts, keys = parted(batch, self.train.accumulate, key)
        target = jax.nn.one_hot(parts.label, len(constants.class_weight))
        inputs, target, keys = mixed(parts.inputs, target, keys, self.augment)
        return TargetPart(inputs, target, parts.weight), keys, constants.class_weight

    def loss(
        self, model: nnx.Module, part: TargetPart, totals: Float[Array, "c"], key: Key[Array, ""] | None
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Return the summed cross entropy, and the summed weight that makes it a mean."""
        logits = apply(model, part.inputs, key, self.dtype, part.weight)
        return cross_entropy(logits, part.target, part.weight, totals, self.train.label_smoothing)

    def finish(
        self, gradient: Params, loss: Float[Array, ""], sums: Float[Array, ""], totals: Any
    ) -> tuple[Params, dict[str, Float[Array, ""]]]:
        """Return the gradient divided by the weight of all rows, and the sums."""
        return by_weight(gradient, loss, sums)


def by_weight(
    gradient: Params, loss: Float[Array, ""], weight: Float[Array, ""]
) -> tuple[Params, dict[str, Float[Array, ""]]]:
    """Return a summed gradient divided by the summed weight of rows, and the sums as metrics."""
    gradient = jax.tree.map(lambda g: g / jnp.maximum(weight, 1e-9), gradient)
    return gradient, {"loss": loss, "weight": weight}


def parted(batch: LabelledInputs, count: int, key: Key[Array, ""]) -> tuple[LabelledInputs, Key[Array, "p"]]:
    """Return a batch in so many parts [p b ...], and a key for each."""
    parts = jax.tree.map(lambda x: x.reshape(count, len(x) // count, *x.shape[1:]), batch)
    return parts, jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(count))


def mixed(
    inputs: Inputs, target: Float[Array, "p b c"], keys: Key[Array, "p"], augment: AugmentConfig
) -> tuple[Inputs, Float[Array, "p b c"], Key[Array, "p"]]:
    """Return inputs and targets of parts with mixup, where it is asked for, and the keys that are left."""
    if not augment.mixup:
        return inputs, target, keys
    keys, mixing = jax.vmap(jax.random.split, out_axes=1)(keys)
    pairs = jax.vmap(partial(draw_pairs, rows=target.shape[1], alpha=augment.mixup))(mixing)
    target = jax.vmap(mix)(target, pairs)
    if augment.mixup_of != "waves":
        return inputs._replace(pairs=pairs), target, keys
    assert inputs.wave is not None
    assert inputs.lengths is not None
    lengths = jax.vmap(lambda pairs, lengths: pairs.longer(lengths))(pairs, inputs.lengths)
    return inputs._replace(wave=jax.vmap(mix)(inputs.wave, pairs), lengths=lengths), target, keys


def make_step(
    graphdef: nnx.GraphDef[Any],
    params: Params,
    still: Params,
    *,
    train: TrainConfig,
    optimizer: OptimizerConfig,
    augment: AugmentConfig,
    dtype: str,
    gather: Callable[[Params], Params] = lambda params: params,
    objective: Callable[[TrainConfig], Objective] | None = None,
) -> Callable[[TrainState, LabelledInputs, TrialConstants, Params], tuple[TrainState, dict[str, Array]]]:
    """Return the update of one trial, which follows the settings that the trial's constants have of their own.

    Args:
        graphdef: of the model.
        params: one trial's trained parameters (abstract will do), for the shape of groups.
        still: one trial's frozen parameters, for their names.
        train: parts of a batch, label smoothing.
        optimizer: of what is trained.
        augment: mixup.
        dtype: what to compute in.
        gather: see `serjax.models.functional.merge`.
        objective: from a trial's settings to its loss; by default `Classification`.
    """
    objective = objective or partial(Classification, augment=augment, dtype=dtype)
    # Shapes and names alone: the arrays themselves would be kept as long as the step.
    params, still = jax.eval_shape(lambda *trees: trees, params, still)

    def step(
        state: TrainState, batch: LabelledInputs, constants: TrialConstants, frozen: Params
    ) -> tuple[TrainState, dict[str, Array]]:
        return update(
            state,
            batch,
            constants,
            frozen,
            objective=objective(with_values(train, "train", constants.values)),
            graphdef=graphdef,
            optimizer=make_optimizer(with_values(optimizer, "optimizer", constants.values), params, still),
            gather=gather,
        )

    return step


def cross_entropy(
    logits: Float[Array, "b c"],
    target: Float[Array, "b c"],
    weight: Float[Array, "b"],
    class_weight: Float[Array, "c"],
    smoothing: float,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return summed cross entropy and the summed weight that makes it a mean.

    Smoothing spreads that share of the target evenly over all classes (Szegedy et al. 2016, section 7).
    """
    weight = weight * (target @ class_weight)
    target = (1 - smoothing) * target + smoothing / logits.shape[-1]
    return -(weight * (target * jax.nn.log_softmax(logits)).sum(-1)).sum(), weight.sum()


def probabilities(
    params: Params,
    inputs: Inputs,
    frozen: Params,
    *,
    graphdef: nnx.GraphDef[Any],
    dtype: str,
    gather: Callable[[Params], Params] = lambda params: params,
    activate: Callable[[Array], Array] = jax.nn.softmax,
) -> Float[Array, "b c"]:
    """Return class probabilities, or what `activate` makes of outputs, in evaluation mode.

    See `serjax.models.functional.merge` for `gather`.
    """
    return activate(logits_of(graphdef, params, frozen, inputs, None, dtype, gather))
