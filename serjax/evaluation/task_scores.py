"""Scores of any target, all computed from sums over clips: of a corpus, a fold, a speaker or a bootstrap's draw.

CCC is the concordance correlation coefficient (Lin 1989), with variances divided by the number of clips; UA, WA and
macro-F1 are those of `serjax.evaluation.metrics`. A score of several dimensions or labels is the mean of theirs.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float, Int

from serjax.evaluation.metrics import scores
from serjax.evaluation.tasks import Task

KEYS = {
    "class": ("wa", "ua", "macro_f1"),
    "soft": ("wa", "ua", "macro_f1", "top2", "kl", "js"),
    "multilabel": ("macro_f1", "micro_f1", "exact"),
    "dimensions": ("ccc", "pearson", "rmse", "mae"),
}
"""Keys of the scores of each kind of task, in the order of a table."""

NAMES = {
    **{"wa": "WA", "ua": "UA", "macro_f1": "macro-F1", "micro_f1": "micro-F1", "top2": "top-2", "exact": "all labels"},
    **{"kl": "KL", "js": "JS", "ccc": "CCC", "pearson": "Pearson", "rmse": "RMSE", "mae": "MAE"},
}
"""Names of scores for people."""

SHARES = frozenset({"wa", "ua", "macro_f1", "micro_f1", "top2", "exact"})
"""Scores that tables give in %."""

_MOMENTS = 7
_STREAM = 2011
"""Keeps these draws apart from others that are made with the same seed."""


def known_rows(truth: Float[np.ndarray, "n c"]) -> Int[np.ndarray, "m"]:
    """Return the clips that have a target, of dimensions at least one."""
    return np.flatnonzero(~np.isnan(truth).all(1))


def clip_sums(
    task: Task, truth: Float[np.ndarray, "n c"], answer: Float[np.ndarray, "n c"]
) -> Float[np.ndarray, "n s"]:
    """Return what each clip adds to the sums that scores are computed from; 0 where it has no target.

    Args:
        task: what was asked.
        truth: as `serjax.data.targets` has it; NaN where it is missing.
        answer: probabilities, or dimensions 0 to 1 over their ranges.
    """
    there, classes = ~np.isnan(truth), len(task.outputs)
    truth, answer = np.where(there, truth, 0).astype(float), answer.astype(float)
    if task.kind == "dimensions":
        x, y = np.where(there, answer - 0.5, 0), np.where(there, truth - 0.5, 0)
        parts = [there, x, y, x * x, y * y, x * y, np.where(there, np.abs(x - y), 0)]
        return np.stack(parts, -1).reshape(len(truth), classes * _MOMENTS).astype(float)
    known = there.all(1)
    if task.kind == "multilabel":
        yes, said = truth > 0.5, answer > 0.5
        counts = np.concatenate([yes & said, yes & ~said, ~yes & said], 1)
        return np.concatenate([counts, (yes == said).all(1)[:, None], np.ones((len(truth), 1))], 1) * known[:, None]
    label, said = truth.argmax(1), answer.argmax(1)
    cells = np.zeros((len(truth), classes**2))
    cells[np.arange(len(truth)), label * classes + said] = 1
    if task.kind == "class":
        return cells * known[:, None]
    second = (answer > np.take_along_axis(answer, label[:, None], 1)).sum(1) < 2
    middle = (truth + answer) / 2
    more = [second, _divergence(truth, answer), (_divergence(truth, middle) + _divergence(answer, middle)) / 2]
    return np.concatenate([cells, np.stack(more, 1)], 1) * known[:, None]


def _divergence(p: Float[np.ndarray, "n c"], q: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n"]:
    """Return the Kullback-Leibler divergence of q from p in nats."""
    ratio = np.where(p > 0, p, 1) / np.where(p > 0, np.maximum(q, 1e-12), 1)
    return (p * np.log(ratio)).sum(1)


def scores_of(task: Task, sums: Float[np.ndarray, "*axes s"]) -> dict[str, Float[np.ndarray, "*axes"]]:
    """Return the scores of a kind (`KEYS`) from sums of `clip_sums` along the leading axes; NaN where undefined."""
    if task.kind == "dimensions":
        return {key: _mean(values) for key, values in dimension_scores(task, sums).items()}
    classes = len(task.outputs)
    if task.kind == "multilabel":
        hits, missed, wrong = (sums[..., part * classes : (part + 1) * classes] for part in range(3))
        rows, same = sums[..., -1], sums[..., -2]
        return {
            "macro_f1": _mean(_ratio(2 * hits, 2 * hits + missed + wrong)),
            "micro_f1": _ratio(2 * hits.sum(-1), (2 * hits + missed + wrong).sum(-1)),
            "exact": _ratio(same, rows),
        }
    cells = np.rint(sums[..., : classes**2]).astype(int).reshape(*sums.shape[:-1], classes, classes)
    found = scores(cells)
    if task.kind == "class":
        return found
    rows = cells.sum((-2, -1))
    return found | {key: _ratio(sums[..., classes**2 + place], rows) for place, key in enumerate(("top2", "kl", "js"))}


def dimension_scores(task: Task, sums: Float[np.ndarray, "*axes s"]) -> dict[str, Float[np.ndarray, "*axes d"]]:
    """Return the scores of each dimension; RMSE and MAE are on the corpus's scale."""
    moments = sums.reshape(*sums.shape[:-1], len(task.outputs), _MOMENTS)
    count, x, y, xx, yy, xy, distance = np.moveaxis(moments, -1, 0)
    mean_x, mean_y = _ratio(x, count), _ratio(y, count)
    var_x = np.maximum(_ratio(xx, count) - mean_x**2, 0)
    var_y = np.maximum(_ratio(yy, count) - mean_y**2, 0)
    covariance = _ratio(xy, count) - mean_x * mean_y
    width = np.diff(np.array(task.ranges), axis=1)[:, 0]
    square = np.maximum(_ratio(xx - 2 * xy + yy, count), 0)
    return {
        # Of a single clip it is not defined; its formula would give 0.
        "ccc": _ratio(2 * covariance, np.where(count > 1, var_x + var_y + (mean_x - mean_y) ** 2, 0)),
        "pearson": _ratio(covariance, np.sqrt(var_x * var_y)),
        "rmse": np.sqrt(square) * width,
        "mae": _ratio(distance, count) * width,
    }


