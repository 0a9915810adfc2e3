"""Ranks of several classifiers over several corpora: Friedman's test, and the critical difference of Nemenyi's.

After Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", Journal of Machine Learning Research 7
(2006), sections 3.2.2 and 3.2.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

ALPHA = 0.05
"""Chance of a difference where there is none."""


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of classifiers.

    Attributes:
        mean: rank of each, 1 is the best; equal scores share theirs.
        blocks: number of corpora.
        statistic: Friedman's chi-square, corrected for equal scores; None below three classifiers or two corpora, or
            where all scores are equal.
        p: of that statistic, chi-square with k - 1 degrees of freedom, which is rough below ten corpora.
        critical: difference of mean ranks that Nemenyi's test takes for a difference; None below two corpora.
        groups: runs of classifiers, from best to worst, that it cannot tell apart, as first and last position in the
            order of ranks; of two or more, none within another.
    """

    mean: tuple[float, ...]
    blocks: int
    statistic: float | None
    p: float | None
    critical: float | None
    groups: tuple[tuple[int, int], ...]

    @property
    def order(self) -> list[int]:
        """The classifiers from best to worst."""
        return sorted(range(len(self.mean)), key=self.mean.__getitem__)

    @property
    def can_tell(self) -> bool:
        """True where so many corpora could tell two of so many classifiers apart."""
        return self.critical is not None and self.critical <= len(self.mean) - 1


def critical_difference(classifiers: int, blocks: int, alpha: float = ALPHA) -> float:
    """Return q * sqrt(k (k + 1) / (6 N)), q being the studentized range statistic divided by sqrt(2).

    Args:
        classifiers: k, two or more.
        blocks: N corpora.
        alpha: chance of a difference where there is none.
    """
    from scipy.stats import studentized_range

    q = studentized_range.ppf(1 - alpha, classifiers, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(classifiers * (classifiers + 1) / (6 * blocks)))


def rank(scores: Float[np.ndarray, "blocks k"]) -> Ranks:
    """Return the mean ranks of classifiers, and what can be said of their differences.

    Args:
        scores: of each classifier on each corpus, more is better; at least one corpus and one classifier.
    """
    from scipy.stats import friedmanchisquare, rankdata

    blocks, count = scores.shape
    # Scores are quotients of counts: a difference of rounding is none.
    ranks = rankdata(-np.round(scores, 9), axis=1)
    mean = ranks.mean(0)
    statistic = p = critical = None
    if blocks > 1 and count > 1:
        critical = critical_difference(count, blocks)
    if blocks > 1 and count > 2 and np.ptp(ranks) > 0:
        found = friedmanchisquare(*ranks.T)
        statistic, p = float(found.statistic), float(found.pvalue)
    ordered = np.sort(mean)
    return Ranks(
        tuple(mean.tolist()), blocks, statistic, p, critical, () if critical is None else _groups(ordered, critical)
    )


def _groups(ordered: Sequence[float] | np.ndarray, critical: float) -> tuple[tuple[int, int], ...]:
    """Return the longest runs of ascending mean ranks whose ends are less than the critical difference apart."""
    found: list[tuple[int, int]] = []
    for first in range(len(ordered)):
        last = max(i for i in range(first, len(ordered)) if ordered[i] - ordered[first] < critical)
        if last > first and not (found and found[-1][1] >= last):
            found.append((first, last))
    return tuple(found)
