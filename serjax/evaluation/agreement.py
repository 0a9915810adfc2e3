"""Agreement of annotators on labels: share of the majority, Fleiss' kappa and Krippendorff's alpha."""

import numpy as np
from jaxtyping import Float, Float64


def majority_shares(votes: Float[np.ndarray, "clips c"]) -> Float64[np.ndarray, "clips"]:
    """Return the share of each clip's votes that its most frequent label has, 0 to 1.

    Args:
        votes: numbers or shares of annotators by label, not negative; each clip has some.
    """
    counts = np.asarray(votes, np.float64)
    return counts.max(1) / counts.sum(1)


def fleiss_kappa(votes: Float[np.ndarray, "clips c"]) -> float | None:
    """Return Fleiss' kappa: 1 for full agreement, 0 for what chance gives by the frequencies of the labels.

    With m annotators a clip and n_ij of them for label j of clip i, P_i = (sum_j n_ij^2 - m) / (m (m - 1)) is the share
    of pairs that agree, P_e = sum_j p_j^2 with p_j the share of label j among all votes, and
    kappa = (mean P_i - P_e) / (1 - P_e). Source: Fleiss, "Measuring nominal scale agreement among many raters",
    Psychological Bulletin 76 (1971), equations 1 to 7.

    Args:
        votes: numbers of annotators by label.

    Returns:
        None where it is not defined: clips differ in their number of annotators, it is below 2 or no whole number, or
        all votes are for one label.
    """
    counts = np.asarray(votes, np.float64)
    raters = counts.sum(1)
    if not len(counts) or not _whole(counts) or raters[0] < 2 or (raters != raters[0]).any():
        return None
    m = raters[0]
    agreed = ((counts**2).sum(1) - m) / (m * (m - 1))
    chance = float(((counts.sum(0) / counts.sum()) ** 2).sum())
    return None if np.isclose(chance, 1) else (float(agreed.mean()) - chance) / (1 - chance)


def krippendorff_alpha(votes: Float[np.ndarray, "clips c"]) -> float | None:
    """Return Krippendorff's alpha for nominal labels: 1 for full agreement, 0 for what chance gives.

    Clips may differ in their number of annotators; those with fewer than two are left out. With n_uc votes of clip u
    for label c, n_u of the clip, n_c of the label and n of all, the observed agreement is
    A_o = sum_u sum_c n_uc (n_uc - 1) / (n_u - 1) / n, the expected one A_e = sum_c n_c (n_c - 1) / (n (n - 1)), and
    alpha = (A_o - A_e) / (1 - A_e). Source: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011),
    section C, nominal data.

    Args:
        votes: numbers of annotators by label.

    Returns:
        None where it is not defined: numbers that are not whole, no clip with two votes, or all votes for one label.
    """
    counts = np.asarray(votes, np.float64)
    if not _whole(counts):
        return None
    counts = counts[counts.sum(1) >= 2]
    if not len(counts):
        return None
    n = counts.sum()
    own = counts.sum(1)
    observed = float(((counts * (counts - 1)).sum(1) / (own - 1)).sum() / n)
    labels = counts.sum(0)
    expected = float((labels * (labels - 1)).sum() / (n * (n - 1)))
    return None if np.isclose(expected, 1) else (observed - expected) / (1 - expected)


def _whole(counts: Float64[np.ndarray, "clips c"]) -> bool:
    return bool((counts == np.round(counts)).all())
