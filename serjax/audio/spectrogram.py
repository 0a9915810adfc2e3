"""Spectrograms of batches of clips: STFT, mel, logarithm, decibels and MFCC, all under jit.

Definitions follow librosa and torchaudio, which agree in all but their defaults: frames of a periodic Hann window,
shorter windows in the middle of the transform, frames centred on multiples of the hop. What either computes by default
is a matter of options here, and `Spectrogram` holds a set of them. The frequencies of filters follow Young et al., The
HTK Book, section 5.4 (htk), and Slaney, Auditory Toolbox, 1998 (slaney).
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float, Float32, Float64

from serjax.audio import SAMPLE_RATE
from serjax.runtime.errors import UserError

PadMode = Literal["reflect", "constant"]
"""Padding before and after a clip that centres its first frame on sample 0: its mirror image, or zeros."""

Scale = Literal["htk", "slaney"]
MelNorm = Literal["slaney"]

AMIN = 1e-10
"""Power below which logarithms see this value (-100 dB)."""


def _check_window(n_fft: int, win_length: int, hop: int) -> None:
    if not 1 <= win_length <= n_fft:
        raise UserError(f"win_length of the spectrogram is {win_length}; it must be from 1 to n_fft ({n_fft}).")
    if hop < 1:
        raise UserError(f"hop of the spectrogram is {hop}; it must be 1 or more.")


def _check_filters(mels: int, f_min: float, f_max: float) -> None:
    if mels < 1:
        raise UserError(f"mels of the spectrogram is {mels}; it must be 1 or more.")
    if not 0 <= f_min < f_max <= SAMPLE_RATE / 2:
        raise UserError(
            f"The mel filters' f_min is {f_min:g} Hz and f_max {f_max:g} Hz; take 0 <= f_min < f_max <= "
            f"{SAMPLE_RATE // 2} (half the sample rate)."
        )


@dataclass(frozen=True)
class Spectrogram:
    """Settings of `log_mel`.

    Raises:
        UserError: the window is longer than the transform, or the frequencies are not 0 <= f_min < f_max <= 8000 Hz.
    """

    n_fft: int
    """Samples of a transform."""
    win_length: int
    """Samples of the Hann window."""
    hop: int
    """Samples from one frame to the next."""
    mels: int
    """Number of mel filters."""
    pad_mode: PadMode | None = "reflect"
    """Padding by n_fft // 2 on both sides; None: none, frames lie within the clip."""
    power: Literal[1, 2] = 2
    """Filters weigh the magnitude (1) or its square (2)."""
    scale: Scale = "htk"
    """Formula of the mel scale."""
    mel_norm: MelNorm | None = None
    """slaney: filters have the same area instead of the same peak."""
    f_min: float = 0.0
    """Lower edge of the lowest filter, in Hz."""
    f_max: float = SAMPLE_RATE / 2
    """Upper edge of the highest filter, in Hz."""
    amplitude: Literal["power", "log", "db"] = "db"
    """Scale of the result: the filters' output, its natural logarithm, or 10 log10 of it."""
    top_db: float | None = None
    """amplitude=db: nothing lies further below the clip's maximum than this."""
    frames: int | None = None
    """Keep at most this many frames."""

    def __post_init__(self) -> None:
        _check_window(self.n_fft, self.win_length, self.hop)
        _check_filters(self.mels, self.f_min, self.f_max)


EFFICIENTNET = Spectrogram(
    n_fft=1024,
    win_length=400,
    hop=160,
    mels=128,
    pad_mode="constant",
    scale="slaney",
    mel_norm="slaney",
    amplitude="log",
    frames=300,
)
"""128 x 300 values for 3 s: windows of 25 ms; a transform of 512 would leave the lowest of 128 filters a single bin."""

RAVDESS_AUDIO = Spectrogram(n_fft=400, win_length=400, hop=160, mels=64)
"""64 x 301 values for 3 s, as torchaudio's MelSpectrogram and AmplitudeToDB yield them: no top_db."""


