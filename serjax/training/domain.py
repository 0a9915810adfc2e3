"""Domain adaptation: a loss that brings embeddings of labelled clips and of another corpus's clips together.

It wraps any other objective, whose batches it extends by clips without labels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from serjax.models.functional import Params, cast
from serjax.models.inputs import Inputs
from serjax.models.layers.heads import NormHead
from serjax.training.classification import LabelledInputs
from serjax.training.config import TrainConfig
from serjax.training.domain_config import DomainConfig
from serjax.training.update import Objective, TrainState, TrialConstants

DOMAIN_HEAD = "domain_classifier"
"""Name of the classifier of the corpus in a classifier's head, while it trains."""

UNITS = 100
"""Width of the hidden layer of the classifier of the corpus, as for digits in Ganin et al. 2016, section 5.2.2."""

STEEPNESS = 10.0
"""Gamma of the schedule of Ganin et al. 2016, section 5.2.2."""


class OtherCorpus(NamedTuple):
    """Clips without labels that training adapts to.

    Attributes:
        config: how.
        clips: positions of them in the stored features.
    """

    config: DomainConfig
    clips: Sequence[int]

    def order(self, seed: Sequence[int], rows: int) -> Int[np.ndarray, "rows"]:
        """Return clips for so many rows of an epoch: in random order, and when all came, in another one."""
        rng, rounds = np.random.default_rng(seed), -(-rows // len(self.clips))
        return np.concatenate([rng.permutation(np.asarray(self.clips)) for _ in range(rounds)])[:rows]


class TwoDomains(NamedTuple):
    """A batch of labelled clips and one of another corpus.

    Attributes:
        source: labelled clips.
        target: clips without labels, as many.
        progress: share of the training that is over.
    """

    source: LabelledInputs
    target: Inputs
    progress: Float[Array, ""] | float = 0.0


class DomainPart(NamedTuple):
    """A part of a batch: that of the other objective, and clips of the other corpus."""

    source: Any
    target: Inputs


class DomainTotals(NamedTuple):
    """Totals of the other objective, and the factor of the domains' loss or of its reversed gradient."""

    inner: Any
    factor: Float[Array, ""]


class DomainSums(NamedTuple):
    """Sums and loss of the other objective."""

    inner: Any
    loss: Float[Array, ""]


class DomainClassifier(nnx.Module):
    """Linear, ReLU, Linear: from an embedding to the logit of the other corpus."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.dense = nnx.Linear(features, UNITS, rngs=rngs)
        self.out_proj = nnx.Linear(UNITS, 1, rngs=rngs)

    def __call__(self, x: Float[Array, "b d"]) -> Float[Array, "b"]:
        """Return the logits."""
        return self.out_proj(jax.nn.relu(self.dense(x)))[:, 0]


@dataclass(frozen=True)
class DomainAdaptation:
    """Loss of another objective, and that of two domains.

    The latter is weighted as the other's mean is, so that both are means over a batch. The metrics are the other's.

    Attributes:
        inner: the other objective, whose sums are the weight that makes its loss a mean.
        config: which adaptation.
    """

    inner: Objective
    config: DomainConfig

    @property
    def dtype(self) -> str:
        """Number format that the model computes in."""
        return self.inner.dtype

    @property
    def zero(self) -> DomainSums:
        """Sums of a part of no rows."""
        return DomainSums(self.inner.zero, jnp.zeros(()))

    def prepare(
        self, batch: TwoDomains, constants: TrialConstants, key: Key[Array, ""]
    ) -> tuple[DomainPart, Key[Array, "p"], DomainTotals]:
        """Return parts of both corpora, and the factor of this update."""
        source, keys, inner = self.inner.prepare(batch.source, constants, key)
        count = len(keys)
        target = jax.tree.map(lambda x: x.reshape(count, len(x) // count, *x.shape[1:]), batch.target)
        factor = self.config.weight * (
            ramp(jnp.asarray(batch.progress)) if self.config.kind == "dann" else jnp.ones(())
        )
        return DomainPart(source, target), keys, DomainTotals(inner, factor)

    def loss(
        self, model: Any, part: DomainPart, totals: DomainTotals, key: Key[Array, ""] | None
    ) -> tuple[Float[Array, ""], DomainSums]:
        """Return both losses times the weight of the part's rows."""
        value, sums = self.inner.loss(model, part.source, totals.inner, key)
        source, target = (embed(model, inputs, self.dtype) for inputs in (part.source.inputs, part.target))
        weight = part.source.weight
        if self.config.kind == "dann":
            classify = getattr(model.head, DOMAIN_HEAD)
            logits = [classify(reverse_gradient(x, totals.factor)).astype(jnp.float32) for x in (source, target)]
            # Both corpora count alike, however many rows of a last batch only fill up. The classifier itself learns
            # at full rate: the factor is in the reversed gradient alone.
            added = 0.5 * (_mean(jax.nn.softplus(logits[0]), weight) + jax.nn.softplus(-logits[1]).mean())
        else:
            added = totals.factor * coral(source, target, weight)
        return value + added * sums, DomainSums(sums, value)

    def finish(
        self, gradient: Params, loss: Float[Array, ""], sums: DomainSums, totals: DomainTotals
    ) -> tuple[Params, dict[str, Float[Array, ""]]]:
        """Return the gradient of the mean of both, and the other's metrics."""
        return self.inner.finish(gradient, sums.loss, sums.inner, totals.inner)


def adapted(inner: Callable[[TrainConfig], Objective], config: DomainConfig, train: TrainConfig) -> DomainAdaptation:
    """Return the objective that adapts another one, which a trial's settings make."""
    return DomainAdaptation(inner(train), config)


def reverse_gradient(x: Float[Array, "*n"], factor: Float[Array, ""]) -> Float[Array, "*n"]:
    """Return x, whose gradient is that of what follows times minus `factor` (Ganin et al. 2016, section 4.2)."""
    return _reversed(x, factor)


@jax.custom_vjp
def _reversed(x: Any, factor: Any) -> Any:
    return x


def _forward(x: Any, factor: Any) -> Any:
    return x, factor


def _backward(factor: Any, gradient: Any) -> Any:
    return (-factor * gradient).astype(gradient.dtype), jnp.zeros_like(factor)


_reversed.defvjp(_forward, _backward)


def ramp(progress: Float[Array, ""]) -> Float[Array, ""]:
    """Return the share of a factor that counts: 0 at the beginning, near 1 from half of the training on.

    2 / (1 + exp(-10 p)) - 1 for progress p from 0 to 1: equation in section 5.2.2 of Ganin et al. 2016.
    """
    return 2 / (1 + jnp.exp(-STEEPNESS * progress)) - 1


def coral(
    source: Float[Array, "b d"], target: Float[Array, "m d"], weight: Float[Array, "b"] | None = None
) -> Float[Array, ""]:
    """Return the distance of covariances: squared Frobenius norm of their difference over 4 d^2.

    Equations 1 to 3 of Sun & Saenko 2016 (Deep CORAL).

    Args:
        source: embeddings.
        target: of another corpus.
        weight: 0 for rows of `source` that do not count, else 1.
    """
    weight = jnp.ones(len(source)) if weight is None else weight
    difference = covariance(source, weight) - covariance(target, jnp.ones(len(target)))
    return jnp.sum(difference**2) / (4 * source.shape[1] ** 2)


def covariance(x: Float[Array, "b d"], weight: Float[Array, "b"]) -> Float[Array, "d d"]:
    """Return the unbiased covariance of rows whose weight is 1; 0 of fewer than two."""
    x, count = x.astype(jnp.float32), weight.sum()
    centred = (x - (weight @ x) / jnp.maximum(count, 1)) * weight[:, None]
    return jnp.einsum("bi,bj->ij", centred, centred, precision="highest") / jnp.maximum(count - 1, 1)


def embed(model: Any, inputs: Inputs, dtype: str) -> Float[Array, "b d"]:
    """Return the hidden layer of a speech classifier's head for stored hidden states, without dropout."""
    inputs = cast(inputs, dtype)
    return model.head.hidden(inputs.hidden_states, inputs.hidden_lengths)


def with_domain_classifier(head: Any, config: DomainConfig, *, rngs: nnx.Rngs) -> Any:
    """Return the head of a speech classifier with a classifier of the corpus, where one is to be trained."""
    if config.kind == "dann":
        layers = head.classifier
        assert isinstance(layers, NormHead), "experiments without a hidden layer are refused"
        setattr(head, DOMAIN_HEAD, DomainClassifier(layers.dense.out_features, rngs=rngs))
    return head


def without_domain_classifier(model: nnx.Module) -> nnx.Module:
    """Return a model without the classifier of the corpus, which no answer needs."""
    head = getattr(model, "head", None)
    if hasattr(head, DOMAIN_HEAD):
        delattr(head, DOMAIN_HEAD)
    return model


def domain_weights(params: Params) -> int:
    """Return the number of weights of the classifier of the corpus in a classifier's state."""
    return sum(leaf.size for path, leaf in nnx.to_flat_state(params) if DOMAIN_HEAD in path)


def with_progress(step: Callable[..., Any]) -> Callable[[TrainState, TwoDomains, TrialConstants, Params], Any]:
    """Return a step of `make_step` that tells the objective how far training is."""

    def informed(state: TrainState, batch: TwoDomains, constants: TrialConstants, frozen: Params) -> Any:
        progress = state.updates / jnp.maximum(constants.steps, 1)
        return step(state, batch._replace(progress=progress), constants, frozen)

    return informed


def _mean(values: Float[Array, "b"], weight: Float[Array, "b"]) -> Float[Array, ""]:
    return (weight * values).sum() / jnp.maximum(weight.sum(), 1)
