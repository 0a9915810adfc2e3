"""A run's folder: new, to be resumed, or finished."""

import json
import shutil
from dataclasses import replace
from typing import Any

from serjax.config import Experiment, to_json
from serjax.disk import disk_errors, write_text
from serjax.errors import UserError, one_of


def open_run(experiment: Experiment) -> bool:
    """Make the run folder, or find one of the same experiment in it; return whether that run is finished.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    folder = experiment.run_dir
    path = folder / "experiment.json"
    with disk_errors(folder, "--out"):
        if experiment.overwrite and path.is_file():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
    new = to_json(_kept(experiment))
    if path.is_file():
        try:
            old = json.loads(path.read_text())
        except ValueError:
            raise UserError(f"{path}: it is damaged; start again with --overwrite.") from None
        changed = _differences(old, json.loads(new))
        if changed:
            raise UserError(
                f"{folder}: another experiment was run here, with other {one_of(changed)}; choose another --name, or "
                "--overwrite to delete that run."
            )
    elif any(folder.iterdir()):
        raise UserError(f"{folder}: the folder is not empty and holds no run; choose another --name or --out.")
    else:
        write_text(path, new + "\n")
    return (folder / "report.json").is_file()


def _kept(experiment: Experiment) -> Experiment:
    """Return the experiment without what does not bear on its numbers: where it is written."""
    return replace(experiment, out="checkpoints", overwrite=False)


def _differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        return [name for key in keys for name in _differences(old.get(key), new.get(key), f"{prefix}{key}.")]
    return [] if old == new else [prefix.removesuffix(".")]