def task_scores(task: Task, truth: Float[np.ndarray, "n c"], answer: Float[np.ndarray, "n c"]) -> dict[str, float]:
    """Return the scores of a task over all clips that have its target."""
    return {key: float(value) for key, value in scores_of(task, clip_sums(task, truth, answer).sum(0)).items()}


def bootstrap(
    sums: Float[np.ndarray, "n s"], groups: Sequence[Hashable] | None, *, seed: int, draws: int = 2000
) -> Float[np.ndarray, "draws s"]:
    """Return the sums of draws of whole groups, such as speakers, with replacement; None draws single clips.

    Draws depend on the groups and the seed alone, so that two answers for the same clips can be compared draw by draw.
    """
    rng = np.random.default_rng([seed, _STREAM])
    if groups is not None:
        names = {name: place for place, name in enumerate(dict.fromkeys(groups))}
        own = np.zeros((len(names), sums.shape[1]))
        np.add.at(own, [names[name] for name in groups], sums)
        sums = own
    count = len(sums)
    found = np.empty((draws, sums.shape[1]))
    for start in range(0, draws, 100):
        times = rng.multinomial(count, np.full(count, 1 / count), size=min(100, draws - start))
        found[start : start + 100] = times.astype(float) @ sums
    return found


def interval(values: Float[np.ndarray, "draws"], level: float) -> tuple[float, float] | None:
    """Return the quantiles between which so great a share of the defined draws lies; None where none is defined."""
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    above, below = np.broadcast_arrays(above, below)
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 1e-12)


def _mean(values: Float[np.ndarray, "*axes d"]) -> Float[np.ndarray, "*axes"]:
    return _ratio(np.nansum(values, -1), (~np.isnan(values)).sum(-1))
