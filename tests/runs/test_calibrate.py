"""Calibration of the chosen trials, and of jobs that are gathered."""

import numpy as np

from serjax.checkpoints.calibration import write_calibration
from serjax.config.experiment import Experiment
from serjax.data.config import FoldsConfig
from serjax.evaluation.calibration_report import Calibration, MemberCalibration, calibrate
from serjax.runs.calibrate import calibrate_members, gather_calibrations
from serjax.runs.jobs import Job
from serjax.training.trials import Trial

TRIALS = [
    Trial(fold, seed, rate, (0,), tuple(range(6 * fold, 6 * fold + 6)), (1,))
    for seed in (0, 1)
    for rate in (1e-3, 1e-2)
    for fold in (1, 3)
]


def test_chosen_trials_are_calibrated_by_their_own_validation_clips():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 24)
    answers = [rng.dirichlet(np.ones(3), 6).astype(np.float32) for _ in TRIALS]
    found = calibrate_members(labels, TRIALS, [{1: 0, 3: 3}, {1: 6, 3: 5}], answers)
    assert found == Calibration(
        (
            calibrate(1, 0, answers[0], labels[6:12]),
            calibrate(3, 0, answers[3], labels[18:24]),
            calibrate(1, 1, answers[6], labels[6:12]),
            calibrate(3, 1, answers[5], labels[18:24]),
        )
    )
    assert calibrate_members(labels, TRIALS, [{1: 0, 3: 3}], None) is None


def test_jobs_have_theirs_put_together_in_the_order_of_one_run(tmp_path, caplog):
    jobs = []
    for folds in ((3, 1), (2,)):
        folder = tmp_path / f"folds_{folds[0]}"
        folder.mkdir()
        experiment = Experiment("run", job=True, folds=FoldsConfig(only=folds))
        jobs.append(Job(folder, experiment, folds, {}))
        members = [MemberCalibration(fold, seed, fold + seed / 2, (0.5,)) for seed in (0, 1) for fold in folds]
        write_calibration(folder, Calibration(tuple(members)))
    found = gather_calibrations(jobs, (1, 2, 3), 2)
    assert [(one.fold, one.seed) for one in found.members] == [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (3, 1)]
    assert found.of(3, 1).temperature == 3.5
    (tmp_path / "folds_2" / "calibration.json").unlink()
    assert gather_calibrations(jobs, (1, 2, 3), 2) is None
    assert "folds_2: it has no calibration" in caplog.text
