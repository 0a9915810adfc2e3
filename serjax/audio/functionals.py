"""The 312 hand-made values of a clip that the BiLSTM of mser sees, computed for a batch at once.

What is computed is what yeyupiaoling's mser computes with librosa's defaults (0.9 to 0.11) on 16 kHz: a Hann window of
2048 samples every 512, clips padded with zeros so that frame i is centred on sample 512 i. Formulas are librosa's
(McFee et al. 2015); where those have a source of their own, the function names it. Axes: b batch, t samples,
n = 1 + t // 512 frames, f = 1025 bins from 0 to 8000 Hz.
"""

import math
from functools import cache, partial
from itertools import pairwise
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Float32

from serjax.audio import SAMPLE_RATE
from serjax.audio.spectrogram import decibels, mel_filters, spectrogram
from serjax.audio.spectrogram import mfcc as spectrogram_mfcc
from serjax.runtime.errors import UserError
from serjax.runtime.platform import target_platform

WINDOW, HOP = 2048, 512
"""Samples of a frame, and from one frame to the next."""

MFCC, CHROMA, MEL, CONTRAST = 50, 12, 128, 7
"""Rows of each kind."""

NAMES: tuple[str, ...] = (
    "flatness_mean",
    "zero_crossing_rate_mean",
    "magnitude_mean",
    "magnitude_max",
    "centroid_mean",
    "centroid_std",
    "centroid_max",
    "magnitude_std",
    "pitch_mean",
    "pitch_max",
    "pitch_std",
    "tuning",
    "rms_mean",
    "rms_max",
    "rms_std",
    *(f"mfcc_{statistic}_{i}" for statistic in ("mean", "std", "max") for i in range(MFCC)),
    *(f"chroma_mean_{i}" for i in range(CHROMA)),
    *(f"mel_mean_{i}" for i in range(MEL)),
    *(f"contrast_mean_{i}" for i in range(CONTRAST)),
)
"""Names of the features, in order."""

