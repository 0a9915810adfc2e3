"""Models that are ready to answer for a clip, wherever they came from."""

from typing import Any, Literal, NamedTuple

from flax import nnx

from serjax.audio.vad import Activity
from serjax.evaluation.calibration_report import Calibration
from serjax.evaluation.tasks import Task, places
from serjax.models.base import Modality
from serjax.runtime.errors import UserError
from serjax.video.config import VideoConfig

Outputs = Literal["softmax", "sigmoid", "identity"]
"""From logits to scores: one label of several, each label for itself, or values that are no probabilities."""


class Models(NamedTuple):
    """Members of an ensemble, a run's folds or one published model.

    Attributes:
        labels: names of the outputs.
        folds: number of the fold of each member; with several seeds the folds come again for each.
        graphdef: of one member, called with `Inputs`, returning logits [b c].
        params: what members have of their own, stacked.
        shared: what they have in common.
        max_seconds: the longest stretch of a clip that they use, in s; None for whole clips.
        crop: part of a longer clip.
        min_samples: fewest samples that they can answer for.
        dtype: precision of the computation.
        outputs: from logits to scores.
        vad: how silence is left out of a clip first.
        highpass: cutoff in Hz of the high-pass filter that comes before that; None: there is none.
        modalities: what they take of a clip.
        required: modalities that a clip must have.
        video: how they take video; None: they do not.
        notes: sentences for the user about what was assumed.
        calibration: of the members, in their order; None: there is none.
        tasks: that the outputs answer, where that is not one class; see `of_task`.
        place: first output and the one after the last of the task that is answered; None: all.
        ranges: lowest and highest value of each dimension, in whose middle an output of 0 is; empty: none.
    """

    labels: tuple[str, ...]
    folds: tuple[int, ...]
    graphdef: nnx.GraphDef[Any]
    params: Any
    shared: Any
    max_seconds: float | None
    crop: Literal["head", "centre"]
    min_samples: int
    dtype: str
    outputs: Outputs
    vad: Activity = "none"
    highpass: float | None = None
    modalities: frozenset[Modality] = frozenset({"sound"})
    required: frozenset[Modality] = frozenset({"sound"})
    video: VideoConfig | None = None
    notes: tuple[str, ...] = ()
    calibration: Calibration | None = None
    tasks: tuple[Task, ...] = ()
    place: tuple[int, int] | None = None
    ranges: tuple[tuple[float, float], ...] = ()


def of_task(models: Models, name: str | None) -> Models:
    """Return models that answer one of their tasks; by default the first.

    Raises:
        UserError: they have no task of this name.
    """
    names = [task.name for task in models.tasks]
    if name is not None and name not in names:
        there = f"it has {', '.join(names)}" if names else "it has one task, which has no name"
        raise UserError(f"task: the model has no task {name!r}; {there}.")
    if not models.tasks:
        return models
    number = 0 if name is None else names.index(name)
    task, place = models.tasks[number], places(models.tasks)[number]
    outputs: dict[str, Outputs] = {"multilabel": "sigmoid", "dimensions": "identity"}
    return models._replace(
        labels=task.outputs,
        outputs=outputs.get(task.kind, "softmax"),
        place=(place.start, place.stop),
        ranges=task.ranges,
        calibration=models.calibration if number == 0 else None,
    )
