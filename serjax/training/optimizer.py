"""AdamW under a schedule, as pure functions of a step, so that every fold carries its own length and rate.

PyTorch's definitions are followed (`torch.optim.AdamW`, `torch.optim.lr_scheduler.OneCycleLR` with cosine annealing):
published SER recipes state their hyperparameters in those terms.
"""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from serjax.models.functional import Params, path_name
from serjax.runtime.errors import UserError
from serjax.training.config import OptimizerConfig

ONE_CYCLE_START = 1 / 25
"""OneCycle starts at this share of the peak rate (PyTorch's div_factor 25)."""
ONE_CYCLE_END = 1 / 25 / 1e4
"""OneCycle ends at this share of the peak rate (PyTorch's final_div_factor 1e4)."""
ONE_CYCLE_BETA1 = (0.85, 0.95)
"""AdamW's beta1 at the peak of the rate and at its two ends (PyTorch's base_momentum, max_momentum)."""


class AdamState(NamedTuple):
    """Moments of AdamW and the number of updates made."""

    updates: Int[Array, ""]
    mean: Params
    square: Params


def _cosine(start: Any, end: Any, share: Float[Array, ""]) -> Float[Array, ""]:
    # cos^2(x/2) is (1 + cos x)/2 without its cancellation near the end of the schedule.
    return end + (start - end) * jnp.cos(jnp.pi / 2 * jnp.clip(share, 0, 1)) ** 2


def rate_and_beta1(
    config: OptimizerConfig, step: Int[Array, ""], steps: Int[Array, ""], peak: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the learning rate and beta1 of update number `step` (from 0) out of `steps`.

    onecycle: from peak/25 up to peak over the first `warmup` share of the steps, cosine, then down to peak/25/1e4, with
    beta1 from 0.95 to 0.85 and back. cosine, linear: straight up from 0 for `warmup` of the steps, then down to min_lr.
    """
    now = step.astype(jnp.float32)
    total = steps.astype(jnp.float32)
    beta1 = jnp.float32(config.beta1)
    if config.schedule == "onecycle":
        top = config.warmup * total - 1
        up, down = now / jnp.maximum(top, 1e-6), (now - top) / jnp.maximum(total - 1 - top, 1e-6)
        low, high = ONE_CYCLE_BETA1
        rising = now <= top
        rate = jnp.where(rising, _cosine(peak * ONE_CYCLE_START, peak, up), _cosine(peak, peak * ONE_CYCLE_END, down))
        return rate, jnp.where(rising, _cosine(high, low, up), _cosine(low, high, down))
    if config.schedule == "constant":
        return peak, beta1
    # The first update already has a rate above zero: a whole step at rate zero would be wasted.
    top = config.warmup * total
    rising = now + 1 < top
    down = (now - top) / jnp.maximum(total - top, 1)
    if config.schedule == "cosine":
        fall = _cosine(peak, jnp.float32(config.min_lr), down)
    else:
        fall = peak + (config.min_lr - peak) * jnp.clip(down, 0, 1)
    return jnp.where(rising, peak * (now + 1) / jnp.maximum(top, 1), fall), beta1


def rate_factors(params: Params, groups: tuple[tuple[str, float], ...], prefix: str = "") -> Params:
    """Return a pytree like `params` with each leaf's learning rate factor; the first pattern that matches wins.

    Args:
        params: one trial's parameters (abstract will do).
        groups: pairs of a regular expression, which must match a parameter's whole name, and a factor.
        prefix: what stands before the names, such as `head.` where a head is trained alone.

    Raises:
        UserError: a pattern is no regular expression or matches no parameter.
    """
    used = set()

    def factor(path: tuple[Any, ...], _: Any) -> float:
        name = prefix + path_name(path)
        for pattern, value in groups:
            if re.fullmatch(pattern, name):
                used.add(pattern)
                return value
        return 1.0

    try:
        factors = jax.tree_util.tree_map_with_path(factor, params)
    except re.error as error:
        raise UserError(
            f"optimizer.groups: {error.pattern!r} is no regular expression ({error}); correct it."
        ) from None
    unused = [pattern for pattern, _ in groups if pattern not in used]
    if unused:
        example = prefix + path_name(jax.tree_util.tree_leaves_with_path(params)[0][0])
        raise UserError(
            f"optimizer.groups: {unused[0]!r} matches no trained parameter in full; they are called like {example!r}."
        )
    return factors


def decayed(params: Params) -> Params:
    """Return a pytree of bools: weight decay falls on the weights of matrices and convolutions, nothing else."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: bool(
            re.fullmatch(r"kernel|weight_v|weight_[ih]h_l0(_reverse)?", path_name(path).rpartition(".")[2])
        ),
        params,
    )


def init_adam(params: Params) -> AdamState:
    """Return AdamW's state before the first update."""
    # Zeros of their own for each moment: a step takes over its state's memory, and may not be given a buffer twice.
    return AdamState(jnp.zeros((), jnp.int32), *(jax.tree.map(jnp.zeros_like, params) for _ in range(2)))


def adamw(
    gradients: Params,
    adam: AdamState,
    params: Params,
    *,
    config: OptimizerConfig,
    steps: Int[Array, ""],
    peak: Float[Array, ""],
    factors: Params,
) -> tuple[Params, AdamState, Float[Array, ""], Float[Array, ""]]:
    """Make one update and return the new parameters, the new state, the learning rate and the gradients' global norm.

    Weight decay is decoupled and scaled by the learning rate, as in PyTorch; bias correction uses the current beta1,
    also as in PyTorch, where OneCycle moves it.
    """
    norm = optax.tree.norm(gradients)
    if config.clip_norm is not None:
        scale = jnp.minimum(1.0, config.clip_norm / (norm + 1e-6))
        gradients = jax.tree.map(lambda gradient: gradient * scale, gradients)
    rate, beta1 = rate_and_beta1(config, adam.updates, steps, peak)
    updates = adam.updates + 1
    mean = optax.tree.update_moment(gradients, adam.mean, beta1, 1)
    square = optax.tree.update_moment_per_elem_norm(gradients, adam.square, config.beta2, 2)
    mean_hat = optax.tree.bias_correction(mean, beta1, updates)
    square_hat = optax.tree.bias_correction(square, config.beta2, updates)

    def update(param: Array, m: Array, v: Array, factor: float, decay: bool) -> Array:
        change = m / (jnp.sqrt(v) + config.epsilon) + (config.weight_decay * param if decay else 0.0)
        return param - rate * factor * change

    params = jax.tree.map(update, params, mean_hat, square_hat, factors, decayed(params))
    return params, AdamState(updates, mean, square), rate, norm
