"""Features of every frame of a corpus: of any layer of an encoder, or MFCC."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from serjax.audio import SAMPLE_RATE
from serjax.audio.mfcc import frame_mfcc
from serjax.data.batching.batches import Clips
from serjax.data.batching.lengths import bucket
from serjax.data.store.frame_labels import FrameGrid
from serjax.data.store.ragged import Ragged
from serjax.features.extract import Batch, Function, Piece, extract
from serjax.models.encoders.stack import BaseEncoder
from serjax.models.functional import Params, cast
from serjax.models.layers.standardize import unit_variance
from serjax.runtime.errors import UserError
from serjax.runtime.mesh import make_mesh


def layer_features(
    encoder: BaseEncoder, layer: int, *, normalize: bool, dtype: str = "float32"
) -> tuple[Function, Params]:
    """Return the function of one layer's hidden states, and its weights.

    Args:
        encoder: In evaluation: nothing is masked or dropped (the original's feature dump masks).
        layer: 0 is the first transformer layer's input, 9 the output of the ninth; those above are not computed.
        normalize: Bring each clip to zero mean and unit variance first.
        dtype: Precision of the computation.

    Raises:
        UserError: there is no such layer.
    """
    if not 0 <= layer <= encoder.config.num_hidden_layers:
        raise UserError(
            f"Features of layer {layer} are asked for; the encoder has layers 0 to {encoder.config.num_hidden_layers}."
        )
    graphdef, state = nnx.split(encoder)

    def extract(state: Params, wave: Float[Array, "b t"], lengths: Int[Array, "b"]) -> tuple[Array, Array]:
        model = nnx.merge(graphdef, cast(state, dtype), copy=True)
        output = model(unit_variance(wave, lengths, encoder.config.wave_epsilon) if normalize else wave, lengths)
        return output.hidden_states[layer].astype(jnp.float32), output.lengths

    return extract, state


def mfcc_features() -> tuple[Function, Params]:
    """Return the function of the 39 values of `frame_mfcc`, which needs no weights."""
    return lambda _, wave, lengths: frame_mfcc(wave, lengths), {}


def frame_features(
    function: Function,
    weights: Params,
    clips: Clips,
    names: Sequence[str],
    target: Path,
    *,
    grid: FrameGrid,
    only: Sequence[int] | None = None,
    seconds: float = 60.0,
    longest: float = 30.0,
    mesh: Mesh | None = None,
) -> Ragged:
    """Return the features of all frames, those of each clip in their order, clip after clip; see `extract`.

    Clips go through in batches of about one length, spread over the devices. Of clips that are too long for one batch,
    pieces are computed whose frames follow each other.

    Args:
        function: computes features of waves.
        weights: its first argument.
        clips: the store.
        names: of the clips, for messages.
        target: folder of the features, named by a key of all that they depend on.
        grid: places of the frames.
        only: clips to compute; the others have no frames. By default all.
        seconds: of audio in a batch on each device.
        longest: stretch of a clip that is computed at once, in s.
        mesh: devices; batches are spread over its data axis. By default all of this process.

    Raises:
        UserError: as `extract`, or no clip is as long as a frame.
    """
    mesh = make_mesh(1, jax.local_device_count(), jax.local_devices()) if mesh is None else mesh
    frames = np.zeros(len(clips), np.int64)
    wanted = np.arange(len(clips)) if only is None else np.asarray(only, np.int64)
    frames[wanted] = [grid.frames(length) for length in np.asarray(clips.lengths)[wanted].tolist()]
    if not frames.sum():
        raise UserError(
            f"None of {len(wanted)} clips is as long as one frame of {grid.receptive_field} samples; give longer ones."
        )
    batches = list(_batches(clips.lengths, frames, grid, seconds, longest, mesh.shape["data"]))
    return extract(function, weights, clips, names, batches, target, lengths=frames, mesh=mesh)


def _batches(
    lengths: Int[np.ndarray, "clips"],
    frames: Int[np.ndarray, "clips"],
    grid: FrameGrid,
    seconds: float,
    longest: float,
    devices: int,
) -> Iterator[Batch]:
    """Yield batches of pieces, the longest pieces first."""
    most = max(1, grid.frames(round(longest * SAMPLE_RATE)))
    groups: dict[int, list[Piece]] = {}
    for clip, count in enumerate(frames.tolist()):
        for first in range(0, count, most):
            start, here = grid.hop_length * first, min(most, count - first)
            # A clip's last samples make no frame, but count in its level.
            samples = int(lengths[clip]) - start if first + here == count else grid.samples(here)
            groups.setdefault(bucket(samples), []).append(Piece(clip, start, samples, first, here))
    # What takes the most memory comes first: what does not fit is told at once.
    for samples, pieces in sorted(groups.items(), reverse=True):
        rows = max(1, int(seconds * SAMPLE_RATE // samples)) * devices
        for start in range(0, len(pieces), rows):
            yield Batch(rows, samples, tuple(pieces[start : start + rows]))
