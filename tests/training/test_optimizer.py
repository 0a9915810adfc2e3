"""AdamW and the schedules against PyTorch's own, and the rules of groups and decay."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from serjax.runtime.errors import UserError
from serjax.training.config import OptimizerConfig
from serjax.training.optimizer import adamw, decayed, init_adam, rate_and_beta1, rate_factors

PARAMS = {"a": {"kernel": jnp.linspace(-1, 1, 12).reshape(3, 4), "bias": jnp.ones(4)}, "norm": {"scale": jnp.ones(3)}}


@pytest.mark.torch
@pytest.mark.parametrize("steps", [7, 100])
def test_onecycle_and_adamw_follow_pytorch(steps):
    torch = pytest.importorskip("torch")
    config = OptimizerConfig(max_lr=5e-3, weight_decay=0.01, clip_norm=0.5)
    kernel = torch.nn.Parameter(torch.from_numpy(np.array(PARAMS["a"]["kernel"])))
    bias = torch.nn.Parameter(torch.from_numpy(np.array(PARAMS["a"]["bias"])))
    optimizer = torch.optim.AdamW([{"params": [kernel]}, {"params": [bias], "weight_decay": 0.0}], weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps, pct_start=0.3)
    params = {"a": PARAMS["a"]}
    adam = init_adam(params)
    rng = np.random.default_rng(0)
    for step in range(steps):
        gradients = {"kernel": rng.normal(size=(3, 4)), "bias": rng.normal(size=4)}
        gradients = {name: value.astype(np.float32) for name, value in gradients.items()}
        rate, beta1 = rate_and_beta1(config, jnp.int32(step), jnp.int32(steps), jnp.float32(5e-3))
        np.testing.assert_allclose(rate, optimizer.param_groups[0]["lr"], rtol=2e-5)
        np.testing.assert_allclose(beta1, optimizer.param_groups[0]["betas"][0], rtol=1e-6)
        kernel.grad, bias.grad = torch.from_numpy(gradients["kernel"]), torch.from_numpy(gradients["bias"])
        torch.nn.utils.clip_grad_norm_([kernel, bias], 0.5)
        optimizer.step()
        if step + 1 < steps:
            schedule.step()
        params, adam, _, _ = adamw(
            {"a": gradients},
            adam,
            params,
            config=config,
            steps=jnp.int32(steps),
            peak=jnp.float32(5e-3),
            factors=rate_factors(params, ()),
        )
    np.testing.assert_allclose(params["a"]["kernel"], kernel.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(params["a"]["bias"], bias.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_warm_up_rises_to_the_peak_and_falls_to_the_end(schedule):
    config = OptimizerConfig(schedule=schedule, warmup=0.1, min_lr=1e-5)
    rates = [float(rate_and_beta1(config, jnp.int32(s), jnp.int32(100), jnp.float32(1e-3))[0]) for s in range(101)]
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(1e-3) == pytest.approx(rates[9])
    assert all(np.diff(rates[:10]) > 0)
    assert all(np.diff(rates[10:]) < 0)
    assert rates[100] == pytest.approx(1e-5, rel=1e-4)


def test_decay_spares_norms_and_biases():
    assert decayed(PARAMS) == {"a": {"kernel": True, "bias": False}, "norm": {"scale": False}}


def test_groups_take_the_first_full_match():
    factors = rate_factors(PARAMS, ((r"a\.kernel", 0.5), (r"a\..*", 0.1)))
    assert factors == {"a": {"kernel": 0.5, "bias": 0.1}, "norm": {"scale": 1.0}}
    for pattern in ("kernel", "("):
        with pytest.raises(UserError, match=r"optimizer\.groups"):
            rate_factors(PARAMS, ((pattern, 1.0),))


def test_a_group_scales_its_own_update_only():
    gradients = jax.tree.map(jnp.ones_like, PARAMS)
    config = OptimizerConfig(schedule="constant", weight_decay=0.0, clip_norm=None)

    def after(groups):
        arguments = {"config": config, "steps": jnp.int32(1), "peak": jnp.float32(0.1)}
        return adamw(gradients, init_adam(PARAMS), PARAMS, factors=rate_factors(PARAMS, groups), **arguments)[0]

    plain, slow = after(()), after(((r"norm\..*", 0.1),))
    np.testing.assert_array_equal(plain["a"]["kernel"], slow["a"]["kernel"])
    np.testing.assert_allclose(1 - slow["norm"]["scale"], 0.1 * (1 - plain["norm"]["scale"]), rtol=1e-5)
