"""Objective of any targets: soft labels, several labels, dimensions, and several tasks at once.

One class by cross-entropy is `serjax.training.classification`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from serjax.audio.config import AugmentConfig
from serjax.data.target_config import LOSSES, TargetConfig
from serjax.data.targets import Targets
from serjax.evaluation.tasks import MIDDLE, Task, places
from serjax.models.functional import Params, apply
from serjax.training import losses
from serjax.training.classification import Classification, LabelledInputs, TargetPart, by_weight, mixed, parted
from serjax.training.config import TrainConfig
from serjax.training.update import Objective, TrialConstants

UNCERTAINTY = "task_log_variance"
"""Name of the parameter [tasks] that learned weights of tasks are kept in."""


class TaskTotals(NamedTuple):
    """Sums over a batch that all its parts share.

    Attributes:
        class_weight: of each output; 1 for those that are no class.
        log_share: logarithm of each class's share of the training clips; 0 for those that are no class.
        counts: weight of the clips that have a target, task by task; of dimensions one by one.
        rows: weight of all clips.
    """

    class_weight: Float[Array, "c"]
    log_share: Float[Array, "c"]
    counts: tuple[Float[Array, "..."], ...]
    rows: Float[Array, ""]


@dataclass(frozen=True)
class SeveralTasks:
    """Weighted sum of the tasks' mean losses; its metrics `loss` and `weight` are sums, whose ratio is that.

    Attributes:
        tasks: in the order of the outputs.
        target: losses and weights.
        train: parts of a batch, label smoothing.
        augment: mixup.
        dtype: what the model computes in.
    """

    tasks: tuple[Task, ...]
    target: TargetConfig
    train: TrainConfig
    augment: AugmentConfig
    dtype: str

    zero: ClassVar[float] = 0.0

    def prepare(
        self, batch: LabelledInputs, constants: TrialConstants, key: Key[Array, ""]
    ) -> tuple[TargetPart, Key[Array, "p"], TaskTotals]:
        """Return parts, mixed where mixup is asked for, their keys, and the totals of the batch."""
        assert batch.target is not None
        assert constants.class_weight is not None
        assert constants.log_share is not None
        parts, keys = parted(batch, self.train.accumulate, key)
        assert parts.target is not None
        inputs, target, keys = mixed(parts.inputs, parts.target, keys, self.augment)
        counts = []
        for task, place in zip(self.tasks, places(self.tasks), strict=True):
            own = target[..., place]
            weight = parts.weight[..., None] * self._weights(task, own, constants.class_weight[place])
            counts.append(weight.sum((0, 1)))
        totals = TaskTotals(constants.class_weight, constants.log_share, tuple(counts), parts.weight.sum())
        return TargetPart(inputs, target, parts.weight), keys, totals

    def loss(
        self, model: nnx.Module, part: TargetPart, totals: TaskTotals, key: Key[Array, ""] | None
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Return the part of the weighted loss, times the weight of all clips; and the weight of the part's clips."""
        outputs = apply(model, part.inputs, key, self.dtype, part.weight)
        each = [
            self._task(task, loss, outputs[:, place], part, place, totals, count)
            for (task, place, count), (_, _, loss) in zip(
                zip(self.tasks, places(self.tasks), totals.counts, strict=True), self.target.each, strict=True
            )
        ]
        total = jnp.stack(each)
        if self.target.weights == "learned":
            # Kendall, Gal, Cipolla 2018, eq. 10 with s = log variance, one half for all kinds of loss. Parts of a
            # batch share the term of s.
            s = getattr(weight_owner(model), UNCERTAINTY)[...]
            value = (0.5 * jnp.exp(-s) * total).sum() + 0.5 * s.sum() * part.weight.sum() / totals.rows
        else:
            value = (jnp.array(self.target.weights or (1.0,) * len(self.tasks)) * total).sum()
        return value * totals.rows, part.weight.sum()

    def finish(
        self, gradient: Params, loss: Float[Array, ""], sums: Float[Array, ""], totals: TaskTotals
    ) -> tuple[Params, dict[str, Float[Array, ""]]]:
        """Return the gradient divided by the weight of all clips, and the sums."""
        return by_weight(gradient, loss, sums)

    def _weights(
        self, task: Task, target: Float[Array, "*b c"], class_weight: Float[Array, "c"]
    ) -> Float[Array, "*b k"]:
        """Return how much clips count for a task, 0 without a target: [*b 1], of dimensions [*b d] one by one."""
        there = ~jnp.isnan(target)
        if task.kind == "dimensions":
            return there.astype(jnp.float32)
        known = jnp.where(there, target, 0)
        share = (known @ class_weight)[..., None] if task.kind in ("class", "soft") else 1.0
        return there.all(-1, keepdims=True) * share

    def _task(
        self,
        task: Task,
        loss: str,
        outputs: Float[Array, "b c"],
        part: TargetPart,
        place: slice,
        totals: TaskTotals,
        count: Float[Array, "k"],
    ) -> Float[Array, ""]:
        """Return what a part adds to the mean loss of a task over the batch."""
        loss = LOSSES[task.kind][0] if loss == "auto" else loss
        target, class_weight = part.target[:, place], totals.class_weight[place]
        weight = part.weight[:, None] * self._weights(task, target, class_weight)
        known = jnp.where(jnp.isnan(target), 0, target)
        count = jnp.maximum(count, 1e-9)
        if task.kind == "dimensions":
            if loss == "ccc":
                agreement = losses.concordance(outputs + MIDDLE, known, weight)
                there = weight.sum(0) > 0
                return jnp.where(there, 1 - agreement, 0).sum() / jnp.maximum(there.sum(), 1)
            error = outputs + MIDDLE - known
            each = {"mse": error**2, "mae": jnp.abs(error)}.get(loss)
            each = losses.huber(error, self.target.huber_delta) if each is None else each
            return ((weight * each).sum(0) / count).mean()
        if task.kind == "class":
            smooth = self.train.label_smoothing
            known = jnp.where(weight > 0, (1 - smooth) * known + smooth / known.shape[-1], known)
            outputs = outputs + self.target.logit_adjustment * totals.log_share[place]
        if loss == "soft_f1":
            return losses.soft_macro_f1(outputs, known, weight[:, 0])
        functions: dict[str, Callable[[Array, Array], Array]] = {
            "cross_entropy": losses.shares_cross_entropy,
            "kl": losses.kl_divergence,
            "emd": losses.earth_mover,
            "bce": partial(losses.binary_focal, gamma=0.0),
            "focal": partial(
                losses.focal if task.kind == "class" else losses.binary_focal, gamma=self.target.focal_gamma
            ),
        }
        return (weight[:, 0] * functions[loss](outputs, known)).sum() / count[0]


