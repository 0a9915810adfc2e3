"""Scores of a classifier, all computed from confusion matrices.

Speech emotion recognition counts in two ways (Schuller, Steidl, Batliner: "The INTERSPEECH 2009 Emotion Challenge"):

* WA, weighted accuracy, is plain accuracy: every clip counts the same. SUPERB's emotion task reports it.
* UA, unweighted accuracy, is the mean of the classes' recalls: every class counts the same.

EmoBox (Ma et al., 2024) gives both beside macro-F1, the mean of the classes' F1 scores (not the F1 of mean precision
and mean recall: Opitz and Burst, "Macro F1 and Macro F1", 2019).

A score that would divide by zero is NaN, and means leave it out: UA is the mean over classes that occur in the truth,
macro-F1 over classes that occur in the truth or among the predictions, as in scikit-learn's `balanced_accuracy_score`
and `f1_score(average="macro")`. A class that never occurs but is predicted has F1 = 0 and does count.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float, Int

METRICS = ("wa", "ua", "macro_f1")
"""Keys of `scores`, in the order of every table."""

_STREAM = 1993
"""Keeps these draws apart from others that are made with the same seed."""


def confusions(
    labels: Int[np.ndarray, "clips"],
    predictions: Int[np.ndarray, "clips"],
    classes: int,
    groups: Int[np.ndarray, "clips"],
    count: int,
) -> Int[np.ndarray, "g c c"]:
    """Return one confusion matrix a group (fold, speaker): rows are the truth, columns the predictions.

    Args:
        labels: true class of each clip, 0 to classes - 1.
        predictions: predicted class of each clip, 0 to classes - 1.
        classes: number of classes, c.
        groups: group of each clip, 0 to count - 1.
        count: number of groups, g.
    """
    cells = np.ravel_multi_index((groups, labels, predictions), (count, classes, classes))
    return np.bincount(cells, minlength=count * classes**2).reshape(count, classes, classes)


def confusion(
    labels: Int[np.ndarray, "clips"], predictions: Int[np.ndarray, "clips"], classes: int
) -> Int[np.ndarray, "c c"]:
    """Return the confusion matrix of all clips: rows are the truth, columns the predictions."""
    return confusions(labels, predictions, classes, np.zeros_like(labels), 1)[0]


def recalls(matrix: Int[np.ndarray, "*axes c c"]) -> Float[np.ndarray, "*axes c"]:
    """Return each class's recall; NaN for a class that does not occur."""
    return _ratio(_hits(matrix), matrix.sum(-1))


def precisions(matrix: Int[np.ndarray, "*axes c c"]) -> Float[np.ndarray, "*axes c"]:
    """Return each class's precision; NaN for a class that is never predicted."""
    return _ratio(_hits(matrix), matrix.sum(-2))


def f1_scores(matrix: Int[np.ndarray, "*axes c c"]) -> Float[np.ndarray, "*axes c"]:
    """Return each class's F1, 2 hits / (clips of it + predictions of it); NaN where it has neither."""
    return _ratio(2 * _hits(matrix), matrix.sum(-1) + matrix.sum(-2))


def scores(matrix: Int[np.ndarray, "*axes c c"]) -> dict[str, Float[np.ndarray, "*axes"]]:
    """Return WA, UA and macro-F1 (keys `METRICS`), from 0 to 1, for each matrix along the leading axes."""
    return {
        "wa": _ratio(_hits(matrix).sum(-1), matrix.sum((-2, -1))),
        "ua": _mean_of_defined(recalls(matrix)),
        "macro_f1": _mean_of_defined(f1_scores(matrix)),
    }


