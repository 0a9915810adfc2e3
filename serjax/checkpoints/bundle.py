"""Models that are ready to answer for a clip, wherever they came from."""

from typing import Any, Literal, NamedTuple

from flax import nnx

from serjax.audio.vad import Activity
from serjax.video.config import VideoConfig

Outputs = Literal["softmax", "sigmoid", "identity"]
"""What turns logits into scores: one label of several, each label for itself, or values that are no probabilities."""


class Models(NamedTuple):
    """The members of an ensemble, a run's folds or one published model.

    Attributes:
        labels: names of the outputs.
        folds: numbers of the members.
        graphdef: of one member, called with waves [b t], true lengths [b] and no key, returning logits [b c].
        params: what members have of their own, stacked.
        shared: what they have in common.
        seconds: the longest stretch of a clip that they look at, in s; None for whole clips.
        crop: which stretch of a longer clip.
        shortest: fewest samples that they can answer for.
        dtype: what they compute in.
        outputs: from logits to scores.
        activity: how silence is left out of a clip first.
        video: how they look at video; None: they do not.
        seen: shape of what they see of a clip, frames f first: pictures [f h w 3], or vectors [f d]; () for nothing.
        needs: which of sound and video they cannot do without.
        hears: whether they listen to sound.
        notes: sentences for the user about what was assumed.
    """

    labels: tuple[str, ...]
    folds: tuple[int, ...]
    graphdef: nnx.GraphDef[Any]
    params: Any
    shared: Any
    seconds: float | None
    crop: Literal["head", "centre"]
    shortest: int
    dtype: str
    outputs: Outputs
    activity: Activity = "none"
    video: VideoConfig | None = None
    seen: tuple[int, ...] = ()
    needs: frozenset[str] = frozenset({"sound"})
    hears: bool = True
    notes: tuple[str, ...] = ()