def weight_owner(model: nnx.Module) -> nnx.Module:
    """Return the module of a classifier that keeps the learned weights of tasks: its head, or itself."""
    return getattr(model, "head", None) or model


def weighted(model: nnx.Module, target: TargetConfig) -> nnx.Module:
    """Return a model, or head, with learned weights of tasks where they are asked for."""
    if target.weights == "learned":
        setattr(weight_owner(model), UNCERTAINTY, nnx.Param(jnp.zeros(len(target.tasks))))
    return model


def without_weights(model: nnx.Module) -> nnx.Module:
    """Return a model without learned weights of tasks, which no answer needs."""
    owner = weight_owner(model)
    if hasattr(owner, UNCERTAINTY):
        delattr(owner, UNCERTAINTY)
    return model


def activate(outputs: Float[Array, "b c"], tasks: tuple[Task, ...]) -> Float[Array, "b c"]:
    """Return probabilities of classes, shares and labels, and dimensions 0 to 1 over their ranges as they are."""
    kinds: dict[str, Callable[[Array], Array]] = {
        "class": jax.nn.softmax,
        "soft": jax.nn.softmax,
        "multilabel": jax.nn.sigmoid,
        "dimensions": lambda outputs: outputs + MIDDLE,
    }
    return jnp.concatenate(
        [kinds[task.kind](outputs[:, place]) for task, place in zip(tasks, places(tasks), strict=True)],
        -1,
    )


def objective_of(
    targets: Targets | None, target: TargetConfig, augment: AugmentConfig, dtype: str
) -> tuple[Callable[[TrainConfig], Objective], Callable[[Array], Array]]:
    """Return the loss of targets, from a trial's settings, and the function from outputs to answers.

    Without targets it is one class by cross-entropy, and softmax.
    """
    if targets is None:
        return partial(Classification, augment=augment, dtype=dtype), jax.nn.softmax

    def objective(train: TrainConfig) -> SeveralTasks:
        return SeveralTasks(targets.tasks, target, train, augment, dtype)

    return objective, partial(activate, tasks=targets.tasks)
