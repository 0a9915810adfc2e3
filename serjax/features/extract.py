"""One pass over all clips: features computed batch by batch into a ragged array, resumed where it was stopped."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from serjax.data.batching.batches import Clips, fill_rows, read_clips
from serjax.data.batching.lengths import Crop, bucket, crop_start
from serjax.data.store.ragged import Ragged, RaggedWriter, make_once
from serjax.data.store.together import make_together, work_together
from serjax.models.functional import Params
from serjax.runtime import distributed
from serjax.runtime.disk import disk_errors
from serjax.runtime.errors import UserError
from serjax.runtime.mesh import make_mesh, sharding
from serjax.runtime.progress import progress_bar

Function = Callable[[Params, Float[Array, "b t"], Int[Array, "b"]], tuple[Float[Array, "b ..."], Int[Array, "b"]]]
"""From weights, waves and true lengths in samples to features and true frames of each clip."""

_OPTION = "--data.cache"
_DIVISION = "division.txt"
"""File of an unfinished folder that says how clips are divided into batches."""


class Piece(NamedTuple):
    """A stretch of a clip that is computed at once.

    Attributes:
        clip: its number.
        start: first sample.
        samples: length.
        frame: number, within the clip, of its first frame.
        frames: how many of its frames are kept; None for all true ones.
    """

    clip: int
    start: int
    samples: int
    frame: int = 0
    frames: int | None = None


class Batch(NamedTuple):
    """Pieces that are computed together.

    Attributes:
        rows: of the compiled batch; those beyond the pieces repeat the first one.
        samples: to which pieces are padded with zeros.
        pieces: at most `rows`.
    """

    rows: int
    samples: int
    pieces: tuple[Piece, ...]


def clip_batches(lengths: Int[np.ndarray, "clips"], samples: int, crop: Crop, rows: int) -> list[Batch]:
    """Return batches of one piece a clip, in order of length: little padding and few shapes to compile.

    Args:
        lengths: of the clips.
        samples: longest piece.
        crop: which part of a longer clip.
        rows: of a batch.
    """
    cut, starts = np.minimum(lengths, samples), crop_start(lengths, samples, crop)
    longest = int(cut.max())
    order = np.argsort(cut, kind="stable")
    return [
        Batch(
            rows,
            min(bucket(int(cut[clips].max())), longest),
            tuple(Piece(clip, int(starts[clip]), int(cut[clip])) for clip in clips.tolist()),
        )
        for clips in (order[first : first + rows] for first in range(0, len(order), rows))
    ]


def extract(
    function: Function,
    weights: Params,
    clips: Clips,
    names: Sequence[str],
    batches: Sequence[Batch],
    target: Path,
    *,
    lengths: Int[np.ndarray, "clips"] | None = None,
    frame_axis: int = 1,
    mesh: Mesh | None = None,
) -> Ragged:
    """Return the features of clips, rows of which are frames; from disk where they have been computed before.

    Features go to the file as they come, so that memory holds two batches, and a call that was stopped goes on where it
    was. Another run that wants the same features waits for them. The processes of one run share the batches where they
    share the folder; the first then puts their parts together.

    Args:
        function: compiled here, once for each shape of batches.
        weights: its first argument.
        clips: the store.
        names: of the clips, for messages.
        batches: all that is computed, in this order.
        target: folder of the features, named by a key of all that they depend on.
        lengths: frames of each clip, where they are known beforehand; pieces of clips and rows in the order of the
            clips are possible only then.
        frame_axis: axis of the function's features that is frames.
        mesh: devices of this process; batches are spread over its data axis. By default the first device alone.

    Raises:
        UserError: the disk is full or the folder cannot be written; what was written stays. Or features of a clip are
            not finite.
    """
    mesh = make_mesh(1, 1, jax.local_devices()[:1]) if mesh is None else mesh

    def fill(folder: Path, steps: range) -> None:
        own = [batches[number] for number in steps]
        _fill(function, weights, clips, names, own, folder, lengths, frame_axis, mesh)

    if not work_together(target.parent):
        make_once(target, lambda unfinished: fill(unfinished, range(len(batches))), _OPTION)
    elif not distributed.from_first("features", target.is_dir):
        _share(fill, len(clips), batches, target, lengths)
    try:
        return Ragged(target)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{target}: these stored features are damaged ({error}); delete them.") from None


def _share(
    fill: Callable[[Path, range], None],
    clips: int,
    batches: Sequence[Batch],
    target: Path,
    lengths: Int[np.ndarray, "clips"] | None,
) -> None:
    """Compute every batch in one of the processes, and let the first put the parts together."""
    count, division = distributed.count(), _division(batches)
    distributed.same({"number of devices, or other clips": division})

    def join(unfinished: Path, parts: Sequence[Path]) -> None:
        _begin(unfinished, f"{division} in {count} parts")
        read = [Ragged(part) for part in parts[: len(batches)]]
        rows = read[0].rows
        with RaggedWriter(
            unfinished, rows.dtype.str, rows.shape[1:], items=clips, lengths=lengths, option=_OPTION
        ) as writer:
            # In the order in which one process would have written them.
            for number in range(writer.done, len(batches)):
                for piece in batches[number].pieces:
                    found = read[number % count][piece.clip]
                    kept = found if piece.frames is None else found[piece.frame : piece.frame + piece.frames]
                    writer.write(piece.clip, kept, piece.frame)
                writer.step()
            writer.finish()
        (unfinished / _DIVISION).unlink()

    # Batches are in order of length, so that every so many are about as much work as those of the others.
    make_together(
        target, lambda part, parts: range(part, len(batches), parts), fill, join, _OPTION, name=f"{division}."
    )


def _division(batches: Sequence[Batch]) -> str:
    """Return a hash of how clips are divided into batches."""
    return hashlib.blake2b(repr(batches).encode(), digest_size=6).hexdigest()


def _begin(folder: Path, division: str) -> None:
    """Empty an unfinished folder whose steps are of other batches, as other devices divide clips."""
    path = folder / _DIVISION
    with disk_errors(folder, _OPTION):
        if path.is_file() and path.read_text(encoding="utf-8", errors="replace") == division:
            return
        for old in folder.iterdir():
            old.unlink()
        path.write_text(division, encoding="utf-8")


def _fill(
    function: Function,
    weights: Params,
    clips: Clips,
    names: Sequence[str],
    batches: Sequence[Batch],
    folder: Path,
    lengths: Int[np.ndarray, "clips"] | None,
    frame_axis: int,
    mesh: Mesh,
) -> None:
    _begin(folder, _division(batches))
    spread = sharding(mesh, "data")
    call = jax.jit(function, out_shardings=(spread, spread))
    weights = jax.device_put(weights, sharding(mesh))

    def start(number: int) -> tuple[Array, Array]:
        rows, samples, pieces = batches[number]
        read = read_clips(clips, (piece.clip for piece in pieces))
        cut = [clip[piece.start :][: piece.samples] for piece, clip in zip(pieces, read, strict=True)]
        wave, length = fill_rows(cut, rows, samples)
        return call(weights, jax.device_put(wave, spread), jax.device_put(length, spread))

    rows, samples, _ = batches[0]
    shape = jax.eval_shape(
        function, weights, jax.ShapeDtypeStruct((rows, samples), np.float32), jax.ShapeDtypeStruct((rows,), np.int32)
    )[0].shape
    values = (*shape[1:frame_axis], *shape[frame_axis + 1 :])
    with (
        RaggedWriter(folder, "<f4", values, items=len(clips), lengths=lengths, option=_OPTION) as writer,
        progress_bar("batches") as bar,
    ):
        done = writer.done
        task = bar.add_task("computing features", total=len(batches), completed=done, rate="")
        coming = start(done) if done < len(batches) else None
        for number in range(done, len(batches)):
            found = coming
            # The devices compute the next batch while this one is written.
            coming = start(number + 1) if number + 1 < len(batches) else None
            features, frames = jax.device_get(found)
            for piece, own, count in zip(batches[number].pieces, features, frames, strict=False):
                part = np.moveaxis(own, frame_axis - 1, 0)[: count if piece.frames is None else piece.frames]
                if not np.isfinite(part).all():
                    raise UserError(
                        f"{names[piece.clip]}: its features hold NaN or infinity; listen to the recording, or use a "
                        "model whose training did not diverge."
                    )
                writer.write(piece.clip, part, piece.frame)
            writer.step()
            bar.advance(task)
        writer.finish()
    (folder / _DIVISION).unlink()
