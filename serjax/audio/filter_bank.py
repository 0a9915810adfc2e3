"""Kaldi's log-mel filter bank, as the encoders that were trained on it hear it.

Definitions are those of Kaldi's compute-fbank-feats, of torchaudio.compliance.kaldi and of transformers'
SeamlessM4TFeatureExtractor, without dither: frames of 25 ms every 10 ms that lie within the clip, each without its
mean, with a preemphasis of 0.97, in the "povey" window (Hann to the power of 0.85), at the scale of 16-bit integers.

The last of these computes in double precision, and a logarithm shows it: beside a loud hum or vowel the rounding of
single precision is as large as what a quiet band holds. So all up to the spectrum is one matrix, made in double
precision, and matrix and samples are cut into parts of 7 bits, whose products add up in single precision without any
rounding (Ozaki et al., "Error-free transformations of matrix multiplication", 2012).
"""

from functools import cache

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32, Float64

from serjax.audio import SAMPLE_RATE
from serjax.audio.spectrogram import framed

WIDTH = 400
"""Samples of a frame, 25 ms."""
HOP = 160
"""Samples from one frame to the next, 10 ms."""
N_FFT = 512
"""Samples of a transform; a frame stands at their beginning."""
PREEMPHASIS = 0.97
FLOOR = 2.0**-23
"""Power below which the logarithm sees this value."""
LOWEST = 20.0
"""Hz at which the lowest filter begins; the highest ends at half the sample rate."""
_BITS = 7
"""Bits of a part: 400 products of two add up to less than 2 ** 24."""


def filter_bank(wave: Float[Array, "b t"], mels: int) -> Float32[Array, "b n m"]:
    """Return the natural logarithm of each filter's power, of n = 1 + (t - 400) // 160 frames.

    Args:
        wave: Samples at 16 kHz between -1 and 1, t at least 400.
        mels: Number of filters.
    """
    scaled = wave.astype(jnp.float32) * 2**15
    spectrum = _transformed(framed(scaled, 1 + (wave.shape[1] - WIDTH) // HOP, WIDTH, HOP))
    power = jnp.sum(jnp.square(spectrum).reshape(*spectrum.shape[:2], 2, -1), axis=2)
    # A GPU's short products would cost the quiet bands their digits.
    mel = jnp.einsum("bnf,mf->bnm", power, kaldi_filters(mels), precision="highest")
    return jnp.log(jnp.maximum(mel, FLOOR))


def kaldi_filters(mels: int) -> Float32[np.ndarray, "m f"]:
    """Return filters that are triangles along 1127 ln(1 + f / 700), each from peak to peak of the next."""
    bins = _to_mel(np.arange(N_FFT // 2 + 1) * (SAMPLE_RATE / N_FFT))
    low, high = _to_mel(np.array([LOWEST, SAMPLE_RATE / 2]))
    corners = np.linspace(low, high, mels + 2)
    begin, peak, end = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    filters = np.maximum(0, np.minimum((bins - begin) / (peak - begin), (end - bins) / (end - peak)))
    return filters.astype(np.float32)


def _to_mel(hertz: Float64[np.ndarray, "f"]) -> Float64[np.ndarray, "f"]:
    return 1127 * np.log(1 + hertz / 700)


def _transformed(frames: Float32[Array, "b n w"]) -> Float32[Array, "b n f"]:
    """Return the real and then the imaginary parts of the spectrum of frames."""

    def product(part: Float32[Array, "b n w"], matrix: np.ndarray) -> Float32[Array, "b n f"]:
        return jnp.einsum("bnw,wf->bnf", part, matrix, precision="highest")

    first, second, third = _matrices()
    loudest = jnp.maximum(jnp.max(jnp.abs(frames), axis=2, keepdims=True), 2.0**-60)
    # Its exponent's bits alone are the power of two below it: no logarithm is exact on all devices.
    exponent = lax.bitcast_convert_type(loudest, jnp.int32) >> 23 << 23
    step = lax.bitcast_convert_type(exponent, jnp.float32) * 2.0 ** (1 - _BITS)
    high = jnp.round(frames / step) * step
    rest = frames - high
    step = step / 2**_BITS
    middle = jnp.round(rest / step) * step
    low = rest - middle
    rounded = product(low, first) + product(rest, second) + product(frames, third)
    return product(high, first) + (product(middle, first) + product(high, second)) + rounded


@cache
def _matrices() -> tuple[Float32[np.ndarray, "w f"], Float32[np.ndarray, "w f"], Float32[np.ndarray, "w f"]]:
    """Return three matrices whose sum takes a frame's mean out, emphasises, windows and transforms it."""
    centred = np.eye(WIDTH) - 1 / WIDTH
    # The first sample is its own predecessor.
    emphasised = centred - PREEMPHASIS * centred[[0, *range(WIDTH - 1)]]
    windowed = np.hanning(WIDTH)[:, None] ** 0.85 * emphasised
    angle = 2 * np.pi / N_FFT * (np.arange(N_FFT // 2 + 1)[:, None] * np.arange(WIDTH) % N_FFT)
    whole = (np.concatenate([np.cos(angle), -np.sin(angle)]) @ windowed).T
    parts, step = [], 2.0 ** (np.ceil(np.log2(np.abs(whole).max())) - _BITS)
    for _ in range(2):
        parts.append(np.round(whole / step) * step)
        whole, step = whole - parts[-1], step / 2**_BITS
    first, second, third = (part.astype(np.float32) for part in (*parts, whole))
    return first, second, third
