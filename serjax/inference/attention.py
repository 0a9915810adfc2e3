"""Attention of models of sound and video: which stretch of sound each frame looked at."""

from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float

from serjax.checkpoints.bundle import Models
from serjax.inference.batched import frames
from serjax.inference.inputs import Sample
from serjax.models.fusion.cross_attention import CrossAttentionFusion
from serjax.models.inputs import Inputs
from serjax.runtime.errors import UserError


def cross_attention(
    models: Models, weights: Float[np.ndarray, "k"], sample: Sample, wave: Float[np.ndarray, "t"]
) -> tuple[Float[np.ndarray, "f n"], float]:
    """Return the share of each stretch of sound in what each frame took from it, and a stretch's seconds.

    It is the mean over the members, by weights, and over the heads of the attention.

    Args:
        models: the members.
        weights: share of each member; they add up to 1.
        sample: the clip.
        wave: what is heard of it.

    Raises:
        UserError: the models have no cross-attention, or the clip lacks sound or video.
    """
    fused = nnx.merge(models.graphdef, jax.tree.map(lambda x: x[0], models.params), models.shared)
    if models.video is None or not isinstance(getattr(fused, "fusion", None), CrossAttentionFusion):
        raise UserError("these models have no cross-attention; ask a run of av_xattn.")
    if sample.frames is None or not len(sample.wave):
        raise UserError("attention is between sound and video; give a clip that has both.")
    arrays = (wave[None], np.array([len(wave)], np.int32), *frames([sample], models.video))

    def looked(params: Any) -> Any:
        return nnx.merge(models.graphdef, params, models.shared).fuse(Inputs(*arrays)).attention

    found = jax.vmap(looked)(models.params)
    count, stretches = int(found.video_frames[0, 0]), int(found.audio_frames[0, 0])
    shares = np.einsum("k,khfn->fn", weights, np.asarray(found.video_to_audio[:, 0], np.float32))
    return shares[:count, :stretches] / found.video_to_audio.shape[2], fused.seconds_per_frame
