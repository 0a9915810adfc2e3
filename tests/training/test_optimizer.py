"""Optimizers against PyTorch's own and against the written formula; schedules, groups, weight decay."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from serjax.runtime.errors import UserError
from serjax.training.config import OptimizerConfig
from serjax.training.optimizer import (
    decayed,
    evaluated_params,
    in_frozen_group,
    make_optimizer,
    rate_and_beta1,
    rate_factors,
)
from serjax.training.resume import ResumePoint
from serjax.training.update import evaluated, init_state

PARAMS = {"a": {"kernel": jnp.linspace(-1, 1, 12).reshape(3, 4), "bias": jnp.ones(4)}, "norm": {"scale": jnp.ones(3)}}
KINDS = ("adamw", "lion", "muon", "adafactor", "sgd", "schedule_free_adamw")


def gradients(seed, params=PARAMS):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), params)


def moved(optimizer, gradient, state, params, step, steps, peak):
    """Return parameters and state after an update."""
    updates, state = optimizer.update(gradient, state, params, step=step, steps=steps, peak=peak)
    return optax.apply_updates(params, updates), state


def after(config, count, steps, peak, params=PARAMS):
    """Return parameters after some updates of `steps`."""
    optimizer = make_optimizer(config, params)
    state = optimizer.init(params)
    update = jax.jit(partial(moved, optimizer))
    for step in range(count):
        params, state = update(
            gradients(step, params), state, params, jnp.int32(step), jnp.int32(steps), jnp.float32(peak)
        )
    return params, state


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["adamw", "sgd"])
@pytest.mark.parametrize("steps", [7, 100])
def test_onecycle_follows_pytorch(kind, steps):
    torch = pytest.importorskip("torch")
    decay = 0.01 if kind == "adamw" else 0.0
    config = OptimizerConfig(kind=kind, max_lr=5e-3, weight_decay=decay, clip_norm=0.5)
    params = {"a": PARAMS["a"]}
    kernel, bias = (torch.nn.Parameter(torch.from_numpy(np.array(PARAMS["a"][name]))) for name in ("kernel", "bias"))
    groups = [{"params": [kernel], "weight_decay": decay}, {"params": [bias], "weight_decay": 0.0}]
    make = {"adamw": torch.optim.AdamW, "sgd": lambda groups: torch.optim.SGD(groups, lr=1e-3, momentum=0.9)}
    theirs = make[kind](groups)
    schedule = torch.optim.lr_scheduler.OneCycleLR(theirs, 5e-3, total_steps=steps, pct_start=0.3)
    for step in range(steps):
        rate, beta1 = rate_and_beta1(config, jnp.int32(step), jnp.int32(steps), jnp.float32(5e-3))
        group = theirs.param_groups[0]
        np.testing.assert_allclose(rate, group["lr"], rtol=2e-5)
        np.testing.assert_allclose(beta1, group["betas"][0] if kind == "adamw" else group["momentum"], rtol=1e-6)
        given = gradients(step, params)["a"]
        kernel.grad, bias.grad = (torch.from_numpy(np.array(given[name])) for name in ("kernel", "bias"))
        torch.nn.utils.clip_grad_norm_([kernel, bias], 0.5)
        theirs.step()
        if step + 1 < steps:
            schedule.step()
    found, _ = after(config, steps, steps, 5e-3, params)
    np.testing.assert_allclose(found["a"]["kernel"], kernel.detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(found["a"]["bias"], bias.detach().numpy(), atol=1e-6)


def adamw_by_formula(gradient, moments, params, step, steps, peak, config, factors):
    """AdamW as Loshchilov and Hutter write it, with PyTorch's clipping and bias correction by the current beta1."""
    mean, square = moments
    norm = optax.tree.norm(gradient)
    gradient = jax.tree.map(lambda g: g * jnp.minimum(1.0, config.clip_norm / (norm + 1e-6)), gradient)
    rate, beta1 = rate_and_beta1(config, step, steps, peak)
    mean = jax.tree.map(lambda m, g: (1 - beta1) * g + beta1 * m, mean, gradient)
    square = jax.tree.map(lambda v, g: (1 - config.beta2) * g**2 + config.beta2 * v, square, gradient)
    count = step + 1

    def one(param, m, v, factor, decay):
        change = m / (1 - beta1**count) / (jnp.sqrt(v / (1 - config.beta2**count)) + config.epsilon)
        return param - rate * factor * (change + (config.weight_decay * param if decay else 0.0))

    return jax.tree.map(one, params, mean, square, factors, decayed(params)), (mean, square)


