"""Example clips for the page, rendered in memory: the synthetic voices that serjax trains its quickstart on."""

import io
from functools import cache
from typing import NamedTuple

import numpy as np
import soundfile
from jaxtyping import Float32

from serjax.audio import SAMPLE_RATE
from serjax.data.corpora.synthetic.corpus import EMOTIONS
from serjax.data.corpora.synthetic.voice import HISSES, VOWELS, Syllable, Voice, speak

VOICES = {"low": Voice(pitch=105.0, size=0.97, brightness=0.0, tempo=4.8)}
VOICES["high"] = Voice(pitch=205.0, size=1.12, brightness=0.0, tempo=4.8)

_PAUSE = 0.35
"""Seconds between the sentences of the conversation."""


class Example(NamedTuple):
    """A clip.

    Attributes:
        title: in words.
        wav: bytes of a 16-bit WAV file.
        seconds: its length.
    """

    title: str
    wav: bytes
    seconds: float


@cache
def examples() -> dict[str, Example]:
    """Return a clip of each emotion, and a conversation that goes through all of them, by the names in their URLs."""
    found = {name: _example(f"{name}, synthetic voice", [_sentence(name, "low", 1)]) for name in EMOTIONS}
    pause = np.zeros(round(_PAUSE * SAMPLE_RATE), np.float32)
    talk = []
    for number, name in enumerate(["neutral", "neutral", "happy", "happy", "anger", "anger", "sad", "sad"]):
        talk += [_sentence(name, "high" if number % 2 else "low", number), pause]
    found["conversation"] = _example("conversation of two synthetic voices, from neutral to sad", talk)
    return found


def _sentence(emotion: str, voice: str, number: int) -> Float32[np.ndarray, "t"]:
    rng = np.random.default_rng([7, number, list(EMOTIONS).index(emotion)])
    text = [
        Syllable(
            int(rng.integers(len(HISSES))) if rng.random() < 0.6 else None, int(rng.integers(len(VOWELS))), not at % 2
        )
        for at in range(7)
    ]
    return speak(text, VOICES[voice], EMOTIONS[emotion], rng)


def _example(title: str, parts: list[np.ndarray]) -> Example:
    wave, file = np.concatenate(parts), io.BytesIO()
    soundfile.write(file, wave, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return Example(title, file.getvalue(), len(wave) / SAMPLE_RATE)
