"""Several tasks: their mean losses and weights, missing targets, parts of a batch, and what answers are made of."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.audio.config import AugmentConfig
from serjax.data.target_config import TargetConfig
from serjax.evaluation.tasks import MIDDLE, Task
from serjax.models.inputs import Inputs
from serjax.training import losses
from serjax.training.classification import Classification, LabelledInputs
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.optimizer import make_optimizer
from serjax.training.several_tasks import UNCERTAINTY, SeveralTasks, activate, weighted, without_weights
from serjax.training.update import TrialConstants, init_state, update

EMOTION, AVD = Task("emotion", "class", ("a", "b", "c")), Task("avd", "dimensions", ("x", "y"), ((0, 1), (0, 1)))
NONE = AugmentConfig()


class Net(nnx.Module):
    """Outputs are a linear map of the first samples of a wave."""

    def __init__(self, outputs, rngs):
        self.head = nnx.Linear(4, outputs, rngs=rngs)

    def __call__(self, inputs, key=None, weight=None):
        return self.head(inputs.wave)


def batch(target, *, label=None, rows=None, seed=0):
    wave = np.random.default_rng(seed).normal(size=(len(target), 4)).astype(np.float32)
    weight = (np.arange(len(target)) < (rows or len(target))).astype(np.float32)
    label = np.zeros(len(target), int) if label is None else label
    return LabelledInputs(Inputs(wave, np.full(len(target), 4)), label, weight, np.float32(target))


def constants(outputs, class_weight=None):
    weight = jnp.ones(outputs) if class_weight is None else jnp.array(class_weight)
    return TrialConstants(jax.random.key(0), jnp.array(9), jnp.array(1e-2), weight, None, jnp.zeros(outputs))


def updated(objective, data, outputs, *, change=lambda net: net, values=None):
    graphdef, params = nnx.split(change(Net(outputs, nnx.Rngs(0))))
    optimizer = make_optimizer(OptimizerConfig(schedule="constant", clip_norm=None), params, nnx.State({}))
    step = jax.jit(partial(update, objective=objective, graphdef=graphdef, optimizer=optimizer))
    state, metrics = step(init_state(params, optimizer), data, values or constants(outputs), nnx.State({}))
    return float(metrics["loss"] / metrics["weight"]), state.params


def same(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_one_class_is_what_classification_computes(accumulate):
    label = np.array([0, 1, 2, 1, 0, 2])
    train = TrainConfig(batch_size=6, accumulate=accumulate, label_smoothing=0.1)
    data, own = batch(np.eye(3)[label], label=label, rows=5), constants(3, [0.5, 1, 2])
    ours = updated(SeveralTasks((EMOTION,), TargetConfig(), train, NONE, "float32"), data, 3, values=own)
    theirs = updated(Classification(train, NONE, "float32"), data._replace(target=None), 3, values=own)
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    same(ours[1], theirs[1])


def test_ccc_is_over_the_whole_batch_and_mse_over_parts_alike():
    rng = np.random.default_rng(1)
    target = rng.uniform(size=(8, 2))
    target[2:5, 1] = np.nan
    data = batch(target)
    prediction = np.asarray(Net(2, nnx.Rngs(0))(data.inputs)) + MIDDLE
    known = ~np.isnan(target)
    ccc = losses.concordance(prediction, np.where(known, target, 0), known.astype(float))
    objective = SeveralTasks((AVD,), TargetConfig(kind="dimensions"), TrainConfig(batch_size=8), NONE, "float32")
    assert updated(objective, data, 2)[0] == pytest.approx(float((1 - ccc).mean()), rel=1e-5)
    found = []
    for accumulate in (1, 2, 4):
        train = TrainConfig(batch_size=8, accumulate=accumulate)
        objective = SeveralTasks((AVD,), TargetConfig(kind="dimensions", loss="mse"), train, NONE, "float32")
        found.append(updated(objective, data, 2))
    square = np.where(known, (prediction - np.where(known, target, 0)) ** 2, 0)
    assert found[0][0] == pytest.approx((square.sum(0) / known.sum(0)).mean(), rel=1e-5)
    for value, params in found[1:]:
        assert value == pytest.approx(found[0][0], rel=1e-5)
        same(params, found[0][1])


@pytest.mark.parametrize("weights", [(), (0.5, 2.0), "learned"])
def test_tasks_are_weighted(weights):
    rng = np.random.default_rng(2)
    target = np.concatenate([np.eye(3)[rng.integers(0, 3, 6)], rng.uniform(size=(6, 2))], 1)
    target[0, :3] = np.nan
    config = TargetConfig(tasks=("emotion:class", "avd:dimensions:mae"), weights=weights, dimensions=("x=0:1", "y=0:1"))
    objective = SeveralTasks((EMOTION, AVD), config, TrainConfig(batch_size=6), NONE, "float32")
    data = batch(target)
    found, params = updated(objective, data, 5, change=lambda net: weighted(net, config))
    outputs = np.asarray(Net(5, nnx.Rngs(0))(data.inputs))
    first = losses.shares_cross_entropy(outputs[1:, :3], target[1:, :3]).mean()
    second = np.abs(outputs[:, 3:] + MIDDLE - target[:, 3:]).mean()
    scale = {(): (1, 1), (0.5, 2.0): (0.5, 2.0), "learned": (0.5, 0.5)}[weights]
    assert found == pytest.approx(float(scale[0] * first + scale[1] * second), rel=1e-5)
    if weights == "learned":
        moved = params["head"][UNCERTAINTY][...]
        # Where a loss is above 1, its weight falls; below, it rises.
        np.testing.assert_array_equal(np.sign(moved), np.sign([float(first) - 1, float(second) - 1]))


def test_batch_without_any_target_of_a_task_changes_nothing_of_it():
    target = np.full((4, 5), np.nan)
    target[:, :3] = np.eye(3)[[0, 1, 2, 0]]
    config = TargetConfig(tasks=("emotion:class", "avd:dimensions"), dimensions=("x=0:1", "y=0:1"))
    objective = SeveralTasks((EMOTION, AVD), config, TrainConfig(batch_size=4), NONE, "float32")
    _, params = updated(objective, batch(target), 5)
    before = nnx.state(Net(5, nnx.Rngs(0)))["head"]["bias"][...]
    np.testing.assert_array_equal(params["head"]["bias"][...][3:], before[3:])


@pytest.mark.parametrize(
    ("task", "loss"),
    [
        ("class", "focal"),
        ("class", "soft_f1"),
        ("soft", "kl"),
        ("soft", "emd"),
        ("multilabel", "bce"),
        ("multilabel", "focal"),
    ],
)
def test_every_loss_gives_finite_updates(task, loss):
    target = np.eye(3)[[0, 1, 2, 0]]
    config = TargetConfig(kind=task, loss=loss, logit_adjustment=1.0 if task == "class" else 0.0)
    objective = SeveralTasks((Task("t", task, ("a", "b", "c")),), config, TrainConfig(batch_size=4), NONE, "float32")
    found, params = updated(objective, batch(target, rows=3), 3)
    assert np.isfinite(found)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_mixup_mixes_targets_and_what_is_missing_stays_missing():
    target = np.array([[0.0, np.nan], [1.0, 0.5], [0.5, 1.0], [0.25, 0.0]])
    config = TargetConfig(kind="dimensions", loss="mse")
    objective = SeveralTasks((AVD,), config, TrainConfig(batch_size=4), AugmentConfig(mixup=0.5), "float32")
    parts, _, totals = objective.prepare(batch(target), constants(2), jax.random.key(0))
    assert np.isnan(parts.target[0, 0, 1])
    assert totals.counts[0][0] == 4
    assert totals.counts[0][1] <= 3


def test_answers_are_activated_task_by_task():
    outputs = jnp.array([[0.0, 1.0, 2.0, 0.3, -0.7, 1.0, -1.0]])
    tasks = (EMOTION, AVD, Task("l", "multilabel", ("p", "q")))
    found = activate(outputs, tasks)
    assert found[0, :3].sum() == pytest.approx(1)
    np.testing.assert_allclose(found[0, 3:5], [0.8, -0.2])
    np.testing.assert_allclose(found[0, 5:], jax.nn.sigmoid(jnp.array([1.0, -1.0])))


def test_learned_weights_are_left_out_of_a_saved_model():
    net = weighted(Net(2, nnx.Rngs(0)), TargetConfig(tasks=("a:class", "b:class"), weights="learned"))
    assert UNCERTAINTY in nnx.state(net)["head"]
    assert UNCERTAINTY not in nnx.state(without_weights(net))["head"]