def pytorch_formula(given, steps, peak, clip):
    """Return kernel and bias by the formulas of PyTorch's documentation, in float64, with rates and beta1."""
    params = {name: np.array(PARAMS["a"][name], np.float64) for name in ("kernel", "bias")}
    mean, square = ({name: np.zeros_like(value) for name, value in params.items()} for _ in range(2))
    top, rates = 0.3 * steps - 1, []

    def cosine(start, end, share):
        return end + (start - end) / 2 * (1 + np.cos(np.pi * share))

    for step in range(steps):
        if step <= top:
            rate, beta1 = cosine(peak / 25, peak, step / top), cosine(0.95, 0.85, step / top)
        else:
            share = (step - top) / (steps - 1 - top)
            rate, beta1 = cosine(peak, peak / 25e4, share), cosine(0.85, 0.95, share)
        rates.append((rate, beta1))
        norm = np.sqrt(sum((given[name][step].astype(np.float64) ** 2).sum() for name in params))
        for name, decay in (("kernel", 0.01), ("bias", 0.0)):
            gradient = given[name][step] * min(1, clip / (norm + 1e-6))
            mean[name] = beta1 * mean[name] + (1 - beta1) * gradient
            square[name] = 0.999 * square[name] + 0.001 * gradient**2
            change = mean[name] / (1 - beta1 ** (step + 1))
            change /= np.sqrt(square[name] / (1 - 0.999 ** (step + 1))) + 1e-8
            params[name] = params[name] - rate * decay * params[name] - rate * change
    return params, rates


def test_adamw_and_onecycle_follow_pytorchs_formulas_under_vmap():
    config, folds = OptimizerConfig(clip_norm=0.5), [(7, 5e-3), (100, 5e-3), (40, 1e-4)]
    rng = np.random.default_rng(0)
    given = {
        name: rng.normal(size=(len(folds), 100, *PARAMS["a"][name].shape)).astype(np.float32)
        for name in ("kernel", "bias")
    }
    params = {"a": PARAMS["a"]}
    optimizer = make_optimizer(config, params)

    def fold(given, steps, peak):
        def one(carry, gradient):
            params, state, step = carry
            new = *moved(optimizer, {"a": gradient}, state, params, step, steps, peak), step + 1
            return jax.tree.map(lambda a, b: jnp.where(step < steps, a, b), new, carry), None

        return jax.lax.scan(one, (params, optimizer.init(params), jnp.int32(0)), given)[0][0]

    steps, peaks = (np.array(column) for column in zip(*folds, strict=True))
    found = jax.jit(jax.vmap(fold))(given, steps, peaks.astype(np.float32))
    for k, (steps, peak) in enumerate(folds):
        wanted, rates = pytorch_formula({name: value[k] for name, value in given.items()}, steps, peak, 0.5)
        for step, expected in enumerate(rates):
            told = rate_and_beta1(config, jnp.int32(step), jnp.int32(steps), jnp.float32(peak))
            np.testing.assert_allclose(told, expected, rtol=2e-5)
        for name, value in wanted.items():
            np.testing.assert_allclose(found["a"][name][k], value, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_of_every_kind_is_restored_bit_for_bit(kind, tmp_path):
    params, state = after(OptimizerConfig(kind=kind, schedule="constant"), 3, 3, 1e-2)
    tree = {"params": params, "state": state}
    point = ResumePoint(tmp_path)
    point.save(1, tree)
    point.close()
    again = ResumePoint(tmp_path)
    _, found = again.restore(jax.tree.map(jnp.zeros_like, tree))
    again.close()
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    jax.tree.map(np.testing.assert_array_equal, found, tree)


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
def test_adamw_computes_its_formula_to_the_bit(schedule):
    config = OptimizerConfig(schedule=schedule, clip_norm=0.5, groups=((r"a\.kernel", 0.3),))
    factors = rate_factors(PARAMS, config.groups)
    formula = jax.jit(lambda *given: adamw_by_formula(*given, config, factors))
    params, moments = PARAMS, (jax.tree.map(jnp.zeros_like, PARAMS),) * 2
    for step in range(5):
        given = jnp.int32(step), jnp.int32(20), jnp.float32(1e-2)
        params, moments = formula(gradients(step), moments, params, *given)
    found, _ = after(config, 5, 20, 1e-2)
    jax.tree.map(np.testing.assert_array_equal, found, params)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_descends_with_a_rate_of_its_own_for_each_trial(kind):
    """A least-squares problem under vmap, with peaks and lengths that differ."""
    config = OptimizerConfig(kind=kind, schedule="constant", weight_decay=0.0)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(32, 4)), jnp.float32)
    model = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    graphdef, params = nnx.split(model)
    y = x @ jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
    optimizer = make_optimizer(config, params)

    def loss(params):
        return jnp.mean((nnx.merge(graphdef, params)(x) - y) ** 2)

    def trial(peak, steps):
        def step(state, _):
            given = jax.grad(loss)(state.params), state.optimizer, state.params
            new, moments = moved(optimizer, *given, state.updates, steps, peak)
            return state._replace(params=new, optimizer=moments, updates=state.updates + 1), None

        state, _ = jax.lax.scan(step, init_state(params, optimizer), length=100)
        return loss(evaluated(state))

    peaks, steps = jnp.array([0.0, 0.01, 0.02]), jnp.array([100, 100, 200])
    still, *others = jax.jit(jax.vmap(trial))(peaks, steps)
    assert float(still) == pytest.approx(float(loss(params)), rel=1e-6)
    assert all(float(found) < 0.9 * float(still) for found in others)
    assert float(others[0]) != float(others[1])
    alone = jax.jit(trial)(peaks[1], steps[1])
    assert float(alone) == pytest.approx(float(others[0]), rel=1e-3)


