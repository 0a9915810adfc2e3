"""Out-of-fold answers before and after each fold's own temperature."""

import numpy as np
import pytest

from serjax.evaluation.calibration import fit_temperature, quality, tempered
from serjax.evaluation.calibration_report import (
    NOT_CALIBRATED,
    Calibration,
    MemberCalibration,
    calibrate,
    calibrated,
    calibration_notes,
    calibration_report,
)
from serjax.evaluation.conformal import label_sets, nonconformity, p_values


def test_a_member_is_calibrated_by_its_clips(make_run):
    oof = make_run().seeds[0]
    found = calibrate(3, 1, oof.probability, oof.label)
    assert (found.fold, found.seed) == (3, 1)
    assert found.temperature == fit_temperature(oof.probability, oof.label)
    assert found.nonconformity == nonconformity(tempered(oof.probability, found.temperature), oof.label)


def test_each_clip_has_the_temperature_of_its_fold_and_seed(make_run):
    run = make_run(seeds=2)
    members = [MemberCalibration(fold, seed, fold + 10 * seed, (0.5,)) for seed in (0, 1) for fold in range(1, 6)]
    for seed, oof in enumerate(run.seeds):
        found = calibrated(oof, Calibration(tuple(members)), seed)
        for row in range(0, len(oof.ids), 17):
            expected = tempered(oof.probability[[row]], float(oof.fold[row] + 10 * seed))
            np.testing.assert_allclose(found[[row]], expected)


def test_the_report_holds_measures_before_and_after_and_the_coverage_of_sets(make_run):
    run = make_run()
    oof, found = run.seeds[0], run.report["calibration"]
    assert found["before"] == quality(oof.probability, oof.label)
    after = calibrated(oof, run.calibration)
    assert found["after"] == quality(after, oof.label)
    assert [(one["fold"], one["clips"]) for one in found["members"]] == [
        (fold, len(run.calibration.of(fold).nonconformity)) for fold in range(1, 6)
    ]
    assert [one["coverage"] for one in found["sets"]] == [0.8, 0.9, 0.95]
    (ninety,) = (one for one in found["sets"] if one["coverage"] == 0.9)
    sizes, hits = [], []
    for row, fold in enumerate(oof.fold):
        value = p_values(after[[row]], run.calibration.of(int(fold)).nonconformity)
        held = label_sets(value, after[[row]], 0.9)[0]
        sizes.append(held.sum())
        hits.append(held[oof.label[row]])
    assert ninety["covered"] == pytest.approx(np.mean(hits))
    assert ninety["size"] == pytest.approx(np.mean(sizes))
    assert ninety["single"] == pytest.approx(np.mean(np.array(sizes) == 1))
    assert ninety["too_few"] == []
    assert (found["together"], found["uncertainty"]) == (None, [])


def test_several_seeds_are_judged_together_and_by_their_disagreement(make_run):
    run = make_run(seeds=3)
    found = run.report["calibration"]
    raw = np.mean([oof.probability for oof in run.seeds], 0)
    assert found["together"]["before"]["brier"] == pytest.approx(quality(raw, run.seeds[0].label)["brier"])
    each = np.mean([calibrated(oof, run.calibration, seed) for seed, oof in enumerate(run.seeds)], 0)
    assert found["together"]["after"]["nll"] == pytest.approx(quality(each, run.seeds[0].label)["nll"])
    quarters = found["uncertainty"]
    assert sum(one["clips"] for one in quarters) == len(raw)
    assert [one["uncertainty"] for one in quarters] == sorted(one["uncertainty"] for one in quarters)
    share = sum(one["clips"] * one["accuracy"] for one in quarters) / len(raw)
    assert share == pytest.approx(np.mean(each.argmax(1) == run.seeds[0].label))


def test_a_run_whose_tested_clips_validate_has_none_and_says_so(make_run):
    report = make_run(validation="test").report
    found = report["calibration"]
    assert (found["members"], found["after"], found["sets"]) == ([], None, [])
    assert found["before"]["ece"] > 0
    assert NOT_CALIBRATED in report["notes"]
    assert NOT_CALIBRATED not in make_run().report["notes"]


def test_too_few_clips_for_a_coverage_and_a_temperature_at_its_bound_are_told(make_run):
    report = make_run(clips=12).report
    assert [one["too_few"] for one in report["calibration"]["sets"]] == [[], [], [1, 2, 3, 4, 5]]
    assert (
        "Sets of coverage 95 % need 19 validation clips or more, and some folds have fewer: all classes are in each of "
        "those sets."
    ) in report["notes"]
    run = make_run()
    members = [MemberCalibration(fold, 0, 10.0 if fold == 2 else 1.0, (0.5,) * 30) for fold in range(1, 6)]
    found = calibration_report(run.seeds, Calibration(tuple(members)))
    (note,) = calibration_notes(run.settings, found)
    assert note.startswith("The temperature of fold 2 is at its bound (0.1 to 10)")
