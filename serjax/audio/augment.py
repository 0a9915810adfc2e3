"""Augmentation on the device: batches of clips in, changed batches out, drawn anew with every key.

Rows are drawn on their own: what happens to one follows from the key and its place in the batch, not from the other
clips (`mix` alone mixes them). Samples behind a clip's length are zeros, and stay so. Every function may be jitted
and mapped; tuples of choices are static.
"""

import math
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from serjax.audio import SAMPLE_RATE
from serjax.audio.decode import decode
from serjax.audio.kinds import AUDIO_SUFFIXES
from serjax.runtime.errors import UserError

SnrChoices = tuple[tuple[float, tuple[float, ...]], ...]
"""Pairs of a probability and the SNRs in dB that share it; no SNRs: the clip stays clean."""

RAVDESS_NOISE: SnrChoices = ((0.5, ()), (0.4, (20.0, 15.0, 10.0)), (0.1, (5.0,)))
"""Half of the clips clean, 40 % at 20, 15 or 10 dB, 10 % at 5 dB."""

_REACH = 16
"""Samples on either side that make up one of a changed speed."""


class Bank(NamedTuple):
    """Recordings of noise, or impulse responses of rooms.

    Attributes:
        wave: Float32 [m s], samples, zeros after the recording's end.
        length: Int32 [m], samples of the recording, at least 1.
    """

    wave: Float[Array, "m s"]
    length: Int[Array, "m"]


