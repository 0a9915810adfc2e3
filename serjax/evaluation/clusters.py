"""Clusters of frames and the groups they fall into: emotions, speakers and texts."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Integer

SHUFFLES = 20
"""Random assignments of groups to clips, over which chance is a mean."""


class Spread(NamedTuple):
    """Spread of clusters over the groups of one kind, such as emotions.

    Attributes:
        names: of the groups.
        counts: frames of each cluster in each group.
        purity: share of frames whose cluster is that of their group more than of any other.
        nmi: mutual information over the mean of both entropies, 0 to 1.
        chance_purity: the same where clips are given other clips' groups at random.
        chance_nmi: likewise; far above 0 where there are many clusters and few clips.
    """

    names: tuple[str, ...]
    counts: Int[np.ndarray, "k g"]
    purity: float
    nmi: float
    chance_purity: float
    chance_nmi: float

    @property
    def shares(self) -> Float[np.ndarray, "k g"]:
        """Shares of each cluster's frames that belong to the groups; 0 where it has no frames."""
        total = self.counts.sum(1, keepdims=True)
        return self.counts / np.maximum(total, 1)


def spread(
    labels: Sequence[Integer[np.ndarray, "_"]], groups: Sequence[str], clusters: int, *, seed: int = 0
) -> Spread:
    """Return how clusters spread over groups.

    Args:
        labels: of each clip's frames.
        groups: of each clip: its emotion, its speaker or its text.
        clusters: number of labels there are.
        seed: of the shuffles that chance is found by.
    """
    names, group = np.unique(np.asarray(groups, str), return_inverse=True)
    frames = np.array([len(values) for values in labels])
    whole = np.concatenate([np.zeros(0, np.int64), *labels]).astype(np.int64)

    def count(group: Int[np.ndarray, "clips"]) -> Int[np.ndarray, "k g"]:
        cells = whole * len(names) + np.repeat(group, frames)
        return np.bincount(cells, minlength=clusters * len(names)).reshape(clusters, len(names))

    rng = np.random.default_rng(seed)
    chance = [count(rng.permutation(group)) for _ in range(SHUFFLES)]
    counts = count(group)
    return Spread(
        tuple(names.tolist()),
        counts,
        purity(counts),
        mutual_information(counts),
        float(np.mean([purity(shuffled) for shuffled in chance])),
        float(np.mean([mutual_information(shuffled) for shuffled in chance])),
    )


def purity(counts: Int[np.ndarray, "k g"]) -> float:
    """Return the share of frames that belong to the most frequent group of their cluster."""
    return float(counts.max(1).sum() / max(counts.sum(), 1))


def mutual_information(counts: Int[np.ndarray, "k g"]) -> float:
    """Return the normalised mutual information of clusters and groups; 0 where either is one alone.

    The arithmetic mean of the entropies normalises, as in scikit-learn's `normalized_mutual_info_score`.
    """
    share = counts / max(counts.sum(), 1)
    cluster, group = (_entropy(share.sum(axis)) for axis in (1, 0))
    both = _entropy(share.ravel())
    mean = (cluster + group) / 2
    return max(0.0, float((cluster + group - both) / mean)) if mean > 0 else 0.0


def _entropy(share: Float[np.ndarray, "n"]) -> float:
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())


def posterior(labels: Integer[np.ndarray, "n"], emotions: Spread, *, window: int = 25) -> Float[np.ndarray, "n g"]:
    """Return what a clip's labels alone say of the emotion at each frame: the mean of their clusters' shares around it.

    Shares are taken as if every emotion had as many frames, and each count begins at one frame.

    Args:
        labels: of the clip's frames.
        emotions: of the labels of other clips.
        window: frames that are averaged, half a second by default.
    """
    counts = emotions.counts + 1.0
    share = counts / counts.sum(0)
    share /= share.sum(1, keepdims=True)
    ends = np.cumsum(np.concatenate([np.zeros((1, share.shape[1])), share[labels]]), axis=0)
    place = np.arange(len(labels))
    first, last = np.maximum(place - window // 2, 0), np.minimum(place + window // 2 + 1, len(labels))
    return (ends[last] - ends[first]) / (last - first)[:, None]


def summary_rows(spreads: Mapping[str, Mapping[str, Spread]]) -> list[list[str]]:
    """Return rows of text: labels, kind of group, purity, its chance, mutual information, its chance."""
    return [
        [
            title if number == 0 else "",
            kind,
            *(f"{value:.3f}" for value in (found.purity, found.chance_purity, found.nmi, found.chance_nmi)),
        ]
        for title, kinds in spreads.items()
        for number, (kind, found) in enumerate(kinds.items())
    ]


def cluster_rows(emotions: Spread) -> list[list[str]]:
    """Return a row of text a cluster, the purest first: number, frames, its emotion, and every emotion's share in %."""
    shares, frames = emotions.shares, emotions.counts.sum(1)
    order = np.lexsort((-frames, -shares.max(1)))
    return [
        [
            str(cluster),
            str(frames[cluster]),
            emotions.names[shares[cluster].argmax()] if frames[cluster] else "-",
            *(f"{100 * share:.1f}" for share in shares[cluster]),
        ]
        for cluster in order.tolist()
    ]


def cluster_csv(emotions: Spread) -> str:
    """Return `cluster_rows` as comma-separated text with headings."""
    rows = [["cluster", "frames", "emotion", *emotions.names], *cluster_rows(emotions)]
    return "\n".join(",".join(row) for row in rows) + "\n"
