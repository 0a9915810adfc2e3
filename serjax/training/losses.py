"""Losses of targets other than one class by cross-entropy: a value a clip, or one of a whole batch."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def shares_cross_entropy(logits: Float[Array, "b c"], target: Float[Array, "b c"]) -> Float[Array, "b"]:
    """Return the cross-entropy of shares that add up to 1."""
    return -(target * jax.nn.log_softmax(logits)).sum(-1)


def kl_divergence(logits: Float[Array, "b c"], target: Float[Array, "b c"]) -> Float[Array, "b"]:
    """Return the Kullback-Leibler divergence of the prediction from the target, in nats."""
    entropy = -(target * jnp.log(jnp.where(target > 0, target, 1))).sum(-1)
    return shares_cross_entropy(logits, target) - entropy


def earth_mover(logits: Float[Array, "b c"], target: Float[Array, "b c"]) -> Float[Array, "b"]:
    """Return the squared earth mover's distance of ordered classes (Hou, Yu, Samaras 2016, eq. 9)."""
    return ((jnp.cumsum(jax.nn.softmax(logits), -1) - jnp.cumsum(target, -1)) ** 2).sum(-1)


def focal(logits: Float[Array, "b c"], target: Float[Array, "b c"], gamma: float) -> Float[Array, "b"]:
    """Return the focal loss of classes (Lin et al. 2017, eq. 4, without alpha); gamma 0 is cross-entropy."""
    log = jax.nn.log_softmax(logits)
    return -(target * (1 - jnp.exp(log)) ** gamma * log).sum(-1)


def binary_focal(logits: Float[Array, "b c"], target: Float[Array, "b c"], gamma: float) -> Float[Array, "b"]:
    """Return the focal loss of labels that stand each for itself, summed; gamma 0 is binary cross-entropy."""
    yes, no = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return -(target * jnp.exp(no) ** gamma * yes + (1 - target) * jnp.exp(yes) ** gamma * no).sum(-1)


def huber(error: Float[Array, "*n"], delta: float) -> Float[Array, "*n"]:
    """Return the Huber loss divided by `delta`: square near 0, the absolute value's slope from `delta` on."""
    size = jnp.abs(error)
    return jnp.where(size < delta, 0.5 * size**2 / delta, size - 0.5 * delta)


def soft_macro_f1(
    logits: Float[Array, "b c"], target: Float[Array, "b c"], weight: Float[Array, "b"]
) -> Float[Array, ""]:
    """Return 1 - macro-F1 with probabilities in place of decisions, over the classes of the batch.

    Counts of hits are sums of probabilities (Bénédict et al. 2022, "sigmoidF1", with softmax).
    """
    probability = jax.nn.softmax(logits) * weight[:, None]
    target = target * weight[:, None]
    hits = (probability * target).sum(0)
    there = target.sum(0) > 0
    f1 = 2 * hits / jnp.maximum(probability.sum(0) + target.sum(0), 1e-9)
    return 1 - jnp.where(there, f1, 0).sum() / jnp.maximum(there.sum(), 1)


def concordance(
    prediction: Float[Array, "b d"], target: Float[Array, "b d"], weight: Float[Array, "b d"]
) -> Float[Array, "d"]:
    """Return the concordance correlation coefficient of each dimension (Lin 1989), with weights of clips.

    Variances are divided by the number of clips, as in Lin's paper. A dimension without clips, or without any
    variance in both, is 0.
    """
    count = jnp.maximum(weight.sum(0), 1e-9)
    mean_x, mean_y = (weight * prediction).sum(0) / count, (weight * target).sum(0) / count
    x, y = prediction - mean_x, target - mean_y
    covariance = (weight * x * y).sum(0) / count
    spread = (weight * (x**2 + y**2)).sum(0) / count + (mean_x - mean_y) ** 2
    return 2 * covariance / jnp.maximum(spread, 1e-9)
