"""Calibration of class probabilities: temperature scaling, and the measures that judge it.

A model is calibrated where, of all clips that it answers with a score of 70 %, it is right in 70 %. Networks are mostly
too sure. Temperature scaling (Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", section
4.2) divides the logits by one number T that is fitted on clips that were not trained on: T > 1 makes answers less sure,
T < 1 more, and the order of the classes stays as it is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import brentq

BINS = 15
"""Bins of equal width of the reliability diagram and of its error, as Guo et al. have them."""

LOWEST, HIGHEST = 0.1, 10.0
"""Bounds of a temperature."""

_SMALLEST = float(np.finfo(np.float32).tiny)
"""Stands for a probability that float32 rounds to 0, whose logarithm is wanted."""


def log_probabilities(probability: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """Return logarithms, which are logits but for a constant a row; zero counts as float32's smallest normal number."""
    return np.log(np.maximum(probability.astype(np.float64), _SMALLEST))


def fit_temperature(probability: Float[np.ndarray, "n c"], label: Int[np.ndarray, "n"]) -> float:
    """Return the temperature, from `LOWEST` to `HIGHEST`, at which the mean negative log likelihood is least.

    The likelihood is convex in 1 / T, so that its slope has one root. There is none where each clip's own class is the
    most probable: the smaller T, the better, which says nothing of clips that are answered wrongly; T is 1 then.

    Args:
        probability: of clips that were not trained on, before the temperature.
        label: class of each clip.
    """
    logits = log_probabilities(probability)
    own = logits[np.arange(len(label)), label]
    if not (logits.max(1) > own).any():
        return 1.0

    def slope(inverse: float) -> float:
        scaled = inverse * logits
        share = np.exp(scaled - scaled.max(1, keepdims=True))
        return float((((share * logits).sum(1) / share.sum(1)) - own).mean())

    if slope(1 / HIGHEST) >= 0:
        return HIGHEST
    if slope(1 / LOWEST) <= 0:
        return LOWEST
    return round(1 / float(brentq(slope, 1 / HIGHEST, 1 / LOWEST, xtol=1e-10)), 6)


def tempered(
    probability: Float[np.ndarray, "n c"], temperature: float | Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n c"]:
    """Return softmax(log probability / temperature), in float64.

    Args:
        probability: of the classes, a clip a row.
        temperature: of all clips, or of each.
    """
    scaled = log_probabilities(probability) / np.reshape(temperature, (-1, 1))
    shifted = np.exp(scaled - scaled.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def negative_log_likelihood(probability: Float[np.ndarray, "n c"], label: Int[np.ndarray, "n"]) -> float:
    """Return the mean of -log p of the true class, in nats."""
    return float(-log_probabilities(probability)[np.arange(len(label)), label].mean()) + 0.0  # never -0


def brier_score(probability: Float[np.ndarray, "n c"], label: Int[np.ndarray, "n"]) -> float:
    """Return the mean over clips of the summed squared distance from the true class, 0 to 2 (Brier 1950)."""
    distance = probability.astype(np.float64)
    distance[np.arange(len(label)), label] -= 1
    return float((distance**2).sum(1).mean())


def reliability(
    probability: Float[np.ndarray, "n c"], label: Int[np.ndarray, "n"], bins: int = BINS
) -> list[dict[str, Any]]:
    """Return the bins of the reliability diagram: clips by the score of their most probable class.

    Bin i of m holds the scores above i / m, up to (i + 1) / m.

    Returns:
        For each bin `clips`, and the mean score `confidence` and share of right answers `accuracy`, None where it is
        empty.
    """
    confidence = probability.max(1).astype(np.float64)
    right = probability.argmax(1) == label
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for number in range(bins):
        own = place == number
        clips = int(own.sum())
        found.append(
            {
                "clips": clips,
                "confidence": float(confidence[own].mean()) if clips else None,
                "accuracy": float(right[own].mean()) if clips else None,
            }
        )
    return found


def expected_calibration_error(diagram: Sequence[dict[str, Any]]) -> float:
    """Return the mean over clips of |accuracy - confidence| of their bins, 0 to 1.

    That is the expected calibration error of the top label (Naeini, Cooper, Hauskrecht 2015; Guo et al. 2017, eq. 3).
    With few clips it is too large: bins stray by chance.

    Args:
        diagram: what `reliability` returned.
    """
    total = sum(one["clips"] for one in diagram)
    return sum(one["clips"] / total * abs(one["accuracy"] - one["confidence"]) for one in diagram if one["clips"])


def quality(probability: Float[np.ndarray, "n c"], label: Int[np.ndarray, "n"]) -> dict[str, Any]:
    """Return all measures: `ece`, `brier`, `nll`, mean `confidence`, `accuracy`, and the bins of the diagram."""
    diagram = reliability(probability, label)
    return {
        "ece": expected_calibration_error(diagram),
        "brier": brier_score(probability, label),
        "nll": negative_log_likelihood(probability, label),
        "confidence": float(probability.max(1).astype(np.float64).mean()),
        "accuracy": float((probability.argmax(1) == label).mean()),
        "reliability": diagram,
    }


def mutual_information(probability: Float[np.ndarray, "k n c"]) -> Float[np.ndarray, "n"]:
    """Return how much k members disagree on each clip, in bits; see `serjax.inference.scores.Scoring.disagreement`."""

    def entropy(p: np.ndarray) -> np.ndarray:
        return -(p * np.log2(np.where(p > 0, p, 1))).sum(-1)

    each = probability.astype(np.float64)
    return np.maximum(entropy(each.mean(0)) - entropy(each).mean(0), 0)
