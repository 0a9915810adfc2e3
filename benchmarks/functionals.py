"""Clips a second of the 312 functionals: serjax's batches under jit, and mser's loop of librosa calls.

    python benchmarks/functionals.py [--data.root DIR --seconds 3 --batch 32 --rounds 7]

Both sides see the same decoded clips. The sides take turns, one batch each a round, and medians over the rounds are
shown. librosa works on one thread, as mser's loop does; serjax on all that XLA takes. Without --data.root, clips are
noise. librosa must be installed (pip install librosa).
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import jax
import librosa
import numpy as np

from serjax.audio import SAMPLE_RATE
from serjax.audio.decode import decode
from serjax.audio.functionals import functionals
from serjax.data.config import DataConfig
from serjax.data.corpora.read import read_corpus


def mser(wave: np.ndarray) -> np.ndarray:
    """Return the values of one clip as mser computes them, each call of librosa as often as there."""
    magnitude = np.abs(librosa.stft(wave))
    pitches, strengths = librosa.piptrack(S=magnitude, sr=SAMPLE_RATE, fmin=70, fmax=400)
    pitch = [pitches[strengths[:, 1].argmax(), i] for i in range(strengths.shape[1])]
    centroid = librosa.feature.spectral_centroid(y=wave, sr=SAMPLE_RATE)
    centroid = centroid / np.sum(centroid)
    rms = librosa.feature.rms(S=magnitude)
    scalars = [
        np.mean(librosa.feature.spectral_flatness(y=wave)),
        np.mean(librosa.feature.zero_crossing_rate(wave)),
        *(np.mean(magnitude), np.max(magnitude), np.mean(centroid), np.std(centroid), np.max(centroid)),
        *(np.std(magnitude), np.mean(pitch), np.max(pitch), np.std(pitch), librosa.pitch_tuning(pitches)),
        *(np.mean(rms), np.max(rms), np.std(rms)),
    ]
    rows = [
        *(over(librosa.feature.mfcc(y=wave, sr=SAMPLE_RATE, n_mfcc=50), axis=1) for over in (np.mean, np.std, np.max)),
        librosa.feature.chroma_stft(S=magnitude, sr=SAMPLE_RATE).mean(1),
        librosa.feature.melspectrogram(y=wave, sr=SAMPLE_RATE).mean(1),
        librosa.feature.spectral_contrast(S=magnitude, sr=SAMPLE_RATE).mean(1),
    ]
    return np.concatenate([scalars, *rows])


def load(root: str | None, clips: int, samples: int) -> np.ndarray:
    """Return [b t]; clips that are shorter begin again."""
    if root is None:
        return np.random.default_rng(0).normal(0, 0.1, (clips, samples)).astype(np.float32)
    utterances = read_corpus(DataConfig(root=root)).utterances
    chosen = [utterances[i * len(utterances) // clips] for i in range(clips)]
    return np.stack([np.resize(decode(clip.path), samples) for clip in chosen])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data.root", dest="root", help="folder or list of recordings; by default clips are noise")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a clip")
    parser.add_argument("--batch", type=int, default=32, help="clips a batch")
    parser.add_argument("--rounds", type=int, default=7, help="batches of each side that are timed")
    options = parser.parse_args()

    waves = load(options.root, options.batch, round(options.seconds * SAMPLE_RATE))
    ways: dict[str, Callable[[], object]] = {
        f"serjax, a batch of {options.batch}": lambda: jax.block_until_ready(functionals(waves, pitch="original")),
        "serjax, clip by clip": lambda: [jax.block_until_ready(functionals(w[None], pitch="original")) for w in waves],
        "librosa loop": lambda: [mser(wave) for wave in waves],
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(options.rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if number:  # the first round compiles
                speeds[name].append(len(waves) / (time.perf_counter() - began))

    loop = statistics.median(speeds["librosa loop"])
    source = options.root or "noise"
    print(f"{len(waves)} clips of {options.seconds:g} s ({source}), {os.cpu_count()} cores, {options.rounds} rounds.\n")
    print("| | to the librosa loop | clips/s | lowest to highest |\n|---|---:|---:|---:|")
    for name, found in speeds.items():
        median = statistics.median(found)
        print(f"| {name} | {median / loop:.1f}x | {median:,.0f} | {min(found):,.0f} to {max(found):,.0f} |")


if __name__ == "__main__":
    main()
