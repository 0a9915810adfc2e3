"""Speech-like sound from numbers: a saw tooth through moving formants, and noise for consonants."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex64, Float32, Float64

from serjax.audio import SAMPLE_RATE

VOWELS = np.array(
    [
        [270, 2290, 3010, 3500],
        [530, 1840, 2480, 3500],
        [730, 1090, 2440, 3500],
        [570, 840, 2410, 3400],
        [300, 870, 2240, 3300],
        [490, 1350, 1690, 3300],
    ],
    np.float64,
)
"""Formants in Hz of i, e, a, o, u and r as men speak them (Peterson & Barney 1952); the fourth is a typical value."""

HISSES = np.array([[5500.0, 2000.0], [3200.0, 1500.0], [4200.0, 3000.0], [1900.0, 1200.0]])
"""Centre and bandwidth in Hz of the noise of s, sh, t and k. The first two last, the others burst."""

_BANDWIDTHS = np.array([70.0, 90.0, 130.0, 200.0])
"""Of these formants, in Hz."""

_HIGHER = np.array([4500.0, 5500.0, 6500.0, 7500.0])
"""Formants in Hz that no vowel moves. They only keep the spectrum from falling too fast."""

_HOP, _WINDOW, _FFT = 128, 512, 1024
"""Samples: every 8 ms the mouth has another shape, which acts on a window of 32 ms and may ring on as long again."""

_FREQUENCIES = np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE)


@dataclass(frozen=True)
class Voice:
    """A speaker.

    Attributes:
        pitch: base pitch, in Hz.
        size: a factor on all formants; larger for a shorter vocal tract.
        brightness: slope of the spectrum above 500 Hz, in dB an octave.
        tempo: in syllables a second.
    """

    pitch: float
    size: float
    brightness: float
    tempo: float


@dataclass(frozen=True)
class Manner:
    """Prosody of an emotion, relative to the speaker's plain voice.

    Attributes:
        pitch: height, in semitones.
        movement: of pitch from syllable to syllable; a factor.
        slope: of pitch from the first to the last syllable, in semitones.
        tempo: a factor.
        level: in dB.
        brightness: in dB an octave.
        breath: noise in the voice; a factor.
    """

    pitch: float
    movement: float
    slope: float
    tempo: float
    level: float
    brightness: float
    breath: float


@dataclass(frozen=True)
class Syllable:
    """A consonant (row of `HISSES`, None for a voiced one) and a vowel (row of `VOWELS`), stressed or not."""

    consonant: int | None
    vowel: int
    stressed: bool


def speak(text: Sequence[Syllable], voice: Voice, manner: Manner, rng: np.random.Generator) -> Float32[np.ndarray, "t"]:
    """Say a text of some syllables.

    The source is a saw tooth: it falls by 6 dB an octave, as does the pulse of the glottis after the lips have
    radiated it (Fant 1960). Formants are resonators in a row (Klatt 1980).

    Returns:
        About 1.0 to 2.2 s at 16 kHz, within -1..1, with a little noise of a room.
    """
    starts, durations, seconds = _rhythm(len(text), voice.tempo * manner.tempo, rng)
    middles = starts + 0.6 * durations
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE

    accents = np.array([rng.normal(1.5 if syllable.stressed else -0.5, 1.2) for syllable in text])
    semitones = manner.pitch + manner.movement * accents + manner.slope * np.linspace(-0.5, 0.5, len(text))
    pitch = voice.pitch * 2 ** ((np.interp(time, middles, semitones) + _jitter(len(time), rng)) / 12)
    voiced, hissing = _loudness(text, starts, durations, time, rng)
    source = voiced * (_saw_tooth(pitch) + 0.03 * manner.breath * rng.standard_normal(len(time)))
    noise = hissing * rng.standard_normal(len(time))

    frames = time[::_HOP]
    vowels = VOWELS[[syllable.vowel for syllable in text]]
    formants = voice.size * np.stack([np.interp(frames, middles, column) for column in vowels.T], axis=1)
    now = np.searchsorted(starts + durations, frames).clip(max=len(text) - 1)
    hisses = np.array([syllable.consonant or 0 for syllable in text])[now]
    spectra = _spectra(source) * _tract(formants, voice.brightness + manner.brightness)
    speech = _overlap_add(spectra + _spectra(noise) * _band(HISSES)[hisses], len(time))
    speech *= 10 ** ((manner.level - 26) / 20) / np.sqrt(np.mean(speech**2))
    speech += _room(len(time), rng)
    return (speech / max(1.0, np.abs(speech).max() / 0.95)).astype(np.float32)


def _rhythm(
    count: int, tempo: float, rng: np.random.Generator
) -> tuple[Float64[np.ndarray, "s"], Float64[np.ndarray, "s"], float]:
    """Return where the syllables start and how long they are, and the length of the whole, all in s."""
    durations = rng.lognormal(0.0, 0.12, count) / tempo
    durations[-1] *= 1.3  # phrases end slowly
    pauses = np.zeros(count)
    pauses[count // 2] = rng.uniform(0.05, 0.2) * (rng.random() < 0.4)
    spoken = durations.sum() + pauses.sum()
    factor = np.clip(spoken, 0.88, 1.9) / spoken
    lead, tail = rng.uniform(0.06, 0.15, 2)
    starts = lead + factor * (np.cumsum(durations + pauses) - durations)
    return starts, factor * durations, float(starts[-1] + factor * durations[-1] + tail)


def _loudness(
    text: Sequence[Syllable],
    starts: Float64[np.ndarray, "s"],
    durations: Float64[np.ndarray, "s"],
    time: Float64[np.ndarray, "t"],
    rng: np.random.Generator,
) -> tuple[Float64[np.ndarray, "t"], Float64[np.ndarray, "t"]]:
    """Return the amplitudes of voice and hiss: a consonant, then a vowel that rises and fades."""
    voiced, hissing = [], []
    for syllable in text:
        vowel = (1.0 if syllable.stressed else 0.7) * rng.lognormal(0.0, 0.15)
        hiss = 0.0 if syllable.consonant is None else 0.12 * rng.lognormal(0.0, 0.3)
        closed = 0.35 if syllable.consonant is None else 0.02
        bursts = syllable.consonant is not None and syllable.consonant >= 2
        voiced.append([0.02, closed, closed, vowel, 0.85 * vowel, 0.02])
        hissing.append([0.0, 0.0 if bursts else hiss, 2 * hiss if bursts else hiss, 0.0, 0.0, 0.0])
    keys = (starts[:, None] + durations[:, None] * [0.0, 0.08, 0.3, 0.45, 0.8, 1.0]).ravel()
    voice = np.interp(time, keys, np.ravel(voiced), left=0.0, right=0.0)
    return voice, np.interp(time, keys, np.ravel(hissing), left=0.0, right=0.0)


def _jitter(length: int, rng: np.random.Generator) -> Float64[np.ndarray, "t"]:
    """Return small unsteadiness of pitch in semitones, new every 8 ms."""
    steps = rng.normal(0.0, 0.2, length // _HOP + 2)
    return np.interp(np.arange(length) / _HOP, np.arange(len(steps)), steps)


def _saw_tooth(pitch: Float64[np.ndarray, "t"]) -> Float64[np.ndarray, "t"]:
    """Return a saw tooth of moving pitch (Hz) whose jumps are rounded over two samples against aliasing (PolyBLEP)."""
    step = pitch / SAMPLE_RATE
    phase = np.cumsum(step) % 1.0
    after, before = phase / step, (phase - 1.0) / step
    wave = 2.0 * phase - 1.0
    wave -= np.where(after < 1.0, 2.0 * after - after**2 - 1.0, 0.0)
    wave -= np.where(before > -1.0, before**2 + 2.0 * before + 1.0, 0.0)
    return wave


def _tract(formants: Float64[np.ndarray, "n 4"], brightness: float) -> Complex64[np.ndarray, "n f"]:
    """Return the response of the mouth: resonances at the formants, times a slope above 500 Hz."""
    slope = 10 ** (brightness * np.log2(np.maximum(_FREQUENCIES, 500.0) / 500.0) / 20)
    response = slope.astype(np.float32) * np.prod(_resonance(_HIGHER, 400.0), axis=0)
    for centres, width in zip(formants.T, _BANDWIDTHS, strict=True):
        response = response * _resonance(centres, width)
    return response


def _resonance(
    centres: Float64[np.ndarray, "n"], widths: Float64[np.ndarray, "n"] | float
) -> Complex64[np.ndarray, "n f"]:
    """Return the response of digital resonators (Klatt 1980) at `centres` (Hz), with a gain of 1 at 0 Hz."""
    radius = np.broadcast_to(np.exp(-np.pi * widths / SAMPLE_RATE), centres.shape)
    first, second = 2 * radius * np.cos(2 * np.pi * centres / SAMPLE_RATE), -(radius**2)
    delay = np.exp(-2j * np.pi * _FREQUENCIES / SAMPLE_RATE).astype(np.complex64)
    first, second = (track[:, None].astype(np.float32) for track in (first, second))
    return (1 - first - second) / (1 - (first + second * delay) * delay)


def _band(hisses: Float64[np.ndarray, "h 2"]) -> Complex64[np.ndarray, "h f"]:
    """Return the response of band passes of second order, with a gain of 1 at their centre."""
    centres, widths = hisses.T[:, :, None]
    through = 1j * _FREQUENCIES * widths
    return (through / (centres**2 - _FREQUENCIES**2 + through)).astype(np.complex64)


def _spectra(samples: Float64[np.ndarray, "t"]) -> Complex64[np.ndarray, "n f"]:
    """Return the spectra of Hann windows centred on every hop."""
    padded = np.pad(samples.astype(np.float32), _WINDOW // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[: len(samples) : _HOP]
    return np.fft.rfft(windows * np.hanning(_WINDOW + 1)[:-1].astype(np.float32), _FFT)


def _overlap_add(spectra: Complex64[np.ndarray, "n f"], length: int) -> Float32[np.ndarray, "t"]:
    """Return the sound whose windows have these spectra."""
    windows = np.fft.irfft(spectra, _FFT).reshape(len(spectra), -1, _HOP)
    sound = np.zeros((len(spectra) + windows.shape[1] - 1, _HOP), np.float32)
    for k in range(windows.shape[1]):
        sound[k : k + len(spectra)] += windows[:, k]
    scale = _WINDOW // _HOP / 2  # what shifted Hann windows add up to
    return sound.ravel()[_WINDOW // 2 :][:length] / scale


def _room(length: int, rng: np.random.Generator) -> Float64[np.ndarray, "t"]:
    """Return noise of -60 to -50 dB that falls by 3 dB an octave."""
    spectrum = np.fft.rfft(rng.standard_normal(1 << length.bit_length()))  # other lengths can take ten times as long
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)))[:length]
    return noise * 10 ** (rng.uniform(-60.0, -50.0) / 20) / np.sqrt(np.mean(noise**2))
