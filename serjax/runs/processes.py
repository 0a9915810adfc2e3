"""Checks that the processes of a run can work together, before any of them trains."""

import json
from dataclasses import replace
from pathlib import Path

from serjax.config.experiment import Experiment
from serjax.config.pretraining import PretrainExperiment
from serjax.runs.folder import differences
from serjax.runtime import distributed
from serjax.runtime.constraints import to_json
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.shared_folder import blind_processes
from serjax.runtime.version import versions


def check_versions() -> None:
    """See that all processes have the same versions.

    Raises:
        UserError: names what differs, and on which process.
    """
    distributed.same({f"version of {name}": version for name, version in versions().items()})


def check_alike(experiment: Experiment | PretrainExperiment) -> None:
    """See that all processes have the same versions and settings.

    Raises:
        UserError: names what differs, and on which process.
    """
    check_versions()
    # The folder is the first process's business; how folds and parameters are laid out is not.
    every = distributed.exchange("settings", to_json(replace(experiment, out="", overwrite=False)))
    for i, text in enumerate(every):
        changed = differences(json.loads(every[0]), json.loads(text))
        if changed:
            raise UserError(
                f"process {i} was given another {one_of(changed)} than process 0; give all processes the same command."
            )


def check_shared(folder: Path) -> None:
    """See that a folder that process 0 has made is the same for all processes.

    Raises:
        UserError: a process does not see it.
    """
    blind = [str(i) for i in blind_processes(folder)]
    if blind:
        raise UserError(
            f"{folder}: process{'es' * (len(blind) > 1)} {one_of(blind)} cannot see what process 0 writes there; give "
            "--out a folder that all machines share."
        )