def load_bank(folder: str | Path, seconds: float, option: str = "folder") -> Bank:
    """Decode the first `seconds` s of every sound file in `folder` and below, in the order of their paths.

    Args:
        folder: Noise, or impulse responses.
        seconds: Above 0; bounds the bank's memory, at 64 kB a second and file.
        option: What messages call the folder, such as the command-line option that gave it.

    Raises:
        UserError: the folder is missing or holds no sound file, or a file cannot be decoded.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"{option}: {root} is no folder; give a folder of sound files.")
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not paths:
        raise UserError(f"{option}: {root} holds no sound files (.wav, .flac, ...); give a folder that does.")
    clips = [decode(path)[: max(1, round(seconds * SAMPLE_RATE))] for path in paths]
    wave = np.zeros((len(clips), max(map(len, clips))), np.float32)
    for row, clip in zip(wave, clips, strict=True):
        row[: len(clip)] = clip
    return Bank(jnp.asarray(wave), jnp.array([len(clip) for clip in clips], jnp.int32))


def speed(
    key: PRNGKeyArray, wave: Float[Array, "b t"], lengths: Int[Array, "b"], factors: tuple[float, ...] = (1.0, 0.9, 1.1)
) -> tuple[Float[Array, "b t"], Int[Array, "b"]]:
    """Play each clip at one of `factors` times its speed, all as likely, which changes its pitch as well.

    Samples come from a Hann-windowed sinc that passes what both rates can hold. A factor p / q takes p samples to q,
    so its q filters are one convolution of stride p; each factor other than 1 costs one for all clips.

    Args:
        key: Random key.
        wave: Clips.
        lengths: Samples of each.
        factors: Above 1: faster, higher and shorter; taken as fractions of denominators to 100.

    Returns:
        Waves, cut where a slower clip is longer than t, and their lengths, ceil(length / factor) or t.

    Raises:
        UserError: a factor is not from 0.1 to 10.
    """
    if not factors or not all(0.1 <= factor <= 10 for factor in factors):
        raise UserError(f"The factors of a changed speed are {factors}; they must be from 0.1 to 10.")
    width = wave.shape[1]
    chosen = jax.random.randint(key, lengths.shape, 0, len(factors))
    result, counts = wave, lengths
    for number, factor in enumerate(factors):
        ratio = Fraction(factor).limit_denominator(100)
        if ratio == 1:
            continue
        here = chosen == number
        count = jnp.minimum(-(-lengths * ratio.denominator // ratio.numerator), width)
        changed = jnp.where(_within(count, width), _played(wave, ratio), 0)
        result, counts = jnp.where(here[:, None], changed, result), jnp.where(here, count, counts)
    return result, counts


def gain(
    key: PRNGKeyArray, wave: Float[Array, "b t"], low: float = -15.0, high: float = 15.0, probability: float = 1.0
) -> Float[Array, "b t"]:
    """Change the level of each clip, with `probability`, by a gain drawn between `low` and `high` dB."""
    change, draw = jax.random.split(key)
    decibels = jax.random.uniform(draw, (len(wave),), minval=low, maxval=high)
    factor = jnp.where(jax.random.bernoulli(change, probability, (len(wave),)), _amplitude(decibels), 1)
    return wave * factor[:, None]


def mix_noise(
    key: PRNGKeyArray,
    wave: Float[Array, "b t"],
    lengths: Int[Array, "b"],
    bank: Bank | None,
    low: float = 10.0,
    high: float = 50.0,
    probability: float = 1.0,
) -> Float[Array, "b t"]:
    """Add noise to each clip, with `probability`, at an SNR drawn between `low` and `high` dB.

    Arguments and result are those of `add_noise`.
    """
    change, draw, noise = jax.random.split(key, 3)
    snr = jax.random.uniform(draw, lengths.shape, minval=low, maxval=high)
    return add_noise(
        noise, wave, lengths, bank, jnp.where(jax.random.bernoulli(change, probability, lengths.shape), snr, jnp.inf)
    )


def mix_noise_choice(
    key: PRNGKeyArray,
    wave: Float[Array, "b t"],
    lengths: Int[Array, "b"],
    bank: Bank | None,
    choices: SnrChoices = RAVDESS_NOISE,
) -> Float[Array, "b t"]:
    """Add noise to each clip at one of some SNRs, or none.

    Arguments and result are those of `add_noise`.

    Raises:
        UserError: the probabilities of `choices` are negative or do not sum to 1.
    """
    shares = [share for share, _ in choices]
    if min(shares, default=0) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise UserError(f"The probabilities of the SNRs are {shares}; they must be 0 or more and sum to 1.")
    pairs = [(value, share / max(1, len(values))) for share, values in choices for value in values or (math.inf,)]
    values, weights = jnp.array(pairs).T
    draw, noise = jax.random.split(key)
    return add_noise(noise, wave, lengths, bank, jax.random.choice(draw, values, lengths.shape, p=weights))


def add_noise(
    key: PRNGKeyArray,
    wave: Float[Array, "b t"],
    lengths: Int[Array, "b"],
    bank: Bank | None,
    snr: Float[Array, "b"],
) -> Float[Array, "b t"]:
    """Add a random stretch of noise, which starts over where a recording ends, to each clip.

    SNR is 10 log10 of the clip's energy over that of the noise added to it, both over the clip's samples. Silent clips,
    and clips whose stretch of noise is silent, stay as they are.

    Args:
        key: Random key.
        wave: Clips.
        lengths: Samples of each.
        bank: Noise; Gaussian noise where it is None or empty.
        snr: In dB; infinite: nothing is added.
    """
    within = _within(lengths, wave.shape[1])
    if bank is None or len(bank.wave) == 0:
        noise = jax.random.normal(key, wave.shape)
    else:
        noise = _stretches(key, bank, len(wave), wave.shape[1])
    noise = jnp.where(within, noise, 0)
    clip_energy, noise_energy = (jnp.sum(x**2, axis=1, where=within) for x in (wave, noise))
    factor = jnp.sqrt(clip_energy / jnp.where(noise_energy > 0, noise_energy, 1)) * _amplitude(-snr)
    return wave + noise * factor[:, None]


def reverberate(
    key: PRNGKeyArray, wave: Float[Array, "b t"], lengths: Int[Array, "b"], bank: Bank, probability: float = 1.0
) -> Float[Array, "b t"]:
    """Convolve each clip, with `probability`, with a room's impulse response drawn from `bank`.

    Responses are scaled to an energy of 1 and aligned by their peak, the direct path, so that clips stay where they are
    in time; what rings on after a clip's end is cut. Convolution is by FFT.
    """
    change, draw = jax.random.split(key)
    (count, taps), (batch, width) = bank.wave.shape, wave.shape
    size = 1 << (width + taps - 2).bit_length()
    room = bank.wave[jax.random.randint(draw, (batch,), 0, count)]
    energy = jnp.sum(room**2, axis=1, keepdims=True)
    peak = jnp.argmax(jnp.abs(room), axis=1)
    room = room * lax.rsqrt(jnp.where(energy > 0, energy, 1))
    full = jnp.fft.irfft(jnp.fft.rfft(wave, size) * jnp.fft.rfft(room, size), size)
    aligned = jax.vmap(lambda row, start: lax.dynamic_slice(row, (start,), (width,)))(full, peak)
    here = jax.random.bernoulli(change, probability, (batch,))[:, None] & (energy > 0)
    return jnp.where(here, jnp.where(_within(lengths, width), aligned, 0), wave)


def level(wave: Float[Array, "b t"], lengths: Int[Array, "b"], decibels: float = -20.0) -> Float[Array, "b t"]:
    """Scale each clip so that the root mean square of its samples is at `decibels` dB of full scale; silence stays."""
    energy = jnp.sum(wave**2, axis=1, where=_within(lengths, wave.shape[1]))
    scale = _amplitude(decibels) * jnp.sqrt(lengths / jnp.where(energy > 0, energy, 1))
    return wave * jnp.where(energy > 0, scale, 0)[:, None]


def wrap(wave: Float[Array, "b t"], lengths: Int[Array, "b"]) -> tuple[Float[Array, "b t"], Int[Array, "b"]]:
    """Fill all t columns by repeating each clip, column j taking sample j mod length; the lengths become t."""
    width = wave.shape[1]
    places = jnp.arange(width) % jnp.maximum(lengths, 1)[:, None]
    return jnp.take_along_axis(wave, places, axis=1), jnp.full_like(lengths, width)


def spec_augment(
    key: PRNGKeyArray,
    spectrogram: Float[Array, "b m n"],
    frequency: int = 20,
    time: int = 40,
    frequency_masks: int = 2,
    time_masks: int = 2,
    probability: float = 1.0,
    value: float | Float[Array, ""] = 0.0,
) -> Float[Array, "b m n"]:
    """Hide bands of filters and stretches of frames (Park et al., SpecAugment, 2019, without time warping).

    Args:
        key: Random key.
        spectrogram: m filters, n frames.
        frequency: Widest band; each width from 0 to this is as likely, and so is then each place.
        time: Longest stretch of frames, drawn likewise.
        frequency_masks: Bands in a clip; they may overlap.
        time_masks: Stretches in a clip.
        probability: That a clip is masked at all.
        value: What masked values become.
    """
    batch, mels, frames = spectrogram.shape
    change, bands, stretches = jax.random.split(key, 3)
    hidden = (
        _spans(bands, batch, mels, frequency, frequency_masks)[:, :, None]
        | _spans(stretches, batch, frames, time, time_masks)[:, None]
    )
    here = jax.random.bernoulli(change, probability, (batch,))[:, None, None]
    return jnp.where(here & hidden, value, spectrogram)


def _within(lengths: Int[Array, "b"], width: int) -> Bool[Array, "b t"]:
    return jnp.arange(width) < lengths[:, None]


def _amplitude(decibels: Float[Array, "..."] | float) -> Float[Array, "..."]:
    return 10.0 ** (jnp.asarray(decibels) / 20)


def _played(wave: Float[Array, "b t"], ratio: Fraction) -> Float[Array, "b t"]:
    """Return t samples of each wave at `ratio` times its speed."""
    step, count, width = ratio.numerator, ratio.denominator, wave.shape[1]
    cutoff = min(1.0, 1 / float(ratio))
    reach = math.ceil(_REACH / cutoff)
    offset = np.arange(-reach, step + reach)[:, None] - np.arange(count) * float(ratio)
    kernel = np.sinc(cutoff * offset) * np.cos(np.pi / 2 * np.clip(offset / reach, -1, 1)) ** 2
    kernel = (kernel / kernel.sum(axis=0))[:, None].astype(np.float32)
    blocks = -(-width // count)
    needed = blocks * step
    wave = jnp.pad(wave[:, : needed + reach], ((0, 0), (reach, max(0, needed + reach - width))))
    played = lax.conv_general_dilated(
        wave[:, :, None], kernel, (step,), "VALID", dimension_numbers=("NWC", "WIO", "NWC"), precision="highest"
    )
    return played.reshape(len(wave), -1)[:, :width]


def _stretches(key: PRNGKeyArray, bank: Bank, batch: int, width: int) -> Float[Array, "b t"]:
    """Return random stretches of random recordings, which start over at their end."""
    which, where = jax.random.split(key)
    row = jax.random.randint(which, (batch,), 0, len(bank.wave))
    length = bank.length[row]
    start = jax.random.randint(where, (batch,), 0, length)
    return bank.wave[row[:, None], (start[:, None] + jnp.arange(width)) % length[:, None]]


def _spans(key: PRNGKeyArray, batch: int, size: int, widest: int, count: int) -> Bool[Array, "b size"]:
    """Return True within `count` random spans of at most `widest` places each."""
    widths, starts = jax.random.split(key)
    width = jax.random.randint(widths, (batch, count, 1), 0, min(widest, size) + 1)
    start = jax.random.randint(starts, (batch, count, 1), 0, size - width + 1)
    places = jnp.arange(size)
    return jnp.any((places >= start) & (places < start + width), axis=1)
