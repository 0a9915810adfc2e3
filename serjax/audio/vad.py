"""Leaving out what is not speech: by energy, or by the network of silero-vad."""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from serjax.audio import SAMPLE_RATE
from serjax.runtime.errors import UserError

Activity = Literal["none", "energy", "silero"]
"""Voice activity detection that leaves silence out of a clip."""

SHORTEST = 0.5
"""s. A clip that would be shorter than this is left as it is."""

FRAME, CHUNK = 2048, 512
"""Samples of a frame whose power is taken, and from one to the next; the network judges so many at once."""

FLOOR = -100.0
"""dB. Quieter frames count as so loud."""

_CONTEXT = 64
"""Samples before those that the network judges that it sees too."""


def trim(
    wave: Float32[np.ndarray, "t"], method: Activity = "energy", *, top_db: float = 20.0, fade: int = 200
) -> tuple[Float32[np.ndarray, "u"], bool]:
    """Return the active parts of a clip, joined, and whether they were kept: (wave, False) where too little is left.

    Too little is less than 0.5 s; a clip of digital silence has no activity.

    Args:
        wave: Samples at 16 kHz.
        top_db: method=energy: how many dB below the loudest frame a frame may be.
        fade: Samples by which two parts overlap, see `join`.
        method: none: the clip as it is. energy: `by_energy`. silero: `by_network`, in pieces of 32 ms.

    Raises:
        UserError: a negative `top_db` or `fade`, another method, or packages that silero needs are missing.
    """
    if top_db < 0 or fade < 0:
        raise UserError(f"top_db is {top_db} and fade is {fade}; both must be 0 or more.")
    if method not in get_args(Activity):
        raise UserError(f"method is {method!r}; it must be one of {', '.join(get_args(Activity))}.")
    if method == "none":
        return wave, True
    intervals = by_energy(wave, top_db) if method == "energy" else by_network(wave, load_silero())
    active = join([wave[start:end] for start, end in intervals], fade)
    if len(active) < SHORTEST * SAMPLE_RATE or not wave.any():
        return wave, False
    return active, True


def by_energy(wave: Float32[np.ndarray, "t"], top_db: float = 20.0) -> Int[np.ndarray, "k 2"]:
    """Return start and end in samples of the stretches of frames whose power is above the loudest's less `top_db`.

    These are the intervals of `librosa.effects.split`: frames of 2048 samples every 512, centred, the clip between
    zeros; powers below 1e-10 count as that, so all of a silent clip is as loud as its loudest frame.
    """
    level = frame_levels(np.pad(wave, FRAME // 2))
    return _stretches(level - level.max() > -top_db, CHUNK, len(wave))


def frame_levels(wave: Float32[np.ndarray, "t"]) -> Float[np.ndarray, "n"]:
    """Return the power in dB of the frames of 2048 samples that begin every 512, at least `FLOOR`."""
    if len(wave) < FRAME:
        return np.zeros(0)
    frames = np.lib.stride_tricks.sliding_window_view(wave, FRAME)[::CHUNK]
    return 10 * np.log10(np.maximum(np.mean(frames**2, axis=1), 10 ** (FLOOR / 10)))


def by_network(wave: Float32[np.ndarray, "t"], session: Any, threshold: float = 0.5) -> Int[np.ndarray, "k 2"]:
    """Return start and end in samples of the stretches of 512 samples that are speech with `threshold` or more.

    Args:
        wave: Samples at 16 kHz; zeros fill the last stretch.
        session: An onnxruntime session of silero-vad's model (version 5 or 6), such as `load_silero()`.
        threshold: Least probability of speech.
    """
    network = Network(session, threshold)
    return _stretches(np.concatenate([network.push(wave), network.finish()]), CHUNK, len(wave))


class Network:
    """Detection of speech by silero-vad in sound that comes piece by piece."""

    def __init__(self, session: Any, threshold: float = 0.5) -> None:
        """Begin a recording.

        Args:
            session: as for `by_network`.
            threshold: as for `by_network`.
        """
        self._session, self._threshold = session, threshold
        self._state = np.zeros((2, 1, 128), np.float32)
        self._seen = np.zeros(_CONTEXT, np.float32)

    def push(self, wave: Float32[np.ndarray, "t"]) -> Bool[np.ndarray, "n"]:
        """Take samples; return which of the next whole stretches of 512 are speech."""
        self._seen = np.concatenate([self._seen, wave])
        speech = []
        rate = np.array(SAMPLE_RATE)
        while len(self._seen) >= _CONTEXT + CHUNK:
            feed = {"input": self._seen[None, : _CONTEXT + CHUNK], "state": self._state, "sr": rate}
            probability, self._state = self._session.run(None, feed)
            speech.append(probability.item() >= self._threshold)
            self._seen = self._seen[CHUNK:]
        return np.array(speech, bool)

    def finish(self) -> Bool[np.ndarray, "n"]:
        """Return whether the samples that are left, filled up with zeros, are speech; nothing where none are."""
        return self.push(np.zeros(-(len(self._seen) - _CONTEXT) % CHUNK, np.float32))


@cache
def load_silero() -> Any:
    """Return an onnxruntime session, on one CPU thread, of the model that the package silero-vad brings.

    The package itself is not imported, for that would import PyTorch.

    Raises:
        UserError: onnxruntime or silero-vad is not installed.
    """
    missing = [name for name in ("onnxruntime", "silero-vad") if _find(name) is None]
    if missing:
        raise UserError(
            f"Voice activity by silero needs {' and '.join(missing)}; pip install {' '.join(missing)}, "
            "or choose the method energy."
        )
    import onnxruntime

    folder = Path(_find("silero-vad").submodule_search_locations[0])
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    model = folder / "data" / "silero_vad.onnx"
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def join(parts: list[Float32[np.ndarray, "_"]], fade: int) -> Float32[np.ndarray, "u"]:
    """Join parts; each two overlap by `fade` samples in a raised-cosine cross-fade.

    Where one of the two has less than 2 * `fade` samples, they are put side by side as they are, as mser does.
    """
    pieces: list[np.ndarray] = []
    for part in parts:
        if pieces and min(len(pieces[-1]), len(part)) < 2 * fade:
            pieces[-1] = np.concatenate([pieces[-1], part])
        else:
            pieces.append(part)
    rise = np.sin(np.pi / 2 * (np.arange(fade) + 0.5) / max(fade, 1)) ** 2
    joined = np.zeros(sum(map(len, pieces)) - fade * max(len(pieces) - 1, 0), np.float32)
    start = 0
    for number, piece in enumerate(pieces):
        gain = np.ones(len(piece))
        if number > 0:
            gain[:fade] = rise
        if number < len(pieces) - 1:
            gain[len(piece) - fade :] = rise[::-1]
        joined[start : start + len(piece)] += piece * gain
        start += len(piece) - fade
    return joined


def _find(package: str) -> Any:
    return importlib.util.find_spec(package.replace("-", "_"))


def _stretches(active: Bool[np.ndarray, "n"], hop: int, length: int) -> Int[np.ndarray, "k 2"]:
    """Return where stretches of True begin and end, in samples of a clip of so many."""
    edges = np.flatnonzero(np.diff(active, prepend=False, append=False))
    return np.minimum(edges * hop, length).reshape(-1, 2)