_HOPS = WINDOW // HOP
_BIN = SAMPLE_RATE / WINDOW
_FREQUENCIES = np.arange(WINDOW // 2 + 1) * _BIN
_FLOOR = 1e-10
"""Powers below this count as this."""


@partial(jax.jit, static_argnames="pitch")
def functionals(wave: Float[Array, "b t"], *, pitch: Literal["frame", "original"] = "frame") -> Float[Array, "b 312"]:
    """Return the values that `NAMES` names; digital silence has finite values too.

    The centroid is divided by its sum over frames, as in the original, so its mean only tells how many frames there
    are.

    Args:
        wave: Samples at 16 kHz, every row a full clip: rows do not know where padding begins.
        pitch: Which bin of a frame is its pitch. frame: the strongest between 70 and 400 Hz. original: the one that
            is strongest in the clip's second frame, for all frames, as mser has it; models that were trained by mser
            need it.

    Raises:
        UserError: clips of less than one hop (32 ms), or another `pitch`.
    """
    if pitch not in ("frame", "original"):
        raise UserError(f"pitch is {pitch!r}; it must be 'frame' or 'original'.")
    if wave.shape[1] < HOP:
        raise UserError(f"The clips have {wave.shape[1]} samples; functionals need {HOP} (32 ms) or more.")
    if target_platform() != "cpu":
        return _values(wave, pitch)
    # One clip's spectrum fits into a core's cache, that of a batch does not.
    return lax.map(lambda row: _values(row[None], pitch)[0], wave)


def _values(wave: Float[Array, "b t"], pitch: str) -> Float[Array, "b 312"]:
    magnitude = spectrum(wave)
    centre = centroid(magnitude)
    centre = _divide(centre, jnp.sum(centre, axis=1, keepdims=True))
    pitches, strengths = pitch_track(magnitude)
    deciding = strengths if pitch == "frame" else strengths[:, :, 1:2]
    followed = jnp.take_along_axis(pitches, jnp.argmax(deciding, axis=1, keepdims=True), axis=1)[:, 0]
    followed = jnp.where(deciding.any(1), followed, 0)
    level = rms(magnitude)
    energies = mel(magnitude)
    coefficients = mfcc(energies)
    scalars = [
        flatness(magnitude).mean(1),
        zero_crossing_rate(wave).mean(1),
        magnitude.mean((1, 2)),
        magnitude.max((1, 2)),
        centre.mean(1),
        centre.std(1),
        centre.max(1),
        magnitude.std((1, 2)),
        followed.mean(1),
        followed.max(1),
        followed.std(1),
        tuning(pitches),
        level.mean(1),
        level.max(1),
        level.std(1),
    ]
    rows = [
        coefficients.mean(2),
        coefficients.std(2),
        coefficients.max(2),
        chroma(magnitude).mean(2),
        energies.mean(2),
        contrast(magnitude).mean(2),
    ]
    return jnp.concatenate([jnp.stack(scalars, axis=1), *rows], axis=1)


def spectrum(wave: Float[Array, "b t"]) -> Float[Array, "b f n"]:
    """Return the magnitudes |S| of the short-time Fourier transform."""
    return spectrogram(wave, WINDOW, HOP, pad_mode="constant", power=1)


def flatness(magnitude: Float[Array, "b f n"]) -> Float[Array, "b n"]:
    """Return the geometric over the arithmetic mean of the power: 1 for white noise, near 0 for a tone."""
    power = jnp.maximum(magnitude**2, _FLOOR)
    return jnp.exp(jnp.log(power).mean(1)) / power.mean(1)


def zero_crossing_rate(wave: Float[Array, "b t"]) -> Float[Array, "b n"]:
    """Return the share of a frame's samples whose sign is not that of the sample before; 0 counts as positive."""
    negative = jnp.pad(wave < -_FLOOR, ((0, 0), (WINDOW // 2, WINDOW // 2)), mode="edge")
    changes = _hops(jnp.pad(negative[:, 1:] != negative[:, :-1], ((0, 0), (1, 0)))).astype(jnp.float32)
    each = changes.sum(2)
    count = each.shape[1] - _HOPS + 1
    whole = sum(each[:, i : i + count] for i in range(_HOPS))
    # A frame's first sample has no sample before it.
    return (whole - changes[:, :count, 0]) / WINDOW


def centroid(magnitude: Float[Array, "b f n"]) -> Float[Array, "b n"]:
    """Return the mean frequency in Hz, weighted by magnitude; 0 in silence."""
    weighted = jnp.einsum("f,bfn->bn", _FREQUENCIES.astype(np.float32), magnitude)
    return _divide(weighted, magnitude.sum(1))


def rms(magnitude: Float[Array, "b f n"]) -> Float[Array, "b n"]:
    """Return the root mean square of each windowed frame, by Parseval's theorem from its spectrum.

    mser takes it from the spectrum as well; the window makes it about 0.61 times that of the samples.
    """
    twice = np.full(len(_FREQUENCIES), 2 / WINDOW**2, np.float32)
    twice[[0, -1]] /= 2
    return jnp.sqrt(jnp.einsum("f,bfn->bn", twice, magnitude**2))


def pitch_track(
    magnitude: Float[Array, "b f n"], low: float = 70.0, high: float = 400.0
) -> tuple[Float[Array, "b p n"], Float[Array, "b p n"]]:
    """Return frequencies in Hz and magnitudes of the spectrum's peaks, refined by parabolas; 0 where no peak is.

    A peak is a local maximum above a tenth of its frame's maximum. Parabolas: Smith, Spectral Audio Signal
    Processing, "Quadratic interpolation of spectral peaks".

    Args:
        magnitude: Of the whole spectrum.
        low: Lowest frequency in Hz, above that of the first bin.
        high: Highest frequency in Hz, itself excluded. Only the p bins between them are returned.
    """
    first, stop = math.ceil(low / _BIN), math.ceil(high / _BIN)
    below, here, above = (magnitude[:, first + i : stop + i] for i in (-1, 0, 1))
    slope, curvature = (above - below) / 2, above + below - 2 * here
    steep = jnp.abs(slope) >= jnp.abs(curvature)
    shift = jnp.where(steep, 0, -slope / jnp.where(steep, 1, curvature))
    peak = (here > below) & (here >= above) & (here > 0.1 * magnitude.max(1, keepdims=True))
    frequency = (np.arange(first, stop, dtype=np.float32)[:, None] + shift) * _BIN
    return jnp.where(peak, frequency, 0), jnp.where(peak, here + slope * shift / 2, 0)


def tuning(pitches: Float[Array, "b p n"]) -> Float[Array, "b"]:
    """Return the most common distance of pitches in Hz from the next semitone (A4 = 440 Hz), in semitones -0.5..0.49.

    Distances are counted in steps of 0.01; 0 where no pitch is above 0 Hz.
    """
    sounding = pitches > 0
    semitones = 12 * jnp.log2(jnp.where(sounding, pitches, 27.5) / 27.5)
    step = jnp.where(sounding, ((semitones + 0.5) % 1) * 100, 100).astype(jnp.uint8).reshape(pitches.shape[0], 1, -1)
    # Counted as a product of tens and ones: adding up one by one takes three times as long on a CPU.
    digit = np.arange(10, dtype=np.uint8)[:, None]
    tens, ones = (step // 10 == digit).astype(jnp.float32), (step % 10 == digit).astype(jnp.float32)
    counts = jnp.einsum("bip,bjp->bij", tens, ones, precision="highest").reshape(pitches.shape[0], 100)
    return jnp.where(sounding.any((1, 2)), jnp.argmax(counts, axis=1) / 100 - 0.5, 0)


def mel(magnitude: Float[Array, "b f n"]) -> Float[Array, "b 128 n"]:
    """Return the power in 128 mel bands of equal area from 0 to 8000 Hz (Slaney, Auditory Toolbox, 1998)."""
    return jnp.einsum("mf,bfn->bmn", _mel_filters(), magnitude**2, precision="highest")


def mfcc(energies: Float[Array, "b 128 n"]) -> Float[Array, "b 50 n"]:
    """Return the orthonormal cosine transform (DCT-II) of mel power in dB, at most 80 dB below the clip's loudest."""
    return spectrogram_mfcc(decibels(energies, 80), MFCC)


def chroma(magnitude: Float[Array, "b f n"], offset: Float[Array, "b"] | None = None) -> Float[Array, "b 12 n"]:
    """Return how strong each pitch class from C to B is, the strongest of a frame being 1 (Ellis, 2007).

    Args:
        magnitude: Of the whole spectrum. The original takes magnitudes here, not powers.
        offset: Each clip's tuning in semitones; by default the `tuning` of its peaks from 150 to 4000 Hz that are as
            strong as their median, or stronger.
    """
    if offset is None:
        found = pitch_track(magnitude, 150, 4000)
        # Of two neighbouring bins at most one is a peak.
        pitches, strengths = (x[:, ::2] + jnp.pad(x[:, 1::2], ((0, 0), (0, x.shape[1] % 2), (0, 0))) for x in found)
        offset = tuning(jnp.where(_upper_half(strengths), pitches, 0))
    raw = jnp.einsum("bcf,bfn->bcn", _chroma_filters(offset), magnitude)
    return _divide(raw, raw.max(1, keepdims=True))


def contrast(magnitude: Float[Array, "b f n"]) -> Float[Array, "b 7 n"]:
    """Return by how many dB peaks exceed valleys in 7 bands (Jiang et al. 2002): 0-200 Hz, then octaves from 200 Hz.

    Peaks and valleys are the means of a band's 2 % largest and smallest magnitudes. The last octave, 6400-12800 Hz, is
    cut at 8000 Hz, which librosa accepts because the band begins below it.
    """
    edges = np.array([0, *(200 * 2 ** np.arange(CONTRAST))])
    peaks, valleys = [], []
    for k, (low, high) in enumerate(pairwise(edges)):
        # Each band begins one bin early and, but for the last, ends one bin early; its 2 % are of all these bins.
        first = math.ceil(low / _BIN) - (k > 0)
        stop = min(math.floor(high / _BIN) + 1, len(_FREQUENCIES))
        count = max(1, round(0.02 * (stop - first)))
        band = magnitude[:, first : stop - (k < CONTRAST - 1)]
        peaks.append(_mean_of_largest(band, count))
        valleys.append(-_mean_of_largest(-band, count))
    return decibels(jnp.stack(peaks, axis=1), 80) - decibels(jnp.stack(valleys, axis=1), 80)


def _hops(padded: Array) -> Array:
    """Cut [b, t] into [b, n + 3, 512], of which frame i is i to i + 3."""
    return padded[:, : padded.shape[1] // HOP * HOP].reshape(padded.shape[0], -1, HOP)


def _divide(x: Float[Array, "..."], by: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return x / by, and x where `by` is 0."""
    return x / jnp.where(by < jnp.finfo(by.dtype).tiny, 1, by)


def _mean_of_largest(x: Float[Array, "b f n"], count: int) -> Float[Array, "b n"]:
    """Return the mean of the `count` largest of f values, without sorting them."""
    top = x.max(1)
    if count == 1:
        return top

    def step(_: int, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        total, left, top = carry
        taken = jnp.minimum(jnp.sum(x == top[:, None], axis=1, dtype=x.dtype), left)
        total, left = total + taken * top, left - taken
        # Where all values are taken the maximum is over nothing; the last one stays, and is not taken again.
        return total, left, jnp.where(left > 0, jnp.where(x < top[:, None], x, -jnp.inf).max(1), top)

    return lax.fori_loop(0, count, step, (jnp.zeros_like(top), jnp.full_like(top, count), top))[0] / count


def _upper_half(x: Float[Array, "b p n"]) -> Bool[Array, "b p n"]:
    """Return which of a clip's values, none below 0, are no less than the median of those above 0."""
    # Floats from 0 up are ordered as their bits are, so 31 counts find one of them exactly; a sort takes longer.
    bits = lax.bitcast_convert_type(x, jnp.int32)
    zeros = jnp.sum(bits == 0, axis=(1, 2))
    rank = zeros + (x[0].size - zeros) // 2

    def step(i: int, found: Array) -> Array:
        trial = found | (1 << (30 - i))
        below = jnp.sum(bits < trial[:, None, None], axis=(1, 2))
        return jnp.where(below <= rank, trial, found)

    median = lax.fori_loop(0, 31, step, jnp.zeros_like(rank))
    return bits >= median[:, None, None]


@cache
def _mel_filters() -> Float32[np.ndarray, "128 f"]:
    return mel_filters(WINDOW, MEL, scale="slaney", norm="slaney")


def _chroma_filters(offset: Float[Array, "b"]) -> Float[Array, "b 12 f"]:
    """Return Gaussian bumps around each pitch class, weighted by a broad Gaussian around A5 (880 Hz)."""
    semitones = 12 * np.log2(np.maximum(_FREQUENCIES, 1) / 27.5)
    semitones[0] = semitones[1] - 18  # the bin of 0 Hz is put one octave and a half below the next
    width = np.maximum(np.diff(semitones, append=12 * math.log2((SAMPLE_RATE / 2 + _BIN) / 27.5)), 1)
    height = jnp.asarray(semitones, jnp.float32) - offset[:, None]
    # 27.5 Hz is an A, the tenth class.
    distance = (height[:, None] + 9 - np.arange(CHROMA)[:, None] + 6) % 12 - 6
    bumps = jnp.exp(-0.5 * (2 * distance / width.astype(np.float32)) ** 2)
    bumps = bumps / jnp.sqrt(jnp.sum(bumps**2, axis=1, keepdims=True))
    return bumps * jnp.exp(-0.5 * ((height / 12 - 5) / 2) ** 2)[:, None]
