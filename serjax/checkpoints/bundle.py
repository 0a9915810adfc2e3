"""Models that are ready to answer for a clip, wherever they came from."""

from typing import Any, Literal, NamedTuple

from flax import nnx

from serjax.audio.vad import Activity
from serjax.evaluation.calibration_report import Calibration
from serjax.models.base import Modality
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
