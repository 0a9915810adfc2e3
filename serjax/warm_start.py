"""The weights that finished runs have left for a model's parts, fold by fold."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from serjax.checkpoints.encoders import Encoders
from serjax.checkpoints.run import load_run
from serjax.config import Experiment, from_json
from serjax.data.folds import read_parts
from serjax.data.leakage import check_unseen
from serjax.errors import UserError
from serjax.prepare import Data
from serjax.training.jobs import Job
from serjax.training.optimizer import Params


class Start(NamedTuple):
    """What a finished run has left for the folds of another to start from.

    Attributes:
        name: the option that named the run, and its folder.
        branch: what it starts: audio, video or trunk.
        labels: of its outputs; none for an encoder.
        folds: numbers of its folds.
        parts: part of each clip in each of its folds, by id.
        leaves: parameters and statistics [folds ...] by their paths in the model to come.
    """

    name: str
    branch: str
    labels: tuple[str, ...]
    folds: tuple[int, ...]
    parts: Mapping[str, Mapping[int, str]]
    leaves: dict[Any, Any]


def read_starts(experiment: Experiment) -> tuple[Start, ...]:
    """Read the runs that `warm_start` names.

    Raises:
        UserError: a run cannot be read, or is not of the network that the fusion has.
    """
    starts = []
    for branch, folder, wanted, prefix in (
        ("audio", experiment.warm_start.audio, experiment.fusion.audio, ("audio",)),
        ("video", experiment.warm_start.video, "video", ()),
    ):
        if folder is None:
            continue
        option = f"--warm-start.{branch}"
        models = load_run(folder)
        path = Path(folder) / "experiment.json"
        family = from_json(path.read_text(), str(path)).model.family
        if family != wanted:
            raise UserError(
                f"{option} {folder}: it is a run of {family}, but this fusion has {wanted}; give such a run."
            )
        count = len(models.folds)
        leaves = {(*prefix, *path): leaf for path, leaf in nnx.to_flat_state(models.params)}
        for shared, leaf in nnx.to_flat_state(models.shared) if models.shared else ():
            leaves[*prefix, *shared] = leaf.replace(jnp.broadcast_to(leaf[...], (count, *leaf[...].shape)))
        parts = read_parts(Path(folder) / "folds.json")
        starts.append(Start(f"{option} {folder}", branch, models.labels, models.folds, parts, leaves))
    return tuple(starts)


def encoder_start(encoders: Encoders, folds: Sequence[int] | None = None) -> Start:
    """Return the encoders of a run's folds (all, or those named) as what the same folds start from.

    Raises:
        UserError: one cannot be used.
    """
    folds = tuple(encoders.folders if folds is None else folds)
    states = [dict(nnx.to_flat_state(nnx.state(encoders.of(fold).encoder, nnx.Param))) for fold in folds]
    leaves = {
        ("trunk", *path): leaf.replace(jnp.stack([state[path][...] for state in states]))
        for path, leaf in states[0].items()
    }
    return Start(f"--model.checkpoint {encoders.source}", "trunk", (), folds, encoders.parts, leaves)


def stacked(starts: Sequence[Start], data: Data, jobs: Sequence[Job], model: nnx.Module) -> Params | None:
    """Return what each job starts from, [k ...]; None without runs.

    Args:
        starts: the runs.
        data: what is trained on.
        jobs: what is trained.
        model: one job's model (abstract will do), whose branches are to be started.

    Raises:
        UserError: a run has other labels, lacks a fold, is of another layout, or has seen a clip that the same fold
            tests here.
    """
    shapes = {path: leaf.shape for path, leaf in nnx.to_flat_state(nnx.state(model, (nnx.Param, nnx.BatchStat)))}
    leaves: dict[Any, Any] = {}
    for start in starts:
        if start.labels and start.labels != data.labels:
            raise UserError(
                f"{start.name}: its labels are {', '.join(start.labels)}, here they are {', '.join(data.labels)}; give "
                "a run with the same."
            )
        for job in jobs:
            tested = [data.store.utterances[clip].id for clip in job.test]
            check_unseen(start.name, start.parts, start.folds, job.fold, tested)
        for path, shape in shapes.items():
            if path[0] == start.branch and (path not in start.leaves or start.leaves[path].shape[1:] != shape):
                raise UserError(f"{start.name}: its {'.'.join(map(str, path))} does not fit; give a run of this size.")
        rows = np.array([start.folds.index(job.fold) for job in jobs])
        leaves |= {path: leaf.replace(leaf[...][rows]) for path, leaf in start.leaves.items()}
    return nnx.from_flat_state(list(leaves.items())) if leaves else None
