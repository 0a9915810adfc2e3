"""One training step and one prediction, for one fold on one device: pure functions of arrays.

Folds and devices are added by `serjax.training.fold_axis`; nothing here knows of either.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from serjax.audio.config import AugmentConfig
from serjax.audio.mixup import draw_pairs, mix
from serjax.models.functional import Params, call, logits_of, overlay
from serjax.models.inputs import Inputs
from serjax.training.classification import LabelledInputs, cross_entropy
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.optimizer import AdamState, adamw, init_adam


class TrialConstants(NamedTuple):
    """Values of one trial that stay the same in all its steps and differ from its neighbours'.

    Attributes:
        key: random key.
        steps: number of updates that the schedule counts on.
        peak: highest learning rate.
        class_weight: weight of each class in the loss.
    """

    key: Key[Array, ""]
    steps: Int[Array, ""]
    peak: Float[Array, ""]
    class_weight: Float[Array, "c"]


class TrainState(NamedTuple):
    """What a step changes."""

    params: Params
    adam: AdamState


class StepMetrics(NamedTuple):
    """What a step tells: summed loss and weight (their ratio is the mean loss), learning rate, gradient norm."""

    loss: Float[Array, ""]
    weight: Float[Array, ""]
    rate: Float[Array, ""]
    norm: Float[Array, ""]


def init_state(params: Params) -> TrainState:
    """Return the state before the first step."""
    return TrainState(params, init_adam(params))


def train_step(
    state: TrainState,
    batch: LabelledInputs,
    constants: TrialConstants,
    frozen: Params,
    *,
    graphdef: nnx.GraphDef[Any],
    train: TrainConfig,
    optimizer: OptimizerConfig,
    augment: AugmentConfig,
    dtype: str,
    factors: Params,
) -> tuple[TrainState, StepMetrics]:
    """Make one update from one batch.

    The batch is split into `train.accumulate` parts whose gradients add up to those of the whole; batch statistics see
    one part after the other.
    """
    key = jax.random.fold_in(constants.key, state.adam.updates)
    batch = jax.tree.map(lambda x: x.reshape(train.accumulate, -1, *x.shape[1:]), batch)

    def loss(params: Params, part: LabelledInputs, key: Key[Array, ""]) -> tuple[Array, tuple[Array, Params]]:
        inputs, target = part.inputs, jax.nn.one_hot(part.label, len(constants.class_weight))
        if augment.mixup:
            key, mixing = jax.random.split(key)
            pairs = draw_pairs(mixing, len(target), augment.mixup)
            target = mix(target, pairs)
            if augment.mixup_of == "waves":
                assert inputs.wave is not None
                assert inputs.lengths is not None
                inputs = inputs._replace(wave=mix(inputs.wave, pairs), lengths=pairs.longer(inputs.lengths))
            else:
                inputs = inputs._replace(pairs=pairs)
        logits, stats = call(graphdef, params, frozen, inputs, key, dtype, part.weight)
        total, weight = cross_entropy(logits, target, part.weight, constants.class_weight, train.label_smoothing)
        # A frozen part has statistics too, which are none of a step's.
        return total, (weight, overlay(nnx.filter_state(params, nnx.BatchStat), stats))

    grad = jax.value_and_grad(loss, has_aux=True)

    def add(total: Any, part: tuple[LabelledInputs, Array]) -> tuple[Any, None]:
        clips, number = part
        *sums, stats = total
        params = overlay(state.params, stats)
        (value, (weight, stats)), gradient = grad(params, clips, jax.random.fold_in(key, number))
        return (*jax.tree.map(jnp.add, tuple(sums), (value, weight, gradient)), stats), None

    stats = nnx.filter_state(state.params, nnx.BatchStat)
    zero = (jnp.zeros(()), jnp.zeros(()), jax.tree.map(jnp.zeros_like, state.params), stats)
    # Unrolled on a CPU, where convolutions inside a compiled loop are an order of magnitude slower.
    unroll = train.accumulate == 1 or jax.default_backend() == "cpu"
    (value, weight, gradient, stats), _ = jax.lax.scan(add, zero, (batch, jnp.arange(train.accumulate)), unroll=unroll)
    gradient = jax.tree.map(lambda g: g / jnp.maximum(weight, 1e-9), gradient)
    params, adam, rate, norm = adamw(
        gradient,
        state.adam,
        state.params,
        config=optimizer,
        steps=constants.steps,
        peak=constants.peak,
        factors=factors,
    )
    # Batch statistics have no gradient, so AdamW leaves them alone; they are what the last part left.
    return TrainState(overlay(params, stats), adam), StepMetrics(value, weight, rate, norm)


def predict_step(
    params: Params,
    inputs: Inputs,
    frozen: Params,
    *,
    graphdef: nnx.GraphDef[Any],
    dtype: str,
) -> Float[Array, "b c"]:
    """Return class probabilities in evaluation mode."""
    return jax.nn.softmax(logits_of(graphdef, params, frozen, inputs, None, dtype))
