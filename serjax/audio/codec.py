"""Sound as a telephone line, MP3 or Opus leaves it: encoded and decoded in memory by FFmpeg."""

import io
from typing import NamedTuple

import numpy as np
import soxr
from jaxtyping import Float32

from serjax.audio import SAMPLE_RATE
from serjax.audio.config import Codec
from serjax.runtime.errors import MissingPackage, UserError

try:
    import av
    from av.audio.stream import AudioStream
except ImportError:
    raise MissingPackage("PyAV", "video", "Clips are passed through codecs") from None

TELEPHONE_BAND = (300.0, 3400.0)
"""Pass band in Hz of a telephone channel (ITU-T G.712)."""


class _Coding(NamedTuple):
    """Encoder of FFmpeg, the container that keeps its delay, rate in Hz, and bits a second where they are chosen."""

    encoder: str
    container: str
    rate: int
    bit_rate: int | None


# The lowest usual rates for speech: what they leave of a voice is what recordings from calls and chats sound like.
_CODINGS: dict[Codec, _Coding] = {
    "telephone": _Coding("pcm_mulaw", "wav", 8_000, None),
    "mp3": _Coding("libmp3lame", "mp3", SAMPLE_RATE, 32_000),
    "opus": _Coding("libopus", "ogg", SAMPLE_RATE, 16_000),
}


def coded(wave: Float32[np.ndarray, "t"], codec: Codec) -> Float32[np.ndarray, "t"]:
    """Return samples after a codec, in their place in time and at their level.

    telephone: 300 to 3400 Hz, without shift of phase, and G.711 mu-law at 8 kHz. mp3: 32 kbit/s (LAME). opus: 16
    kbit/s. The delay of encoders is cut off, and the root mean square is that of the samples given: what lies below a
    telephone's band is most of a voice's power, and training changes the level by a setting of its own.

    Args:
        wave: Samples at 16 kHz.
        codec: One of them.

    Raises:
        UserError: The FFmpeg of PyAV was built without the encoder.
    """
    power = float(np.mean(np.square(wave, dtype=np.float64))) if len(wave) else 0.0
    if not power:
        return wave
    coding = _CODINGS[codec]
    sent = _telephone_band(wave) if codec == "telephone" else wave
    if coding.rate != SAMPLE_RATE:
        sent = soxr.resample(sent, SAMPLE_RATE, coding.rate, quality="HQ")
    received, rate = _decode(_encode(np.clip(sent, -1, 1), coding))
    if rate != SAMPLE_RATE:
        received = soxr.resample(received, rate, SAMPLE_RATE, quality="HQ")
    result = np.zeros(len(wave), np.float32)
    result[: len(received)] = received[: len(wave)]
    left = float(np.mean(np.square(result, dtype=np.float64)))
    # A silent rest has no level that could be restored.
    return result if not left else (result * np.sqrt(power / left)).astype(np.float32)


def _telephone_band(wave: Float32[np.ndarray, "t"]) -> Float32[np.ndarray, "t"]:
    """Filter forwards and backwards, so that nothing is shifted: 6 dB down at the ends of the band."""
    from scipy.signal import butter, sosfiltfilt

    sections = butter(4, TELEPHONE_BAND, "bandpass", fs=SAMPLE_RATE, output="sos")
    padding = min(3 * (2 * len(sections) + 1), len(wave) - 1)
    return sosfiltfilt(sections, wave.astype(np.float64), padlen=padding).astype(np.float32)


def _encode(wave: Float32[np.ndarray, "t"], coding: _Coding) -> io.BytesIO:
    """Return a file, whose header says by how much the encoder delays the sound."""
    file = io.BytesIO()
    with av.open(file, "w", format=coding.container) as container:
        try:
            stream = container.add_stream(coding.encoder, rate=coding.rate, layout="mono")
        except av.codec.codec.UnknownCodecError:
            raise UserError(
                f"The FFmpeg of PyAV {av.__version__} has no encoder {coding.encoder}; install a PyAV that has it (its "
                "wheels on PyPI do), or leave this codec out of --augment.codec."
            ) from None
        assert isinstance(stream, AudioStream)
        if coding.bit_rate:
            stream.bit_rate = coding.bit_rate
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[None], np.float32), "flt", "mono")
        frame.rate = coding.rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    file.seek(0)
    return file


def _decode(file: io.BytesIO) -> tuple[Float32[np.ndarray, "t"], int]:
    """Return the samples of a file, without the encoder's delay, and their rate."""
    with av.open(file, "r") as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="flt", layout="mono", rate=stream.rate)
        pieces = [piece.to_ndarray()[0] for frame in container.decode(stream) for piece in resampler.resample(frame)]
        pieces += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32), stream.rate
