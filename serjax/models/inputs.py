"""Inputs of models: one typed record for sound, video and stored features."""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from serjax.audio.mixup import Pairs

if TYPE_CHECKING:
    AnyArray = Any
else:
    AnyArray = jax.Array | np.ndarray
"""On a device, or on its way there."""


class Inputs(NamedTuple):
    """A batch as a model is called with it; what is absent is None.

    Attributes:
        wave: samples at 16 kHz in float32, zeros after a clip's end.
        lengths: true samples of each clip; 0 where it has no sound.
        video: RGB frames, or a vector of face features a frame.
        video_lengths: true frames of each clip; 0 where it has no video.
        hidden_states: of l layers of a frozen encoder, computed before; they stand in for `wave`.
        hidden_lengths: true frames of each clip in `hidden_states`.
        pairs: mixup that the model applies to its features, drawn for this batch.
    """

    wave: Float[AnyArray, "b t"] | None = None
    lengths: Int[AnyArray, "b"] | None = None
    video: UInt8[AnyArray, "b f h w 3"] | Float[AnyArray, "b f d"] | None = None
    video_lengths: Int[AnyArray, "b"] | None = None
    hidden_states: Float[AnyArray, "b l n d"] | None = None
    hidden_lengths: Int[AnyArray, "b"] | None = None
    pairs: Pairs | None = None

    @property
    def sound(self) -> tuple[Float[AnyArray, "b t"], Int[AnyArray, "b"]]:
        """Waves and their lengths, which must be there."""
        assert self.wave is not None, "this model takes sound"
        return self.wave, self.lengths

    @property
    def frames(self) -> tuple[Any, Int[AnyArray, "b"]]:
        """Video and its lengths, which must be there."""
        assert self.video is not None, "this model takes video"
        return self.video, self.video_lengths


class Features(NamedTuple):
    """Hidden states of a frozen encoder for every clip.

    Attributes:
        states: Float[Array, "clips l n d"], hidden states of l layers; n is 1 where they are already pooled.
        frames: Int[Array, "clips"], true frames.
        label: Int[Array, "clips"].
        target: of other targets than one class, NaN where one is missing.
    """

    states: Float[Array, "clips l n d"]
    frames: Int[Array, "clips"]
    label: Int[Array, "clips"]
    target: Float[AnyArray, "clips c"] | None = None
