"""Batches of prepared clips, and the compiled calls that members of an ensemble answer them with."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Shaped

from serjax.audio import SAMPLE_RATE
from serjax.data.batching.lengths import FRAME, bucket
from serjax.inference.inputs import Sample
from serjax.models.embedding import embed
from serjax.models.functional import apply, logits_of, merge
from serjax.models.inputs import Inputs
from serjax.video.config import VideoConfig

BATCH = 8
"""Clips a call, at most."""

AT_ONCE = 60
"""Seconds of sound in a call with clips, at most, where one clip is no longer: memory grows with it."""

SECONDS = 16
"""Of sound in a call with windows of a recording, at most, where one window is no longer: memory grows with it. In
float32 eight clips of 3 s take a processor more than eight times as long as one (docs/results/speed.md)."""


def windows_a_call(samples: int) -> int:
    """Return how many windows of so many samples a call takes: a power of two, `BATCH` at most."""
    fitting = max(1, min(BATCH, SECONDS * SAMPLE_RATE // samples))
    return 1 << (fitting.bit_length() - 1)


def padded(samples: int, longest: int | None = None) -> int:
    """Return the length to which a clip is padded: its bucket, but no more than the longest that is to come.

    Args:
        samples: length of the clip.
        longest: length that no clip exceeds, if there is one: windows of 3 s are not padded to a bucket of 3.1 s.
    """
    return bucket(samples) if longest is None else min(bucket(samples), -(-max(longest, samples) // FRAME) * FRAME)


def batches(lengths: Sequence[int], longest: int | None = None) -> Iterator[list[int]]:
    """Yield the positions of clips that are padded to the same length, by powers of two: few shapes are compiled."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for _, group in groupby(order, key=lambda index: padded(lengths[index], longest)):
        waiting = list(group)
        fitting = max(1, min(BATCH, AT_ONCE * SAMPLE_RATE // max(1, padded(lengths[waiting[0]], longest))))
        while waiting:
            size = 1 << (min(fitting, len(waiting)).bit_length() - 1)
            yield waiting[:size]
            del waiting[:size]


def join(
    waves: Sequence[Float32[np.ndarray, "_"]],
    samples: Sequence[Sample] = (),
    video: VideoConfig | None = None,
    longest: int | None = None,
) -> Inputs:
    """Return waves at 16 kHz as one batch, padded to one length.

    Args:
        waves: what the models hear of each clip.
        samples: the clips that they are of, for their videos.
        video: how the models take video; None: they do not.
        longest: as for `padded`.
    """
    length = np.array([len(one) for one in waves], np.int32)
    wave = np.zeros((len(waves), padded(int(length.max()), longest)), np.float32)
    for row, one in zip(wave, waves, strict=True):
        row[: len(one)] = one
    return Inputs(wave, length, *(() if video is None else frames(samples, video)))


def frames(samples: Sequence[Sample], video: VideoConfig) -> tuple[Shaped[np.ndarray, "b f ..."], Int[np.ndarray, "b"]]:
    """Return the clips' videos side by side, and how many frames each clip has."""
    dtype = np.uint8 if video.num_face_features is None else np.float32
    found = np.zeros((len(samples), *video.shape), dtype)
    counts = np.zeros(len(samples), np.int32)
    for row, sample in enumerate(samples):
        if sample.frames is not None:
            counts[row] = len(sample.frames)
            found[row, : counts[row]] = sample.frames
    return found, counts


def member_logits(params: Any, shared: Any, inputs: Inputs, *, graphdef: Any, dtype: str) -> Float[Array, "b k c"]:
    """Return the logits of each member, in float32; what is shared and sees no member runs once."""
    return jax.vmap(lambda one: logits_of(graphdef, one, shared, inputs, None, dtype), out_axes=1)(params)


def member_embeddings(params: Any, shared: Any, inputs: Inputs, *, graphdef: Any, dtype: str) -> Float[Array, "b k d"]:
    """Return the input of each member's classifier, in float32."""

    def one(own: Any) -> Float[Array, "b d"]:
        model = merge(graphdef, own, shared, dtype)
        return apply(lambda inputs, *_: embed(model, inputs), inputs, None, dtype)

    return jax.vmap(one, out_axes=1)(params)


def owner_means(values: np.ndarray, owners: Int[np.ndarray, "n"]) -> np.ndarray:
    """Return the mean of the values of each owner; those of an owner stand together."""
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    counts = np.diff(starts, append=len(owners)).reshape(-1, *[1] * (values.ndim - 1))
    return np.add.reduceat(values, starts) / counts.astype(values.dtype)
