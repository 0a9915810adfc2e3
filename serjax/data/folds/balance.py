"""Balanced folds of whole speakers: a local search over a first division."""

import numpy as np
from jaxtyping import Float, Int

_GAIN = 1e-7
"""Least improvement of the imbalance that counts: less is float noise, or a thousandth of a fold."""
_SWEEPS = 20
"""Most rounds over all speakers; most divisions settle within four."""
_ABSENT = 4.0
"""Weight of a class that a fold lacks: above any imbalance, so that no balance is bought with it."""


def imbalance(shares: Float[np.ndarray, "groups c"], sizes: Float[np.ndarray, "groups"], folds: np.ndarray) -> float:
    """Return how unequal folds are: the variance of their shares of all clips plus the classes' mean variance.

    Variances are sums over folds of the squared difference from 1 / folds. A class that a fold lacks counts 4, more
    than any division's variances.

    Args:
        shares: of each class's clips, group by group; every column sums to 1.
        sizes: of all clips, group by group; they sum to 1.
        folds: Int[np.ndarray, "groups"], the fold of each group, numbered from 0 without gaps.
    """
    vectors, classes = _vectors(shares, sizes), shares.shape[1]
    loads = np.stack([vectors[folds == fold].sum(0) for fold in range(folds.max() + 1)])
    # The constant makes 0 of equal folds: each column's squares sum to its variance plus 1 / folds.
    return float(_costs(loads, classes).sum() - 2 / len(loads))


def rebalance(
    shares: Float[np.ndarray, "groups c"],
    sizes: Float[np.ndarray, "groups"],
    folds: Int[np.ndarray, "groups"],
    count: int,
) -> Int[np.ndarray, "groups"]:
    """Return folds that no single move of a group, and no exchange of two, makes more equal.

    Groups take turns, and each makes the move or exchange that lowers `imbalance` most, until none does. No fold loses
    its last group. Where folds are as equal as can be, nothing moves.

    Args:
        shares: of each class's clips, group by group.
        sizes: of all clips, group by group.
        folds: the fold of each group to begin with, from 0.
        count: number of folds.
    """
    vectors, classes = _vectors(shares, sizes), shares.shape[1]
    folds = folds.copy()
    loads = np.stack([vectors[folds == fold].sum(0) for fold in range(count)])
    # The partners of an exchange, then, for a move, nobody in each of the folds.
    partners = np.concatenate([vectors, np.zeros((count, vectors.shape[1]))])
    for _ in range(_SWEEPS):
        settled = True
        for group in range(len(folds)):
            here, there = folds[group], np.concatenate([folds, np.arange(count)])
            costs = _costs(loads, classes)
            given = vectors[group] - partners
            after = _costs(loads[here] - given, classes) + _costs(loads[there] + given, classes)
            gains = costs[here] + costs[there] - after
            gains[there == here] = 0
            if np.count_nonzero(folds == here) == 1:
                gains[len(folds) :] = 0
            best = int(gains.round(9).argmax())
            if gains[best] <= _GAIN:
                continue
            loads[here] -= given[best]
            loads[there[best]] += given[best]
            folds[group] = there[best]
            if best < len(folds):
                folds[best] = here
            settled = False
        if settled:
            break
    return folds


def _vectors(shares: np.ndarray, sizes: np.ndarray) -> Float[np.ndarray, "groups d"]:
    """Return what a group adds to its fold: classes count together as much as the number of clips does."""
    return np.concatenate([shares / np.sqrt(shares.shape[1]), sizes[:, None]], axis=1)


def _costs(loads: Float[np.ndarray, "n d"], classes: int) -> Float[np.ndarray, "n"]:
    """Return what each fold with such a load adds to the imbalance, but for a constant."""
    return np.square(loads).sum(1) + _ABSENT * np.count_nonzero(loads[:, :classes] < 1e-9, axis=1)