def bootstrap_intervals(
    labels: Int[np.ndarray, "clips"],
    predictions: Int[np.ndarray, "clips"],
    groups: Sequence[Hashable] | None,
    classes: int,
    *,
    seed: int,
    draws: int = 2000,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Return a percentile bootstrap interval of each score.

    Clips of one speaker resemble each other, so whole groups are drawn with replacement, as many as there are, and
    their confusion matrices summed (Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8);
    drawing single clips would give an interval that is too narrow. Its ends are quantiles of the draws' scores (Efron
    and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13). A draw without some class is scored by the
    classes it has.

    Args:
        labels: true class of each clip.
        predictions: predicted class of each clip.
        groups: group (speaker) of each clip, at least two different ones; None draws single clips.
        classes: number of classes.
        seed: decides the draws.
        draws: number of bootstrap samples.
        level: share of the draws that lie within the interval.

    Returns:
        (low, high) of each of `METRICS`, from 0 to 1.
    """
    cells = np.ravel_multi_index((labels, predictions), (classes, classes))
    drawn = _drawn(cells, classes**2, groups, seed, draws).reshape(draws, classes, classes)
    return _intervals(scores(drawn), level)


def bootstrap_uas(
    labels: Int[np.ndarray, "clips"],
    predictions: Int[np.ndarray, "clips"],
    speakers: Sequence[Hashable] | None,
    classes: int,
    parts: Int[np.ndarray, "clips"],
    count: int,
    *,
    seed: int,
    draws: int = 2000,
) -> Float[np.ndarray, "draws g"]:
    """Return the UA of each part of the clips, such as those of women and of men, in each draw of a bootstrap.

    Draws are those of `bootstrap_intervals`: whole speakers among all, so that one with clips in two parts is in both
    or in neither. A draw without a clip of a part is NaN there.

    Args:
        labels: true class of each clip.
        predictions: predicted class of each clip.
        speakers: as `bootstrap_intervals` takes groups.
        classes: number of classes.
        parts: part of each clip, 0 to count - 1.
        count: number of parts, g.
        seed: decides the draws.
        draws: number of bootstrap samples.
    """
    shape = (count, classes, classes)
    cells = np.ravel_multi_index((parts, labels, predictions), shape)
    return scores(_drawn(cells, count * classes**2, speakers, seed, draws).reshape(draws, *shape))["ua"]


def bootstrap_differences(
    labels: Int[np.ndarray, "clips"],
    predictions: Int[np.ndarray, "clips"],
    others: Int[np.ndarray, "clips"],
    groups: Sequence[Hashable] | None,
    classes: int,
    *,
    seed: int,
    draws: int = 2000,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Return a percentile bootstrap interval of how much higher each score of `predictions` is than that of `others`.

    Both are scored on the same draws (Koehn, "Statistical Significance Tests for Machine Translation Evaluation",
    2004): what makes a speaker hard is in both and falls out, so that the interval is narrower than two apart suggest.

    Args:
        labels: true class of each clip.
        predictions: predicted class of each clip.
        others: what it is compared with, for the same clips.
        groups: as `bootstrap_intervals` takes them.
        classes: number of classes.
        seed: decides the draws.
        draws: number of bootstrap samples.
        level: share of the draws that lie within the interval.

    Returns:
        (low, high) of the difference in each of `METRICS`, from -1 to 1.
    """
    cells = np.ravel_multi_index((labels, predictions, others), (classes, classes, classes))
    drawn = _drawn(cells, classes**3, groups, seed, draws).reshape(draws, classes, classes, classes)
    ours, theirs = scores(drawn.sum(3)), scores(drawn.sum(2))
    return _intervals({metric: ours[metric] - theirs[metric] for metric in METRICS}, level)


def _drawn(
    cells: Int[np.ndarray, "clips"], size: int, groups: Sequence[Hashable] | None, seed: int, draws: int
) -> Int[np.ndarray, "draws size"]:
    """Return how many clips each draw has in each cell: of whole groups drawn with replacement, or of single clips."""
    rng = np.random.default_rng([seed, _STREAM])
    if groups is None:
        # Drawing n clips with replacement is a multinomial draw over their cells.
        return rng.multinomial(len(cells), np.bincount(cells, minlength=size) / len(cells), size=draws)
    names = {name: index for index, name in enumerate(dict.fromkeys(groups))}
    index = np.array([names[name] for name in groups])
    parts = np.bincount(index * size + cells, minlength=len(names) * size).reshape(len(names), size)
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    # In floats, exact for counts, because numpy multiplies integer matrices without BLAS.
    return np.rint(times.astype(float) @ parts.astype(float)).astype(int)


def _intervals(drawn: dict[str, Float[np.ndarray, "draws"]], level: float) -> dict[str, tuple[float, float]]:
    outside = (1 - level) / 2
    intervals = {}
    for metric, values in drawn.items():
        low, high = np.quantile(values, [outside, 1 - outside])
        intervals[metric] = (float(low), float(high))
    return intervals


def _hits(matrix: Int[np.ndarray, "*axes c c"]) -> Int[np.ndarray, "*axes c"]:
    return np.diagonal(matrix, axis1=-2, axis2=-1)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)


def _mean_of_defined(values: Float[np.ndarray, "*axes c"]) -> Float[np.ndarray, "*axes"]:
    # Not numpy.nanmean, which warns where nothing is defined.
    return _ratio(np.nansum(values, axis=-1), np.sum(~np.isnan(values), axis=-1))
