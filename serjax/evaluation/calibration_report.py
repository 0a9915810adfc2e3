"""Calibration of a run's members, and what it does to their out-of-fold answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pydantic
from jaxtyping import Float, Int

from serjax.evaluation.calibration import BINS, HIGHEST, LOWEST, fit_temperature, mutual_information, quality, tempered
from serjax.evaluation.conformal import COVERAGES, fewest_clips, label_sets, nonconformity, p_values
from serjax.evaluation.out_of_fold import OutOfFold
from serjax.runtime.constraints import AtLeastOne, Count, Positive, Share

QUARTERS = 4
"""Groups of clips by how much the seeds disagree."""

NOT_CALIBRATED = (
    "There is no calibration: it is fitted on validation clips, which are the tested ones here (folds.validation=test)."
)


@dataclass(frozen=True)
class MemberCalibration:
    """Calibration of one member, from the validation clips of its fold.

    Attributes:
        fold: its number, from 1.
        seed: which repeat, from 0.
        temperature: divides its logits.
        nonconformity: 1 - calibrated p of the true class of each validation clip, in ascending order.
    """

    fold: AtLeastOne
    seed: Count
    temperature: Positive
    nonconformity: Annotated[tuple[Share, ...], pydantic.Field(min_length=1)]


@dataclass(frozen=True)
class Calibration:
    """Contents of calibration.json.

    Attributes:
        members: in the order of the run's models: the folds of the first seed, then those of the others.
        format: version of the file.
    """

    members: tuple[MemberCalibration, ...]
    format: int = 1

    def of(self, fold: int, seed: int = 0) -> MemberCalibration:
        """Return a member's calibration."""
        return next(one for one in self.members if (one.fold, one.seed) == (fold, seed))


def calibrate(
    fold: int, seed: int, probability: Float[np.ndarray, "n c"], label: Int[np.ndarray, "n"]
) -> MemberCalibration:
    """Return the calibration of a member from its validation clips.

    Args:
        fold: its number.
        seed: which repeat.
        probability: its answers for the clips.
        label: class of each.
    """
    temperature = fit_temperature(probability, label)
    return MemberCalibration(fold, seed, temperature, nonconformity(tempered(probability, temperature), label))


def calibrated(oof: OutOfFold, calibration: Calibration, seed: int = 0) -> Float[np.ndarray, "clips c"]:
    """Return out-of-fold probabilities, each at the temperature of the fold that gave it."""
    temperature = {fold: calibration.of(int(fold), seed).temperature for fold in np.unique(oof.fold)}
    return tempered(oof.probability, np.array([temperature[fold] for fold in oof.fold], float))


def calibration_report(seeds: Sequence[OutOfFold], calibration: Calibration | None) -> dict[str, Any]:
    """Return the calibration of a run before and after its temperatures, and how well its sets cover.

    Args:
        seeds: out-of-fold answers as the models gave them, seed by seed.
        calibration: of the members; None where there is none.

    Returns:
        `bins`; `members`: fold, seed, temperature and number of validation clips; `before` and `after`: what `quality`
        returns for the first seed; `together`: both for the mean of the seeds, where there are several; `sets`: for
        each coverage the share `covered`, the mean `size`, the share `single` of sets of one label, and `too_few`, the
        folds with too few validation clips for it; `uncertainty`: clips and their accuracy by quarters of the seeds'
        disagreement.
    """
    label = seeds[0].label
    found: dict[str, Any] = {
        "bins": BINS,
        "members": [],
        "before": quality(seeds[0].probability, label),
        "after": None,
        "together": None,
        "sets": [],
        "uncertainty": [],
    }
    if calibration is None:
        return found
    each = np.stack([calibrated(oof, calibration, seed) for seed, oof in enumerate(seeds)])
    found["members"] = [
        {"fold": one.fold, "seed": one.seed, "temperature": one.temperature, "clips": len(one.nonconformity)}
        for one in calibration.members
    ]
    found["after"] = quality(each[0], label)
    found["sets"] = [_sets(seeds[0], each[0], calibration, coverage) for coverage in COVERAGES]
    if len(seeds) > 1:
        raw = np.stack([oof.probability for oof in seeds]).mean(0)
        found["together"] = {"before": quality(raw, label), "after": quality(each.mean(0), label)}
        found["uncertainty"] = _by_uncertainty(each, label)
    return found


def _sets(
    oof: OutOfFold, probability: Float[np.ndarray, "clips c"], calibration: Calibration, coverage: float
) -> dict[str, Any]:
    """Return how well the sets of a coverage do, each clip's by the validation clips of the fold that tests it."""
    held = np.zeros(probability.shape, bool)
    too_few = []
    for fold in np.unique(oof.fold):
        own, scores = oof.fold == fold, calibration.of(int(fold)).nonconformity
        held[own] = label_sets(p_values(probability[own], scores), probability[own], coverage)
        if len(scores) < fewest_clips(coverage):
            too_few.append(int(fold))
    size = held.sum(1)
    return {
        "coverage": coverage,
        "covered": float(held[np.arange(len(held)), oof.label].mean()),
        "size": float(size.mean()),
        "single": float((size == 1).mean()),
        "too_few": too_few,
    }


def _by_uncertainty(probability: Float[np.ndarray, "k n c"], label: Int[np.ndarray, "n"]) -> list[dict[str, Any]]:
    """Return clips, mean disagreement in bits and accuracy, from the quarter that disagrees least to the one most."""
    doubt, right = mutual_information(probability), probability.mean(0).argmax(1) == label
    return [
        {"clips": len(own), "uncertainty": float(doubt[own].mean()), "accuracy": float(right[own].mean())}
        for own in np.array_split(np.argsort(doubt, kind="stable"), QUARTERS)
        if len(own)
    ]


def calibration_notes(experiment: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    """Return what a reader of a run's calibration should be told, a sentence each.

    Args:
        experiment: settings of the run, as JSON has them.
        report: what `calibration_report` returned.
    """
    if not report["members"]:
        return [NOT_CALIBRATED] if experiment["folds"]["validation"] == "test" else []
    notes = []
    of = "fold {fold}" if report["together"] is None else "fold {fold} of seed {seed}"
    at_bound = [of.format(**one) for one in report["members"] if one["temperature"] in (LOWEST, HIGHEST)]
    if at_bound:
        notes.append(
            f"The temperature of {', '.join(at_bound)} is at its bound ({LOWEST:g} to {HIGHEST:g}), so that its scores "
            "are not to be trusted as probabilities."
        )
    for one in report["sets"]:
        if one["too_few"]:
            held = "some folds" if len(one["too_few"]) > 1 else f"fold {one['too_few'][0]}"
            notes.append(
                f"Sets of coverage {100 * one['coverage']:g} % need {fewest_clips(one['coverage'])} validation clips "
                f"or more, and {held} {'have' if held == 'some folds' else 'has'} fewer: all classes are in each of "
                "those sets."
            )
    return notes