def frame_count(samples: int, n_fft: int, hop: int, pad_mode: PadMode | None = "reflect") -> int:
    """Return the number of frames of a clip, 1 + samples // hop if it is padded and n_fft even."""
    around = 0 if pad_mode is None else 2 * (n_fft // 2)
    return 1 + (samples + around - n_fft) // hop


def stft(
    wave: Float[Array, "b t"],
    n_fft: int,
    hop: int,
    win_length: int | None = None,
    pad_mode: PadMode | None = "reflect",
) -> Complex[Array, "b f n"]:
    """Return the short-time Fourier transform, f = n_fft // 2 + 1 bins of 16000 / n_fft Hz.

    Args:
        wave: Clips.
        n_fft: Samples of a transform.
        hop: Samples from one frame to the next.
        win_length: Samples of the Hann window, which stands in the middle of the transform; by default n_fft.
        pad_mode: How clips are padded by n_fft // 2 on both sides; None: not at all.

    Raises:
        UserError: the window is longer than the transform, or the clips are too short for one frame or their mirror.
    """
    win_length = n_fft if win_length is None else win_length
    _check_window(n_fft, win_length, hop)
    samples, half = wave.shape[1], n_fft // 2
    least = {"reflect": half + 1, "constant": 1, None: n_fft}[pad_mode]
    if samples < least:
        raise UserError(
            f"The clips of a spectrogram have {samples} samples, but n_fft {n_fft} with pad_mode {pad_mode} takes "
            f"{least} or more; pad the clips or choose a smaller n_fft."
        )
    count = frame_count(samples, n_fft, hop, pad_mode)
    if pad_mode is not None:
        wave = jnp.pad(wave, ((0, 0), (half, half)), mode=pad_mode)
    left = (n_fft - win_length) // 2
    frames = framed(wave[:, left:], count, win_length, hop) * _hann(win_length)
    frames = jnp.pad(frames, ((0, 0), (0, 0), (left, n_fft - win_length - left)))
    return jnp.fft.rfft(frames).swapaxes(1, 2)


def spectrogram(
    wave: Float[Array, "b t"],
    n_fft: int,
    hop: int,
    win_length: int | None = None,
    pad_mode: PadMode | None = "reflect",
    power: Literal[1, 2] = 2,
) -> Float[Array, "b f n"]:
    """Return the magnitude of `stft` (power 1) or its square (power 2); arguments and errors are those of `stft`."""
    spectrum = stft(wave, n_fft, hop, win_length, pad_mode)
    return jnp.abs(spectrum) if power == 1 else spectrum.real**2 + spectrum.imag**2


def mel_filters(
    n_fft: int,
    mels: int,
    f_min: float = 0.0,
    f_max: float = SAMPLE_RATE / 2,
    scale: Scale = "htk",
    norm: MelNorm | None = None,
) -> Float32[np.ndarray, "m f"]:
    """Return triangular filters whose corners are spaced evenly on the mel scale, each from peak to peak of the next.

    Args:
        n_fft: Samples of the transform that the filters are for.
        mels: Number of filters.
        f_min: Where the lowest begins, in Hz.
        f_max: Where the highest ends, in Hz.
        scale: htk: 2595 log10(1 + f / 700); slaney: linear up to 1 kHz, then logarithmic, 27 mels for a factor of 6.4.
        norm: None: peaks of 1; slaney: areas of 1 (in Hz).

    Raises:
        UserError: the frequencies are not 0 <= f_min < f_max <= 8000 Hz, or there are no filters.
    """
    _check_filters(mels, f_min, f_max)
    low, high = _to_mel(np.array([f_min, f_max], np.float64), scale)
    corners = _to_hertz(np.linspace(low, high, mels + 2), scale)
    bins = np.arange(n_fft // 2 + 1) * (SAMPLE_RATE / n_fft)
    begin, peak, end = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    filters = np.maximum(0, np.minimum((bins - begin) / (peak - begin), (end - bins) / (end - peak)))
    if norm == "slaney":
        filters *= 2 / (end - begin)
    return filters.astype(np.float32)


def log_mel(wave: Float[Array, "b t"], config: Spectrogram) -> Float[Array, "b m n"]:
    """Return the mel spectrogram as `config` says: power, natural logarithm or dB.

    Raises:
        UserError: the clips are too short for one frame or their mirror.
    """
    bins = spectrogram(wave, config.n_fft, config.hop, config.win_length, config.pad_mode, config.power)
    filters = mel_filters(config.n_fft, config.mels, config.f_min, config.f_max, config.scale, config.mel_norm)
    # A GPU's short products would cost the quiet bands their digits.
    mel = jnp.einsum("mf,bfn->bmn", filters, bins[:, :, : config.frames], precision="highest")
    if config.amplitude == "log":
        return natural_log(mel)
    return decibels(mel, config.top_db) if config.amplitude == "db" else mel


def natural_log(power: Float[Array, "b m n"], floor: float = AMIN) -> Float[Array, "b m n"]:
    """Return ln(max(power, floor))."""
    return jnp.log(jnp.maximum(power, floor))


def decibels(power: Float[Array, "b m n"], top_db: float | None = None) -> Float[Array, "b m n"]:
    """Return 10 log10(max(power, 1e-10)), at least each clip's maximum less `top_db`; a power of 1 is 0 dB."""
    values = 10 * jnp.log10(jnp.maximum(power, AMIN))
    if top_db is None:
        return values
    return jnp.maximum(values, jnp.max(values, axis=(1, 2), keepdims=True) - top_db)


def mfcc(mel_db: Float[Array, "b m n"], count: int) -> Float[Array, "b k n"]:
    """Return the first k = `count` mel-frequency cepstral coefficients: the orthonormal DCT-II over filters.

    Args:
        mel_db: Mel spectrogram in dB, as `decibels` returns it.
        count: Number of coefficients, at most that of filters.

    Raises:
        UserError: more coefficients than filters, or none.
    """
    mels = mel_db.shape[1]
    if not 1 <= count <= mels:
        raise UserError(f"{count} MFCC are asked of {mels} mel filters; take from 1 to {mels}.")
    order = np.arange(count)[:, None]
    basis = np.sqrt(2 / mels) * np.cos(np.pi / mels * order * (np.arange(mels) + 0.5))
    basis[0] /= np.sqrt(2)
    return jnp.einsum("km,bmn->bkn", basis.astype(np.float32), mel_db, precision="highest")


def framed(wave: Float[Array, "b t"], count: int, width: int, hop: int) -> Float[Array, "b n w"]:
    """Return `count` frames of `width` samples, one every `hop` samples."""
    # Gathered as slices: on a CPU faster than sample by sample, and than frames put together from blocks of `hop`.
    starts = hop * jnp.arange(count)
    return jax.vmap(lambda start: lax.dynamic_slice_in_dim(wave, start, width, axis=1), out_axes=1)(starts)


def _hann(length: int) -> Float32[np.ndarray, "w"]:
    """Return the periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi / length * np.arange(length))).astype(np.float32)


_KNEE = 1000.0  # Hz
_LINEAR = 200 / 3  # Hz a mel
_LOGARITHMIC = np.log(6.4) / 27


def _to_mel(hertz: Float64[np.ndarray, "..."], scale: Scale) -> Float64[np.ndarray, "..."]:
    if scale == "htk":
        return 2595 * np.log10(1 + hertz / 700)
    above = np.log(np.maximum(hertz, _KNEE) / _KNEE) / _LOGARITHMIC
    return np.minimum(hertz, _KNEE) / _LINEAR + above


def _to_hertz(mels: Float64[np.ndarray, "..."], scale: Scale) -> Float64[np.ndarray, "..."]:
    if scale == "htk":
        return 700 * (10 ** (mels / 2595) - 1)
    knee = _KNEE / _LINEAR
    return np.minimum(mels, knee) * _LINEAR * np.exp(_LOGARITHMIC * np.maximum(mels - knee, 0))
