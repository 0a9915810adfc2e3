"""Conformal sets: as many labels for a clip as it takes to hold the true one with a probability that is asked for.

Split conformal prediction (Vovk, Gammerman, Shafer 2005, "Algorithmic learning in a random world"; Papadopoulos et al.
2002) with the score 1 - p of the true class (Sadinle, Lei, Wasserman 2019, "Least ambiguous set-valued classifiers with
bounded error levels"). A model's p-value of a class is the share of its validation clips that conform no better than
the clip would with that label. Where validation clips and new ones are exchangeable, the true class has a p-value of at
most a with a probability of at most a, so that the classes with larger ones are a set of coverage 1 - a.

Members of an ensemble have validation clips of their own. Their p-values are averaged, by weights; whatever depends on
what, the set of the classes whose mean is above a then has a coverage of at least 1 - 2 a (Vovk, Wang 2020, "Combining
p-values via averaging"), as CV+ of Barber, Candes, Ramdas and Tibshirani has but for a small term (2021, "Predictive
inference with the jackknife+"); mostly it is about 1 - a or more.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

COVERAGES = (0.8, 0.9, 0.95)
"""Coverages of the sets that a report judges."""

_DIGITS = 7
"""Decimals of a score of nonconformity, about those of float32."""


def nonconformity(probability: Float[np.ndarray, "n c"], label: Int[np.ndarray, "n"]) -> tuple[float, ...]:
    """Return 1 - p of the true class of each clip, in ascending order."""
    own = probability[np.arange(len(label)), label].astype(np.float64)
    return tuple(float(one) for one in np.sort(np.round(1 - own, _DIGITS)))


def p_values(probability: Float[np.ndarray, "n c"], scores: Sequence[float]) -> Float[np.ndarray, "n c"]:
    """Return (1 + number of validation clips whose score is as large as 1 - p) / (1 + number of clips) of each class.

    Args:
        probability: of the classes, as calibrated as those that the scores are of.
        scores: nonconformity of the validation clips, in ascending order.
    """
    reached = len(scores) - np.searchsorted(scores, np.round(1 - probability.astype(np.float64), _DIGITS), "left")
    return (1 + reached) / (1 + len(scores))


def mean_p_values(
    probability: Float[np.ndarray, "n k c"], scores: Sequence[Sequence[float]], weights: Float[np.ndarray, "k"]
) -> Float[np.ndarray, "n c"]:
    """Return the weighted mean of the members' p-values.

    Args:
        probability: of each member.
        scores: of each member, as `p_values` takes them.
        weights: share of each member; they add up to 1.
    """
    each = np.stack([p_values(probability[:, k], own) for k, own in enumerate(scores)], 1)
    return np.einsum("k,nkc->nc", weights.astype(np.float64), each)


def label_sets(
    p_value: Float[np.ndarray, "n c"], probability: Float[np.ndarray, "n c"], coverage: float
) -> Bool[np.ndarray, "n c"]:
    """Return which classes are in each clip's set: those whose p-value is above 1 - coverage, and the most probable.

    The latter leaves no set empty; it can only raise the coverage.

    Args:
        p_value: of each class.
        probability: that the sets stand beside.
        coverage: share of clips whose set is to hold the true class, between 0 and 1.
    """
    found = p_value > level(coverage) * (1 + 1e-9)
    found[np.arange(len(found)), probability.argmax(1)] = True
    return found


def level(coverage: float) -> float:
    """Return 1 - coverage without the rounding of binary fractions."""
    return round(1 - coverage, 12)


def fewest_clips(coverage: float) -> int:
    """Return how many validation clips sets of a coverage need; with fewer all classes are in each of them."""
    return math.ceil(round(1 / level(coverage) - 1, 6))


def highest_coverage(counts: Sequence[int], weights: Float[np.ndarray, "k"]) -> float:
    """Return the highest coverage at which an ensemble's sets can leave a class out.

    Args:
        counts: validation clips of each member.
        weights: share of each member; they add up to 1.
    """
    return 1 - float((weights.astype(np.float64) / (1 + np.asarray(counts))).sum())
