"""One training step and one prediction, for one fold on one device: pure functions of arrays.

Folds and devices are added by `serjax.training.folds`; nothing here knows of either.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from serjax.audio.augment import Pairs, draw_pairs, mix
from serjax.config import Experiment
from serjax.training.optimizer import AdamState, Params, adamw, init_adam


class Inputs(NamedTuple):
    """One batch as the device sees it.

    Attributes:
        arrays: what the model is called with: waves [b t] and lengths [b], or stored features [b l n d] and frames [b].
        label: class of each row.
        weight: 0 for rows that only fill up the last batch, else 1.
    """

    arrays: tuple[Array, ...]
    label: Int[Array, "b"]
    weight: Float[Array, "b"]


class Run(NamedTuple):
    """What sets one fold's (or seed's, or learning rate's) training apart from its neighbours'."""

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
    arrays: tuple[Array, ...],
    key: Key[Array, ""] | None,
    dtype: str,
) -> Float[Array, "b c"]:
    """Return the model's logits in float32, computed in `dtype`; no key means evaluation."""
    return _call(graphdef, params, frozen, arrays, key, dtype)[0]


def _call(
    graphdef: nnx.GraphDef[Any],
    params: Params,
    frozen: Params,
    arrays: tuple[Array, ...],
    key: Key[Array, ""] | None,
    dtype: str,
    weight: Float[Array, "b"] | None = None,
    pairs: Pairs | None = None,
) -> tuple[Float[Array, "b c"], Params]:
    """Return logits, and the batch statistics after the call; with `pairs` the model mixes what it makes of clips."""
    model = nnx.merge(graphdef, cast(params, dtype), cast(frozen, dtype), copy=True)
    # Only a model with batch statistics looks at other rows, and must know which ones count.
    rows: dict[str, Any] = (
        {"weight": weight} if key is not None and jax.tree.leaves(nnx.state(model, nnx.BatchStat)) else {}
    )
    if pairs is not None:
        rows["pairs"] = pairs
    logits = model(*cast(arrays, dtype), key, **rows).astype(jnp.float32)
    return logits, nnx.state(model, nnx.BatchStat)


def overlay(params: Params, given: Params) -> Params:
    """Return the state with leaves replaced by those that `given` has too."""
    leaves = dict(nnx.to_flat_state(given))
    return nnx.from_flat_state([(path, leaves.get(path, leaf)) for path, leaf in nnx.to_flat_state(params)])


def cross_entropy(
    logits: Float[Array, "b c"],
    target: Float[Array, "b c"],
    weight: Float[Array, "b"],
    class_weight: Float[Array, "c"],
    smoothing: float,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return summed cross-entropy and the summed weight that makes it a mean.

    Smoothing spreads that share of the target evenly over all classes (Szegedy et al. 2016, section 7).
    """
    weight = weight * (target @ class_weight)
    target = (1 - smoothing) * target + smoothing / logits.shape[-1]
    return -(weight * (target * jax.nn.log_softmax(logits)).sum(-1)).sum(), weight.sum()


def train_step(
    state: TrainState,
    inputs: Inputs,
    run: Run,
    frozen: Params,
    *,
    graphdef: nnx.GraphDef[Any],
    experiment: Experiment,
    factors: Params,
) -> tuple[TrainState, StepMetrics]:
    """Make one update from one batch.

    The batch is split into `train.accumulate` parts whose gradients add up to those of the whole; batch statistics see
    one part after the other.
    """
    train, dtype = experiment.train, experiment.model.dtype
    key = jax.random.fold_in(run.key, state.adam.updates)
    inputs = jax.tree.map(lambda x: x.reshape(train.accumulate, -1, *x.shape[1:]), inputs)

    def loss(params: Params, part: Inputs, key: Key[Array, ""]) -> tuple[Array, tuple[Array, Params]]:
        arrays, target = part.arrays, jax.nn.one_hot(part.label, len(run.class_weight))
        pairs: Pairs | None = None
        if experiment.augment.mixup:
            key, mixing = jax.random.split(key)
            pairs = draw_pairs(mixing, len(target), experiment.augment.mixup)
            target = mix(target, pairs)
            if experiment.augment.mixup_of == "waves":
                wave, length = arrays
                arrays, pairs = (mix(wave, pairs), pairs.longer(length)), None
        logits, stats = _call(graphdef, params, frozen, arrays, key, dtype, part.weight, pairs)
        total, weight = cross_entropy(logits, target, part.weight, run.class_weight, train.label_smoothing)
        # A frozen part has statistics too, which are none of a step's.
        return total, (weight, overlay(nnx.filter_state(params, nnx.BatchStat), stats))

    grad = jax.value_and_grad(loss, has_aux=True)

    def add(total: Any, part: tuple[Inputs, Array]) -> tuple[Any, None]:
        inputs, number = part
        *sums, stats = total
        params = overlay(state.params, stats)
        (value, (weight, stats)), gradient = grad(params, inputs, jax.random.fold_in(key, number))
        return (*jax.tree.map(jnp.add, tuple(sums), (value, weight, gradient)), stats), None

    stats = nnx.filter_state(state.params, nnx.BatchStat)
    zero = (jnp.zeros(()), jnp.zeros(()), jax.tree.map(jnp.zeros_like, state.params), stats)
    # Unrolled on a CPU, where convolutions inside a compiled loop are an order of magnitude slower.
    unroll = train.accumulate == 1 or jax.default_backend() == "cpu"
    (value, weight, gradient, stats), _ = jax.lax.scan(add, zero, (inputs, jnp.arange(train.accumulate)), unroll=unroll)
    gradient = jax.tree.map(lambda g: g / jnp.maximum(weight, 1e-9), gradient)
    params, adam, rate, norm = adamw(
        gradient,
        state.adam,
        state.params,
        config=experiment.optimizer,
        steps=run.steps,
        peak=run.peak,
        factors=factors,
    )
    # Batch statistics have no gradient, so AdamW leaves them alone; they are what the last part left.
    return TrainState(overlay(params, stats), adam), StepMetrics(value, weight, rate, norm)


def predict_step(
    params: Params,
    arrays: tuple[Array, ...],
    frozen: Params,
    *,
    graphdef: nnx.GraphDef[Any],
    dtype: str,
) -> Float[Array, "b c"]:
    """Return class probabilities in evaluation mode."""
    return jax.nn.softmax(logits_of(graphdef, params, frozen, arrays, None, dtype))
