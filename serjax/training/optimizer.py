"""Optimizers under a schedule: optax chains, made anew for each update with a trial's own rate and beta1.

PyTorch's definitions are followed (`torch.optim.AdamW`, `torch.optim.lr_scheduler.OneCycleLR` with cosine annealing):
published SER recipes state their hyperparameters in those terms.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from serjax.models.functional import Params, overlay, path_name
from serjax.runtime.errors import UserError
from serjax.training.config import OptimizerConfig

ONE_CYCLE_START = 1 / 25
"""OneCycle starts at this share of the peak rate (PyTorch's div_factor 25)."""
ONE_CYCLE_END = 1 / 25 / 1e4
"""OneCycle ends at this share of the peak rate (PyTorch's final_div_factor 1e4)."""
ONE_CYCLE_BETA1 = (0.85, 0.95)
"""beta1 at the peak of the rate and at its two ends (PyTorch's base_momentum, max_momentum)."""

DECAYED = ((r"(.*\.)?(kernel|weight_v|weight_[ih]h_l0(_reverse)?)", True),)
"""Weight decay falls on the weights of matrices and convolutions, nothing else."""

Value = TypeVar("Value")


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


def first_match(name: str, rules: Sequence[tuple[str, Value]], default: Value) -> Value:
    """Return the value of the first rule whose regular expression matches the whole name.

    Raises:
        UserError: a pattern is no regular expression.
    """
    for pattern, value in rules:
        try:
            if re.fullmatch(pattern, name):
                return value
        except re.error as error:
            raise UserError(f"optimizer.groups: {pattern!r} is no regular expression ({error}); correct it.") from None
    return default


def in_frozen_group(path: Sequence[Any], groups: Sequence[tuple[str, float | None]]) -> bool:
    """Return whether the first group that matches a parameter's path freezes it."""
    return first_match(path_name(tuple(path)), groups, 1.0) is None


def rate_factors(params: Params, groups: Sequence[tuple[str, float | None]], frozen: Params = ()) -> Params:
    """Return a pytree like `params` with each leaf's learning rate factor; the first pattern that matches wins.

    Args:
        params: one trial's trained parameters (abstract will do).
        groups: pairs of a regular expression, which must match a parameter's whole name, and a factor, or None for
            parameters that are frozen.
        frozen: the other parameters of the model.

    Raises:
        UserError: a pattern is no regular expression or matches no parameter that it could be meant for.
    """
    trained = [path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    others = [path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(frozen)]
    found = {name: first_match(name, [(pattern, pattern) for pattern, _ in groups], "") for name in trained + others}
    for pattern, factor in groups:
        # A factor other than 1 means nothing to a parameter that is frozen.
        names = trained if factor not in (None, 1.0) else trained + others
        if pattern not in {found[name] for name in names}:
            raise UserError(
                f"optimizer.groups: {pattern!r} matches no trained parameter in full; they are called like "
                f"{(trained + others)[0]!r}."
            )

    def factor_of(path: tuple[Any, ...], _: Any) -> float:
        # What a group freezes and stands here all the same, such as moments of features, stays as it is.
        return first_match(path_name(path), groups, 1.0) or 0.0

    return jax.tree_util.tree_map_with_path(factor_of, params)


def decayed(params: Params) -> Params:
    """Return a pytree of bools: which leaves weight decay falls on."""
    return jax.tree_util.tree_map_with_path(lambda path, _: first_match(path_name(path), DECAYED, False), params)


def clip_by_global_norm(limit: float) -> optax.GradientTransformation:
    """Scale gradients down to a global norm, as `torch.nn.utils.clip_grad_norm_` does."""

    def clip(updates: Params, state: Any, params: Params | None = None) -> tuple[Params, Any]:
        scale = jnp.minimum(1.0, limit / (optax.tree.norm(updates) + 1e-6))
        return jax.tree.map(lambda gradient: gradient * scale, updates), state

    return optax.GradientTransformation(optax.init_empty_state, clip)


def scale_by_rate(rate: Float[Array, ""] | float, factors: Params) -> optax.GradientTransformation:
    """Turn a direction into the update of each leaf: downhill by the rate times the leaf's factor."""

    def scale(updates: Params, state: Any, params: Params | None = None) -> tuple[Params, Any]:
        return jax.tree.map(lambda update, factor: -(rate * factor) * update, updates, factors), state

    return optax.GradientTransformation(optax.init_empty_state, scale)


def _adamw(config: OptimizerConfig, beta1: Any) -> optax.GradientTransformation:
    return optax.scale_by_adam(b1=beta1, b2=config.beta2, eps=config.epsilon)


def _lion(config: OptimizerConfig, beta1: Any) -> optax.GradientTransformation:
    return optax.scale_by_lion(b1=beta1, b2=config.beta2)


def _muon(config: OptimizerConfig, beta1: Any) -> optax.GradientTransformation:
    # A rate of -1 leaves the direction as it is; it is scaled to the size of AdamW's (Liu et al. 2025).
    return optax.contrib.muon(-1.0, adam_b1=beta1, adam_b2=config.beta2, eps=config.epsilon, consistent_rms=0.2)


def _adafactor(config: OptimizerConfig, beta1: Any) -> optax.GradientTransformation:
    return optax.chain(optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0), optax.scale_by_param_block_rms())


def _sgd(config: OptimizerConfig, beta1: Any) -> optax.GradientTransformation:
    return optax.trace(decay=beta1)


def _schedule_free_adamw(config: OptimizerConfig, beta1: Any) -> optax.GradientTransformation:
    return optax.scale_by_rms(decay=config.beta2, eps=config.epsilon, eps_in_sqrt=False, bias_correction=True)


_DIRECTIONS: dict[str, Callable[[OptimizerConfig, Any], optax.GradientTransformation]] = {
    "adamw": _adamw,
    "lion": _lion,
    "muon": _muon,
    "adafactor": _adafactor,
    "sgd": _sgd,
    "schedule_free_adamw": _schedule_free_adamw,
}


class ScheduledState(NamedTuple):
    """State of an optimizer under a schedule.

    Attributes:
        learning_rate: of the last update, before the factors of groups.
        beta1: of the last update.
        chain: state of the optax chain, laid out alike whatever the rate and beta1.
    """

    learning_rate: Float[Array, ""]
    beta1: Float[Array, ""]
    chain: optax.OptState


def make_optimizer(
    config: OptimizerConfig, params: Params, frozen: Params = ()
) -> optax.GradientTransformationExtraArgs:
    """Return the optimizer of one trial's trained parameters (abstract will do); see `rate_factors` for `frozen`.

    An optax chain: clip, direction, decoupled weight decay, rate. Its `update` takes three more arguments by name, from
    which the rate and beta1 of an update come: `step` (from 0), `steps` and `peak`. All may be traced, so that every
    trial has its own.

    Raises:
        UserError: a pattern of `config.groups` is wrong.
    """
    factors, decay = rate_factors(params, config.groups, frozen), decayed(params)
    clip = [] if config.clip_norm is None else [clip_by_global_norm(config.clip_norm)]

    def chain(rate: Float[Array, ""], beta1: Float[Array, ""]) -> optax.GradientTransformation:
        base = optax.chain(
            _DIRECTIONS[config.kind](config, beta1),
            optax.add_decayed_weights(config.weight_decay, mask=decay),
            scale_by_rate(rate, factors),
        )
        if config.kind == "schedule_free_adamw":
            base = optax.contrib.schedule_free(base, learning_rate=rate, b1=config.beta1)
        return optax.chain(*clip, base)

    def init(params: Params) -> ScheduledState:
        rate, beta1 = jnp.zeros(()), jnp.float32(config.beta1)
        return ScheduledState(rate, beta1, chain(rate, beta1).init(params))

    def update(
        gradient: Params,
        state: ScheduledState,
        params: Params | None = None,
        *,
        step: Int[Array, ""],
        steps: Int[Array, ""],
        peak: Float[Array, ""],
        **others: Any,
    ) -> tuple[Params, ScheduledState]:
        rate, beta1 = rate_and_beta1(config, step, steps, peak)
        updates, new = chain(rate, beta1).update(gradient, state.chain, params)
        return updates, ScheduledState(rate, beta1, new)

    return optax.GradientTransformationExtraArgs(init, update)


def _schedule_free(state: Any) -> list[Any]:
    kind = optax.contrib.ScheduleFreeState
    return [one for one in jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, kind)) if isinstance(one, kind)]


def keeps_average(state: optax.OptState) -> bool:
    """Return whether the parameters to evaluate are others than those that gradients are taken at."""
    return bool(_schedule_free(state))


def evaluated_params(params: Params, state: optax.OptState) -> Params:
    """Return the parameters to validate and to save: those given, but the average where the optimizer keeps one."""
    if not keeps_average(state):
        return params
    average = optax.contrib.schedule_free_eval_params(_schedule_free(state)[0], params)
    return overlay(average, nnx.filter_state(params, nnx.BatchStat))
