"""Calibration of trained members on the validation clips of their folds."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from serjax.checkpoints.calibration import read_calibration
from serjax.evaluation.calibration_report import Calibration, MemberCalibration, calibrate
from serjax.runs.jobs import Job
from serjax.training.trials import Trial

log = logging.getLogger(__name__)


def calibrate_members(
    labels: Int[np.ndarray, "clips"],
    trials: Sequence[Trial],
    chosen: Sequence[Mapping[int, int]],
    validation: Sequence[Float[np.ndarray, "_ c"]] | None,
) -> Calibration | None:
    """Return the calibration of the chosen trials; None where the tested clips validate, which it must not see.

    Args:
        labels: class of every clip of the store.
        trials: all that were trained.
        chosen: seed by seed the position of each fold's trial.
        validation: class probabilities of each trial for its validation clips, in their order.
    """
    if validation is None:
        return None
    members = [
        calibrate(fold, seed, validation[k], labels[list(trials[k].validation)])
        for seed, folds in enumerate(chosen)
        for fold, k in folds.items()
    ]
    return Calibration(tuple(members))


def gather_calibrations(jobs: Sequence[Job], folds: Sequence[int], seeds: int) -> Calibration | None:
    """Return the calibrations of jobs as that of one run; None where one of them has none.

    Args:
        jobs: of the run.
        folds: numbers in their order.
        seeds: that each fold was trained with.

    Raises:
        UserError: a file is damaged.
    """
    members: dict[tuple[int, int], MemberCalibration] = {}
    for job in jobs:
        found = read_calibration(job.folder, [(fold, seed) for seed in range(seeds) for fold in job.folds])
        if found is None:
            if job.experiment.folds.validation != "test":
                log.warning(f"{job.folder}: it has no calibration, as jobs of an older serjax; the run will have none.")
            return None
        members |= {(one.fold, one.seed): one for one in found.members}
    return Calibration(tuple(members[fold, seed] for seed in range(seeds) for fold in folds))
