"""Encode every clip once with a frozen trunk and keep the result: the features on which heads are trained."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import filelock
import jax
import numpy as np
from jaxtyping import Array, Float, Int
from rich.progress import Progress

from serjax.data.batching.batches import Clips, fill_rows
from serjax.data.batching.lengths import Crop, bucket, crop_clip
from serjax.models.functional import Params
from serjax.runtime.disk import disk_errors

Encode = Callable[[Params, Float[Array, "b t"], Int[Array, "b"]], tuple[Float[Array, "b l n d"], Int[Array, "b"]]]
"""From weights, waves and true lengths in samples to hidden states and true frames."""


def encode_clips(
    encode: Encode,
    weights: Params,
    clips: Clips,
    folder: Path,
    *,
    key: str,
    samples: int,
    crop: Crop,
    batch_size: int,
    progress: bool = True,
) -> tuple[Float[np.ndarray, "clips l n d"], Int[np.ndarray, "clips"]]:
    """Return the hidden states and frame counts of all clips, from disk where they have been computed before.

    Clips go through in order of length, so that a batch has little padding and few shapes are compiled; states go to a
    memory-mapped file as they come, and a call that was killed goes on where it stopped.

    Args:
        encode: compiled here, once for each shape.
        weights: its first argument.
        clips: the store.
        folder: where features are kept, in a folder called `key`.
        key: what the features depend on (weights, clips, crop), as a `fingerprint`.
        samples: longest stretch of a clip that is looked at.
        crop: which stretch, head or centre.
        batch_size: clips a call.
        progress: show a bar.

    Raises:
        UserError: the disk is full.
    """
    target = folder / key
    with disk_errors(folder, "--data.cache"):
        folder.mkdir(parents=True, exist_ok=True)
    # Another run that wants the same features waits for them.
    with filelock.FileLock(folder / f".{key}.lock"):
        if not (target / "frames.npy").exists():
            part = folder / f"{key}.part"
            lengths = np.minimum(np.asarray(clips.lengths), samples)
            order = np.argsort(lengths, kind="stable")
            batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
            with disk_errors(part, "--data.cache"):
                part.mkdir(exist_ok=True)
                _encode(encode, weights, clips, part, batches, samples, crop, batch_size, progress)
            part.rename(target)
    return np.load(target / "states.npy", mmap_mode="r"), np.load(target / "frames.npy")


def _encode(
    encode: Encode,
    weights: Params,
    clips: Clips,
    part: Path,
    batches: Sequence[Int[np.ndarray, "b"]],
    samples: int,
    crop: Crop,
    batch_size: int,
    progress: bool,
) -> None:
    call = jax.jit(encode)
    longest = int(min(np.max(clips.lengths), samples))
    shape, _ = jax.eval_shape(
        encode, weights, jax.ShapeDtypeStruct((1, longest), np.float32), jax.ShapeDtypeStruct((1,), np.int32)
    )
    size = (sum(len(batch) for batch in batches), *shape.shape[1:])
    marker, path, counts = part / "done.json", part / "states.npy", part / "counts.npy"
    done = json.loads(marker.read_text()) if marker.exists() else 0
    mode: Any = "r+" if done else "w+"
    states = np.lib.format.open_memmap(path, mode=mode, dtype=np.float32, shape=None if done else size)
    frames = np.lib.format.open_memmap(counts, mode=mode, dtype=np.int32, shape=None if done else size[:1])
    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("encoding clips", total=len(batches), completed=done)
        for number in range(done, len(batches)):
            batch = batches[number]
            cut = [crop_clip(clips.clip(int(index)), samples, crop) for index in batch]
            wave, length = fill_rows(cut, batch_size, min(bucket(max(map(len, cut))), longest))
            found, count = jax.device_get(call(weights, wave, length))
            states[batch, :, : found.shape[2]], frames[batch] = found[: len(batch)], count[: len(batch)]
            if number % 16 == 15:
                states.flush()
                frames.flush()
                marker.write_text(str(number + 1))
            bar.advance(task)
    states.flush()
    frames.flush()
    marker.unlink(missing_ok=True)  # first: a call killed between the two begins anew
    shutil.move(counts, part / "frames.npy")
