"""Time of a clip on its way to the train step: serjax's store and Grain, a loop that decodes, a PyTorch DataLoader.

    python benchmarks/input_pipeline.py [--data.root DIR --seconds 3 --batch 16 --folds 5 --rounds 5 --train-step 60]

Every way delivers one epoch of shuffled, randomly cropped, padded batches of float32 at 16 kHz. The loop and the
DataLoader decode the files in every epoch with soundfile and soxr; serjax decodes them once, and what that costs is
told too. A turn is an epoch. Without --data.root, a folder of noise is made: 3 to 5 s, 44.1 kHz, 16 bit WAV. The
DataLoader needs the extra `torch`.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import count as numbers
from pathlib import Path

import harness
import numpy as np
import soundfile
import soxr

from serjax.audio import SAMPLE_RATE
from serjax.data.batching.batches import stack, train_batches
from serjax.data.config import DataConfig
from serjax.data.corpora.read import read_corpus
from serjax.data.store.clips import ClipStore, open_store
from serjax.runtime.allocator import keep_memory


class Files:
    """Files as a PyTorch data set: one random crop each, decoded when it is asked for."""

    def __init__(self, paths: Sequence[Path], samples: int) -> None:
        self.paths, self.samples = paths, samples
        self.rng = np.random.default_rng()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> np.ndarray:
        """Return [t]."""
        wave, rate = soundfile.read(self.paths[i], dtype="float32", always_2d=True)
        wave = wave.mean(1)
        if rate != SAMPLE_RATE:
            wave = soxr.resample(wave, rate, SAMPLE_RATE)
        start = self.rng.integers(max(len(wave) - self.samples, 0) + 1)
        wave = wave[start : start + self.samples]
        return np.pad(wave, (0, self.samples - len(wave)))


def make_noise(folder: Path, clips: int) -> Path:
    rng = np.random.default_rng(0)
    for i in range(clips):
        path = folder / ("ab"[i % 2]) / f"{i}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, rng.normal(0, 0.1, rng.integers(3 * 44_100, 5 * 44_100)), 44_100)
    return folder


def count(batches: Iterator[np.ndarray]) -> int:
    """Read all batches and touch them, as a copy to the device would; return the clips they hold."""
    clips = 0
    for wave in batches:
        clips += wave.size // wave.shape[-1]
        wave.sum()
    return clips


def from_store(store: ClipStore, options: argparse.Namespace, folds: int) -> Callable[[int], int]:
    """Return an epoch that reads as many folds side by side; each reads all clips."""
    labels = np.zeros(len(store), np.int32)
    settings = {"batch_size": options.batch, "samples": round(options.seconds * SAMPLE_RATE)}

    def epoch(number: int) -> int:
        streams = [
            train_batches(store, labels, range(len(store)), seed=(0, fold, number), **settings) for fold in range(folds)
        ]
        return count(stack(batches).wave for batches in zip(*streams, strict=True))

    return epoch


def from_loop(files: Files, options: argparse.Namespace) -> Callable[[int], int]:
    def epoch(number: int) -> int:
        order = np.random.default_rng(number).permutation(len(files))
        rows = (order[i : i + options.batch] for i in range(0, len(order), options.batch))
        return count(np.stack([files[i] for i in row]) for row in rows)

    return epoch


def from_dataloader(files: Files, options: argparse.Namespace) -> Callable[[int], int]:
    import torch

    loader = torch.utils.data.DataLoader(
        files,
        options.batch,
        shuffle=True,
        num_workers=options.workers,
        persistent_workers=True,
        multiprocessing_context="spawn",
    )
    return lambda number: count(wave.numpy() for wave in loader)


def seconds_a_clip(epoch: Callable[[int], int]) -> Callable[[], float]:
    """Return the turns of a way: an epoch each, with a number of its own."""
    epochs, clips = numbers(), 0

    def run() -> None:
        nonlocal clips
        clips = epoch(next(epochs))

    run()
    return lambda: harness.clock(run, again=False) / clips


def main() -> None:
    """Measure and publish."""
    parser = harness.parser(__doc__, rounds=5)
    parser.add_argument("--data.root", dest="root", help="folder or list of recordings; by default noise is made")
    parser.add_argument("--clips", type=int, default=400, help="clips of noise")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a crop")
    parser.add_argument("--batch", type=int, default=16, help="clips a batch (and fold)")
    parser.add_argument("--folds", type=int, default=5, help="streams that are read side by side")
    parser.add_argument("--workers", type=int, default=2, help="processes of the DataLoader")
    parser.add_argument("--train-step", type=float, help="clips/s of a train step, to compare with")
    options = parser.parse_args()
    keep_memory()
    loader = f"PyTorch DataLoader, {options.workers} workers"
    names, told = harness.installed({loader: ["torch"]})
    with tempfile.TemporaryDirectory() as scratch:
        root = options.root or str(make_noise(Path(scratch), options.clips))
        utterances = read_corpus(DataConfig(root=root)).utterances

        def opened() -> ClipStore:
            return open_store(utterances, Path(scratch) / "store", skip_bad=False)

        decoding, again = harness.clock(opened, again=False), harness.clock(opened, again=False)
        store = opened()
        files = Files([clip.path for clip in utterances], round(options.seconds * SAMPLE_RATE))
        ways = {
            "serjax": from_store(store, options, 1),
            f"serjax, {options.folds} streams": from_store(store, options, options.folds),
            "loop, soundfile + soxr": from_loop(files, options),
        }
        if names:
            ways[loader] = from_dataloader(files, options)
        turns = {name: seconds_a_clip(epoch) for name, epoch in ways.items()}
        if options.train_step:
            turns["the train step"] = lambda: 1 / options.train_step
        values = harness.in_turns({"a clip": turns}, options.rounds)
    hours = store.lengths.sum() / SAMPLE_RATE / 3600
    facts = f"{len(store)} clips, {hours:.2f} h; crops of {options.seconds:g} s, batches of {options.batch}."
    facts += f" Decoding them once takes {harness.amounts([decoding])}, opening the store again "
    facts += f"{harness.amounts([again])}."
    harness.publish([facts, harness.comparison(values), *told], options, ["torch"])


if __name__ == "__main__":
    main()