def test_schedule_free_is_optaxs_and_evaluates_its_average():
    config = OptimizerConfig(kind="schedule_free_adamw", schedule="constant", weight_decay=0.0, clip_norm=None)
    found, state = after(config, 6, 6, 1e-2, nnx.State(PARAMS))
    theirs = optax.contrib.schedule_free_adamw(1e-2, b1=0.9, b2=0.999, eps=1e-8)
    params, moments = PARAMS, theirs.init(PARAMS)
    for step in range(6):
        updates, moments = theirs.update(gradients(step), moments, params)
        params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(found["a"]["kernel"], params["a"]["kernel"], atol=1e-6)
    average = optax.contrib.schedule_free_eval_params(moments, params)
    assert not np.allclose(found["a"]["kernel"], average["a"]["kernel"], atol=1e-5)
    kept = evaluated_params(found, state)
    np.testing.assert_allclose(kept["a"]["kernel"], average["a"]["kernel"], atol=1e-6)


@pytest.mark.parametrize("kind", ["muon", "adafactor", "schedule_free_adamw"])
def test_onecycle_is_refused_where_there_is_no_beta1_to_move(kind):
    with pytest.raises(UserError, match=rf"optimizer\.kind {kind} does not follow"):
        OptimizerConfig(kind=kind).check()
    OptimizerConfig(kind=kind, schedule="cosine").check()


def test_schedule_free_is_refused_without_beta1():
    """Its average is found by a division by beta1."""
    with pytest.raises(UserError, match=r"optimizer\.beta1 is 0"):
        OptimizerConfig(kind="schedule_free_adamw", schedule="constant", beta1=0.0).check()


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_warm_up_rises_to_the_peak_and_falls_to_the_end(schedule):
    config = OptimizerConfig(schedule=schedule, warmup=0.1, min_lr=1e-5)
    rates = [float(rate_and_beta1(config, jnp.int32(s), jnp.int32(100), jnp.float32(1e-3))[0]) for s in range(101)]
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(1e-3) == pytest.approx(rates[9])
    assert all(np.diff(rates[:10]) > 0)
    assert all(np.diff(rates[10:]) < 0)
    assert rates[100] == pytest.approx(1e-5, rel=1e-4)


def test_weight_decay_spares_norms_and_biases():
    assert decayed(PARAMS) == {"a": {"kernel": True, "bias": False}, "norm": {"scale": False}}


def test_groups_take_the_first_full_match():
    factors = rate_factors(PARAMS, ((r"a\.kernel", 0.5), (r"a\..*", 0.1)))
    assert factors == {"a": {"kernel": 0.5, "bias": 0.1}, "norm": {"scale": 1.0}}
    for pattern in ("kernel", "("):
        with pytest.raises(UserError, match=r"optimizer\.groups"):
            rate_factors(PARAMS, ((pattern, 1.0),))


def test_groups_of_none_freeze_unless_an_earlier_group_matches():
    groups = ((r"a\.bias", 0.5), (r"a\..*", None))
    assert not in_frozen_group(("a", "bias"), groups)
    assert in_frozen_group(("a", "kernel"), groups)
    assert not in_frozen_group(("norm", "scale"), groups)
    trained, frozen = {"a": {"bias": 1}, "norm": {"scale": 1}}, {"a": {"kernel": 1}}
    assert rate_factors(trained, groups, frozen) == {"a": {"bias": 0.5}, "norm": {"scale": 1.0}}
    with pytest.raises(UserError, match="matches no trained parameter"):
        rate_factors(trained, ((r"a\.kernel", 0.5),), frozen)
    with pytest.raises(UserError, match="matches no trained parameter"):
        rate_factors(trained, (*groups, (r"b\..*", None)), frozen)


def test_a_group_scales_its_own_update_only():
    plain, slow = (
        after(OptimizerConfig(schedule="constant", weight_decay=0.0, clip_norm=None, groups=groups), 1, 1, 0.1)[0]
        for groups in ((), ((r"norm\..*", 0.1),))
    )
    np.testing.assert_array_equal(plain["a"]["kernel"], slow["a"]["kernel"])
    np.testing.assert_allclose(1 - slow["norm"]["scale"], 0.1 * (1 - plain["norm"]["scale"]), rtol=1e-4)
