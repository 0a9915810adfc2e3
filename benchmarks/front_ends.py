"""Mel spectrograms: librosa, the formulation in serjax, and those that were not chosen, side by side.

    python benchmarks/front_ends.py [--rounds 15]

The sides take turns on the same noise; of each turn the second call counts, as the first finds the caches as another
side left them. The transform by a matrix product folds the window into a matrix of cosines and sines; serjax gathers
frames as slices, other columns gather them sample by sample or put them together from blocks of a hop. librosa is
called as its users call it, so it makes its filters anew each time. All yield the same spectrogram, which is checked.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import harness
import jax
import jax.numpy as jnp
import numpy as np

from serjax.audio import SAMPLE_RATE
from serjax.audio.spectrogram import Spectrogram, log_mel, mel_filters
from serjax.runtime.allocator import keep_memory

SIDES = ("serjax", "matrix product", "by samples", "by blocks")
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


def sides(n_fft: int, peers: list[str]) -> dict[str, Callable[[np.ndarray], Any]]:
    """Return the sides' functions of waves."""
    config = Spectrogram(n_fft, n_fft, HOP, MELS, pad_mode="constant", amplitude="power")
    others = [product_mel, partial(fft_mel, frames=samples), partial(fft_mel, frames=blocks)]
    around = ((0, 0), (n_fft // 2, n_fft // 2))
    functions = [lambda wave: log_mel(wave, config)]
    functions += [lambda wave, other=other: other(jnp.pad(wave, around), n_fft) for other in others]
    compiled = [jax.jit(function) for function in functions]
    ours = [lambda wave, function=function: np.asarray(function(wave)) for function in compiled]
    found = dict(zip(SIDES, ours, strict=True))
    if "librosa" in peers:
        import librosa

        given = {"sr": SAMPLE_RATE, "n_fft": n_fft, "hop_length": HOP, "n_mels": MELS, "htk": True, "norm": None}
        found["librosa"] = lambda wave: librosa.feature.melspectrogram(y=wave, **given)
    return found


def main() -> None:
    """Check, measure and publish."""
    options = harness.parser(__doc__, rounds=15, turn=0).parse_args()
    keep_memory()
    names, told = harness.installed({"librosa": ["librosa"]})
    rng, cases = np.random.default_rng(0), {}
    for batch, n_fft in CASES:
        wave = rng.normal(0, 0.1, (batch, SECONDS * SAMPLE_RATE)).astype(np.float32)
        calls = sides(n_fft, names)
        expected = calls["librosa" if names else "serjax"](wave)
        for name, call in calls.items():
            np.testing.assert_allclose(call(wave), expected, rtol=0, atol=1e-4 * expected.max(), err_msg=name)
        cases[f"{batch} clip{'s' * (batch > 1)}, n_fft {n_fft}"] = {
            name: partial(harness.clock, partial(call, wave), options.turn) for name, call in calls.items()
        }
    values = harness.in_turns(cases, options.rounds)
    facts = f"Clips of {SECONDS} s, hop {HOP}, {MELS} mels."
    harness.publish([facts, harness.comparison(values), *told], options, ["librosa"])


if __name__ == "__main__":
    main()
