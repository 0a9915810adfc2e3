"""Features of every frame of a corpus, of any layer of an encoder or MFCC, streamed to a file."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Float32, Int
from rich.progress import Progress

from serjax.audio import SAMPLE_RATE
from serjax.audio.mfcc import frame_mfcc
from serjax.data.batching.batches import Clips, fill_rows
from serjax.data.batching.lengths import bucket
from serjax.data.store.frame_labels import Clock
from serjax.data.store.frame_table import FrameTable
from serjax.models.encoders.wav2vec2 import SpeechEncoder
from serjax.models.functional import Params, cast
from serjax.models.layers.standardize import unit_variance
from serjax.runtime.disk import disk_errors, room, unwritable
from serjax.runtime.errors import UserError
from serjax.runtime.mesh import make_mesh, sharding

Extract = Callable[[Params, Float[Array, "b t"], Int[Array, "b"]], tuple[Float[Array, "b n d"], Int[Array, "b"]]]
"""From weights, waves and true lengths in samples to features of frames and true frames."""
_OPTION = "--out"
_SAVED = 16
"""After so many batches what was written is on the disk, and a call that is stopped goes on from there."""


class Piece(NamedTuple):
    """A run of frames of a clip that is computed at once.

    Attributes:
        clip: its number.
        first: of its frames.
        frames: how many.
        samples: that they are computed from; a clip's last ones make no frame, but count in its level.
    """

    clip: int
    first: int
    frames: int
    samples: int


def layer_features(
    encoder: SpeechEncoder, layer: int, *, normalize: bool, dtype: str = "float32"
) -> tuple[Extract, Params]:
    """Return what computes one layer's hidden states, and its weights.

    Args:
        encoder: In evaluation: nothing is masked or dropped (the original's feature dump masks).
        layer: 0 is the first transformer layer's input, 9 the output of the ninth; those above are not computed.
        normalize: Bring each clip to zero mean and unit variance first.
        dtype: What to compute in.

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
        wave = unit_variance(wave, lengths) if normalize else wave
        output = model(wave.astype(dtype), lengths)
        return output.hidden_states[layer].astype(jnp.float32), output.lengths

    return extract, state


def mfcc_features() -> tuple[Extract, Params]:
    """Return what computes the 39 values of `frame_mfcc`, which needs no weights."""
    return lambda _, wave, lengths: frame_mfcc(wave, lengths), {}


def frame_table(
    extract: Extract,
    weights: Params,
    clips: Clips,
    names: Sequence[str],
    folder: Path,
    *,
    key: str,
    clock: Clock,
    only: Sequence[int] | None = None,
    seconds: float = 60.0,
    longest: float = 30.0,
    mesh: Mesh | None = None,
    progress: bool = True,
) -> FrameTable:
    """Return the features of all clips, from disk where they have been computed before.

    Clips go through in batches of about one length, spread over the devices; features go to the file as they come, and
    a call that was stopped goes on where it was. Of clips that are too long for one batch, pieces are computed whose
    frames follow each other.

    Args:
        extract: Compiled here, once for each length.
        weights: Its first argument.
        clips: The store.
        names: Of the clips, for messages.
        folder: Where features are kept, in a folder called `key`.
        key: What the features depend on (weights, clips, layer), as a `fingerprint`.
        clock: When frames are.
        only: Clips to compute; the others have no frames in the table. By default all.
        seconds: Of audio in a batch on each device.
        longest: Stretch of a clip that is computed at once, in s.
        mesh: Devices; batches are spread over its data axis. By default all there are.
        progress: Show a bar.

    Raises:
        UserError: the disk is full or the folder cannot be written; what was written stays. Or features of a clip are
            not finite.
    """
    mesh = make_mesh(1, len(jax.devices())) if mesh is None else mesh
    target = folder / key
    frames = np.zeros(len(clips), np.int64)
    wanted = np.arange(len(clips)) if only is None else np.asarray(only, np.int64)
    frames[wanted] = [clock.frames(length) for length in np.asarray(clips.lengths)[wanted].tolist()]
    if not frames.sum():
        raise UserError(
            f"None of {len(wanted)} clips is as long as one frame of {clock.field} samples; give longer ones."
        )
    with disk_errors(folder, _OPTION):
        folder.mkdir(parents=True, exist_ok=True)
    # Another run that wants the same features waits for them.
    with filelock.FileLock(folder / f".{key}.lock"):
        if not target.exists():
            part = folder / f"{key}.part"
            with disk_errors(part, _OPTION):
                part.mkdir(exist_ok=True)
            batches = list(_batches(clips.lengths, frames, clock, seconds, longest, mesh.shape["data"]))
            with _Writer(part, frames, _width(extract, weights, clock)) as writer:
                _compute(extract, weights, clips, names, clock, batches, mesh, writer, progress)
            part.rename(target)
    return FrameTable(np.load(target / "features.npy", mmap_mode="r").view(np.ndarray), frames)


def _width(extract: Extract, weights: Params, clock: Clock) -> int:
    wave, length = jax.ShapeDtypeStruct((1, clock.samples(2)), np.float32), jax.ShapeDtypeStruct((1,), np.int32)
    return int(jax.eval_shape(extract, weights, wave, length)[0].shape[2])


def _batches(
    lengths: Int[np.ndarray, "clips"],
    frames: Int[np.ndarray, "clips"],
    clock: Clock,
    seconds: float,
    longest: float,
    devices: int,
) -> Iterator[tuple[int, int, list[Piece]]]:
    """Yield batches, as samples and rows to compile for and the pieces that they hold, the longest first."""
    most = max(1, clock.frames(round(longest * SAMPLE_RATE)))
    groups: dict[int, list[Piece]] = {}
    for clip, count in enumerate(frames.tolist()):
        for first in range(0, count, most):
            rest = int(lengths[clip]) - clock.hop * first
            here = min(most, count - first)
            piece = Piece(clip, first, here, rest if first + here == count else clock.samples(here))
            groups.setdefault(bucket(piece.samples), []).append(piece)
    # What takes the most memory first: what does not fit is told at once.
    for samples, pieces in sorted(groups.items(), reverse=True):
        rows = max(1, int(seconds * SAMPLE_RATE // samples)) * devices
        for start in range(0, len(pieces), rows):
            yield samples, rows, pieces[start : start + rows]


def _compute(
    extract: Extract,
    weights: Params,
    clips: Clips,
    names: Sequence[str],
    clock: Clock,
    batches: Sequence[tuple[int, int, list[Piece]]],
    mesh: Mesh,
    writer: "_Writer",
    progress: bool,
) -> None:
    rows = sharding(mesh, "data")
    call = jax.jit(extract, out_shardings=(rows, rows))
    weights = jax.device_put(weights, sharding(mesh))
    done = writer.done

    def start(number: int) -> Array:
        samples, count, pieces = batches[number]
        cut = [clips.clip(piece.clip)[clock.hop * piece.first :][: piece.samples] for piece in pieces]
        wave, length = fill_rows(cut, count, samples)
        return call(weights, jax.device_put(wave, rows), jax.device_put(length, rows))[0]

    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("computing features", total=len(batches), completed=done)
        coming = start(done) if done < len(batches) else None
        for number in range(done, len(batches)):
            found, coming = coming, start(number + 1) if number + 1 < len(batches) else None
            values = np.asarray(found)
            for piece, row in zip(batches[number][2], values, strict=False):
                part = row[: piece.frames]
                if not np.isfinite(part).all():
                    raise UserError(
                        f"{names[piece.clip]}: its features hold NaN or infinity; listen to the recording, or use a "
                        "model whose training did not diverge."
                    )
                writer.write(piece, part)
            writer.finish(number + 1)
            bar.advance(task)


class _Writer:
    """A table on disk of which any part can be written, and a count of the batches that are safely there.

    Nothing is written through a memory map: there, a full disk is a signal that ends the process.
    """

    def __init__(self, folder: Path, frames: Int[np.ndarray, "clips"], width: int) -> None:
        self.folder, self.width = folder, width
        self._starts = np.cumsum(frames) - frames
        shape = (int(frames.sum()), width)
        self._needed = 4 * shape[0] * width
        with disk_errors(folder, _OPTION):
            self._marker = _open(folder / "done")
            self._file = _open(folder / "features.npy")
        self.done = int(os.pread(self._marker, 32, 0) or 0)
        with self._sentence():
            # What is there of an earlier call need not be found again.
            room(folder, self._needed - 512 * os.fstat(self._file).st_blocks)
            with os.fdopen(os.dup(self._file), "wb") as file:
                file.seek(0)
                np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
                self._offset = file.tell()
            os.ftruncate(self._file, self._offset + self._needed)
            self._mark(self.done)
        self._written = self.done

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: Any) -> None:
        with contextlib.suppress(OSError):
            self._mark(self._written)
        os.close(self._file)
        os.close(self._marker)

    def write(self, piece: Piece, values: Float32[np.ndarray, "n d"]) -> None:
        """Write the frames of a piece.

        Raises:
            UserError: the disk is full, or the like.
        """
        rest = memoryview(np.asarray(values, "<f4").tobytes())
        place = self._offset + 4 * self.width * (int(self._starts[piece.clip]) + piece.first)
        with self._sentence():
            while rest:
                count = os.pwrite(self._file, rest, place)
                rest, place = rest[count:], place + count

    def finish(self, batches: int) -> None:
        """Note that so many batches are written."""
        self._written = batches
        if batches % _SAVED == 0:
            with self._sentence():
                self._mark(batches)

    def _mark(self, batches: int) -> None:
        os.fsync(self._file)
        # Always as long, so that a full disk has room for it.
        os.pwrite(self._marker, f"{batches:020}".encode(), 0)

    @contextlib.contextmanager
    def _sentence(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unwritable(self.folder, error, _OPTION, self._needed) from None


_open = partial(os.open, flags=os.O_RDWR | os.O_CREAT, mode=0o644)
