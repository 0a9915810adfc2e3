"""Scores of an ensemble from its members' logits, and how much the members disagree."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from serjax.checkpoints.bundle import Outputs
from serjax.evaluation.tasks import MIDDLE


@dataclass(frozen=True)
class Scoring:
    """From the members' logits to the ensemble's scores.

    Attributes:
        outputs: softmax: one class of several. sigmoid: each class for itself. identity: values.
        weights: Float[np.ndarray, "k"], share of each member; they add up to 1.
        temperature: Float[np.ndarray, "k"], divides the logits of each member; None leaves them as they are.
        only: places of the outputs that are scored, in their order; None for all.
        ranges: lowest and highest value of each dimension, in whose middle an output of 0 is; empty leaves outputs as
            they are.
    """

    outputs: Outputs
    weights: Float[np.ndarray, "k"]
    temperature: Float[np.ndarray, "k"] | None = None
    only: tuple[int, ...] | None = None
    ranges: tuple[tuple[float, float], ...] = ()

    def members(self, logits: Float[np.ndarray, "n k c"]) -> Float[np.ndarray, "n k m"]:
        """Return the scores of each member for the m classes that are told apart."""
        if self.only is not None:
            logits = logits[..., list(self.only)]
        if self.temperature is not None:
            logits = logits / self.temperature[:, None]
        if self.outputs == "softmax":
            shifted = np.exp(logits - logits.max(-1, keepdims=True))
            return shifted / shifted.sum(-1, keepdims=True)
        if self.outputs == "sigmoid":
            return np.where(logits >= 0, 1, np.exp(-np.abs(logits))) / (1 + np.exp(-np.abs(logits)))
        if self.ranges:
            low, high = np.array(self.ranges, np.float32).T
            return low + (MIDDLE + logits) * (high - low)
        return logits

    def scores(self, logits: Float[np.ndarray, "n k c"]) -> Float[np.ndarray, "n m"]:
        """Return the weighted mean of the members' scores."""
        return np.einsum("k,nkc->nc", self.weights, self.members(logits)).astype(np.float32)

    def disagreement(self, logits: Float[np.ndarray, "n k c"]) -> Float[np.ndarray, "n"] | None:
        """Return how much the members disagree; None where there is but one of them that counts.

        Of classes it is the mutual information between answer and member in bits: entropy of the mean less mean entropy
        (Houlsby et al. 2011, "Bayesian active learning for classification and preference learning", eq. 1), 0 where all
        agree; summed over labels that stand each for itself. Of values it is the root of their mean variance.
        """
        if np.count_nonzero(self.weights) < 2:
            return None
        each = self.members(logits).astype(np.float64)
        weights = self.weights.astype(np.float64)
        mean = np.einsum("k,nkc->nc", weights, each)
        if self.outputs == "identity":
            variance = np.einsum("k,nkc->nc", weights, (each - mean[:, None]) ** 2)
            return np.sqrt(variance.mean(-1)).astype(np.float32)
        found = self._entropy(mean) - np.einsum("k,nk->n", weights, self._entropy(each))
        return np.maximum(found, 0).astype(np.float32)

    def _entropy(self, p: Float[np.ndarray, "*n c"]) -> Float[np.ndarray, "*n"]:
        """Return the entropy of scores in bits."""
        both = np.stack([p, 1 - p]) if self.outputs == "sigmoid" else p[None]
        safe = np.where(both > 0, both, 1)
        return -(both * np.log2(safe)).sum((0, -1))
