"""The file of a run's calibration, beside its models: calibration.json."""

from pathlib import Path

from serjax.evaluation.calibration_report import Calibration
from serjax.runtime.constraints import read_as, to_json
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError, brief
from serjax.runtime.json_files import read_json

NAME = "calibration.json"
FORMAT = 1
"""Version of the file; raised where older files can no longer be read."""


_AGAIN = "copy the run folder again, or train the run again"


def write_calibration(run_dir: Path, calibration: Calibration) -> None:
    """Write a run's calibration.json.

    Raises:
        UserError: it cannot be written.
    """
    write_text(run_dir / NAME, to_json(calibration) + "\n")


def read_calibration(run_dir: Path, members: list[tuple[int, int]]) -> Calibration | None:
    """Read a run's calibration.json; None where there is none, as in older runs.

    Args:
        run_dir: the run folder.
        members: number of the fold, and seed, of each of its models.

    Raises:
        UserError: the file is damaged, of a newer serjax, or of other models.
    """
    path = run_dir / NAME
    if not path.is_file():
        return None
    version = read_json(path).get("format")
    if version != FORMAT:
        raise UserError(
            f"{path}: it has format {brief(repr(version))}, but this version of serjax reads format "
            f"{FORMAT}; use a newer "
            "serjax, or remove the file to have scores as the models were trained."
        )
    found = read_as(Calibration, path, _AGAIN, others="forbid")
    if [(one.fold, one.seed) for one in found.members] != members:
        raise UserError(
            f"{path}: it is not of the models of model.json (their folds or seeds differ); copy the run folder again, "
            "or remove the file to have scores as the models were trained."
        )
    return found
