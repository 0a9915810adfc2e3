"""Mel spectrograms: librosa, the formulation in serjax, and those that were not chosen, side by side.

    python benchmarks/front_ends.py [--rounds 15]

The sides take turns on the same noise: in each round each computes each case twice, in random order. The second call
counts (the first finds the caches as another side left them), and medians over the rounds are shown. The transform by a
matrix product folds the window into a matrix of cosines and sines; serjax gathers frames as slices, other columns
gather them sample by sample or put them together from blocks of a hop. librosa is called as its users call it, so it
makes its filters anew each time. All yield the same spectrogram, which is checked. Needs librosa.
"""

import argparse
import random
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import librosa
import numpy as np

from serjax.audio import SAMPLE_RATE
from serjax.audio.spectrogram import Spectrogram, log_mel, mel_filters

SIDES = ("librosa", "serjax", "matrix product", "by samples", "by blocks")
CASES = [(batch, n_fft) for n_fft in (400, 1024) for batch in (1, 8)]
HOP, MELS, SECONDS = 160, 64, 3


def product_mel(wave: jax.Array, n_fft: int) -> jax.Array:
    """Transform frames by a product with cosines and sines."""
    angle = 2 * np.pi / n_fft * (np.outer(np.arange(n_fft), np.arange(n_fft // 2 + 1)) % n_fft)
    matrix = np.stack([np.cos(angle), np.sin(angle)], axis=1) * hann(n_fft)[:, None, None]
    spectrum = jnp.einsum("bnw,wcf->bncf", slices(wave, n_fft), matrix.astype(np.float32))
    return filtered(jnp.sum(spectrum**2, axis=2), n_fft)


def fft_mel(wave: jax.Array, n_fft: int, frames: Callable[[jax.Array, int], jax.Array]) -> jax.Array:
    """Transform frames by FFT."""
    spectrum = jnp.fft.rfft(frames(wave, n_fft) * hann(n_fft))
    return filtered(spectrum.real**2 + spectrum.imag**2, n_fft)


def slices(wave: jax.Array, n_fft: int) -> jax.Array:
    starts = jnp.arange(0, wave.shape[1] - n_fft + 1, HOP)
    return jax.vmap(lambda start: jax.lax.dynamic_slice_in_dim(wave, start, n_fft, axis=1), out_axes=1)(starts)


def samples(wave: jax.Array, n_fft: int) -> jax.Array:
    return wave[:, np.arange(0, wave.shape[1] - n_fft + 1, HOP)[:, None] + np.arange(n_fft)]


def blocks(wave: jax.Array, n_fft: int) -> jax.Array:
    count, parts = 1 + (wave.shape[1] - n_fft) // HOP, -(-n_fft // HOP)
    whole = jnp.pad(wave, ((0, 0), (0, -wave.shape[1] % HOP + HOP))).reshape(len(wave), -1, HOP)
    return jnp.concatenate([whole[:, j : j + count] for j in range(parts)], axis=2)[:, :, :n_fft]


def hann(n_fft: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi / n_fft * np.arange(n_fft))).astype(np.float32)


def filtered(power: jax.Array, n_fft: int) -> jax.Array:
    return jnp.einsum("mf,bnf->bmn", mel_filters(n_fft, MELS), power, precision="highest")


def sides(n_fft: int) -> dict[str, Callable[[np.ndarray], Any]]:
    """Return what each side computes."""
    config = Spectrogram(n_fft, n_fft, HOP, MELS, pad_mode="constant", amplitude="power")
    mel = partial(
        librosa.feature.melspectrogram, sr=SAMPLE_RATE, n_fft=n_fft, hop_length=HOP, n_mels=MELS, htk=True, norm=None
    )
    others = [product_mel, partial(fft_mel, frames=samples), partial(fft_mel, frames=blocks)]
    around = ((0, 0), (n_fft // 2, n_fft // 2))
    functions = [lambda wave: log_mel(wave, config)]
    functions += [lambda wave, other=other: other(jnp.pad(wave, around), n_fft) for other in others]
    compiled = [jax.jit(function) for function in functions]
    ours = [lambda wave, function=function: np.asarray(function(wave)) for function in compiled]
    return dict(zip(SIDES, [lambda wave: mel(y=wave), *ours], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    rng = np.random.default_rng(0)
    waves = {case: rng.normal(0, 0.1, (case[0], SECONDS * SAMPLE_RATE)).astype(np.float32) for case in CASES}
    calls = {(case, side): call for case in CASES for side, call in sides(case[1]).items()}
    for (case, side), call in calls.items():
        expected = calls[case, "librosa"](waves[case])
        np.testing.assert_allclose(call(waves[case]), expected, rtol=0, atol=1e-4 * expected.max(), err_msg=side)
    times: dict[Any, list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in random.sample(list(calls.items()), len(calls)):
            call(waves[key[0]])
            begin = time.perf_counter()
            call(waves[key[0]])
            times[key].append(time.perf_counter() - begin)
    milliseconds = {key: 1000 * median(value) for key, value in times.items()}
    print(f"On {jax.devices()[0].device_kind}: clips of {SECONDS} s, hop {HOP}, {MELS} mels; ms a call.\n")
    ratios = [f"{side} / serjax" for side in SIDES if side != "serjax"]
    print("| clips | n_fft |", " | ".join([*ratios, *SIDES]), "|")
    print("|---:|---:|" + "---:|" * (len(ratios) + len(SIDES)))
    for case in CASES:
        row = {side: milliseconds[case, side] for side in SIDES}
        values = [f"{row[side] / row['serjax']:.2f}" for side in SIDES if side != "serjax"]
        print(f"| {case[0]} | {case[1]} |", " | ".join([*values, *(f"{value:.2f}" for value in row.values())]), "|")


if __name__ == "__main__":
    main()
