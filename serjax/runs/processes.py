"""Checks that the processes of a run can work together, before any of them trains."""

import contextlib
import json
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from serjax.config.experiment import Experiment
from serjax.config.pretraining import PretrainExperiment
from serjax.runs.folder import differences, kept_settings
from serjax.runtime import distributed
from serjax.runtime.constraints import to_json
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.version import versions

_SEEN_WITHIN = 60.0
"""Seconds after which a network file system shows what another machine has written."""


def check_alike(experiments: Sequence[Experiment | PretrainExperiment]) -> None:
    """See that all processes have the same versions and settings.

    Raises:
        UserError: names what differs, and on which process.
    """
    distributed.same({f"version of {name}": version for name, version in versions().items()})
    settings = [json.loads(to_json(kept_settings(one))) for one in experiments]
    every = distributed.exchange("settings", json.dumps(settings))
    for i, text in enumerate(every):
        changed = [
            name
            for old, new in zip(json.loads(every[0]), json.loads(text), strict=True)
            for name in differences(old, new)
        ]
        if changed:
            raise UserError(
                f"process {i} was given another {one_of(changed)} than process 0; give all processes the same command."
            )


def check_shared(folder: Path) -> None:
    """See that a folder that process 0 has made is the same for all processes.

    Raises:
        UserError: a process does not see it.
    """
    if not distributed.several():
        return
    token = uuid.uuid4().hex
    path = folder / ".seen_by_all"

    def write() -> str:
        write_text(path, token)
        return token

    token = distributed.from_first("shared folder", write)
    until = time.monotonic() + _SEEN_WITHIN
    while not (seen := _reads(path, token)) and time.monotonic() < until:
        time.sleep(0.2)
    answers = distributed.exchange("shared folder", "yes" if seen else "no")
    if distributed.first():
        path.unlink(missing_ok=True)
    blind = [str(i) for i, answer in enumerate(answers) if answer == "no"]
    if blind:
        raise UserError(
            f"{folder}: process{'es' * (len(blind) > 1)} {one_of(blind)} cannot see what process 0 writes there; give "
            "--out a folder that all machines share."
        )


def _reads(path: Path, token: str) -> bool:
    with contextlib.suppress(OSError):
        return path.read_text() == token
    return False
