"""A rendered corpus of speech-like clips, to try things out where no recordings are at hand.

Speakers with voices of their own say the same few nonsense texts in four emotions. These differ as acted ones do
(Banse & Scherer 1996; Juslin & Laukka 2003), in height and movement of pitch, tempo, level and brightness, and vary so
much from clip to clip that none of these alone tells them apart.
"""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soundfile

from serjax.audio.voice import HISSES, VOWELS, Manner, Syllable, Voice, speak
from serjax.config import SAMPLE_RATE
from serjax.disk import atomic_folder, unwritable
from serjax.errors import UserError

NAME = "synthetic-speech"

EMOTIONS = {
    "anger": Manner(pitch=3.0, movement=1.3, slope=-5.0, tempo=1.18, level=7.0, brightness=3.0, breath=1.0),
    "happy": Manner(pitch=5.0, movement=2.0, slope=2.0, tempo=1.08, level=3.0, brightness=1.0, breath=0.8),
    "neutral": Manner(pitch=0.0, movement=0.8, slope=-2.0, tempo=1.0, level=0.0, brightness=0.0, breath=1.0),
    "sad": Manner(pitch=-1.0, movement=0.5, slope=-3.0, tempo=0.78, level=-5.0, brightness=-2.2, breath=2.0),
}
"""The classes. Anger and happiness are neighbours, and so are neutral and sad, as they are for listeners."""

_SPREAD = Manner(pitch=1.5, movement=0.25, slope=1.5, tempo=0.09, level=2.5, brightness=0.9, breath=0.5)
"""Standard deviation from clip to clip; of the logarithm, where a field is a factor."""

_FACTORS = ("movement", "tempo", "breath")

_TEXTS = 10

_VERSION = 1
"""Rises with every change of the sound, so that a corpus that was rendered before is not taken for the new one."""


def render(folder: Path, *, seed: int, speakers: int = 10, clips_per_class: int = 100) -> Path:
    """Render the corpus as a folder a class of 16 kHz FLAC files: `anger/spk03_07.flac` is clip 7 of speaker 3.

    Every speaker says the same texts in every emotion. A corpus that an earlier call has rendered is kept.

    Args:
        folder: new, or of an earlier call with the same arguments; it appears when it is complete.
        seed: decides voices, texts and every clip; a clip depends on no other.
        speakers: how many; their base pitches spread over 90 to 240 Hz.
        clips_per_class: how many clips of each emotion, shared by the speakers in turn.

    Returns:
        `folder`.

    Raises:
        UserError: `folder` holds something else, or cannot be written.
    """
    manifest = {"corpus": NAME, "version": _VERSION, "seed": seed, "speakers": speakers, "clips": clips_per_class}
    if folder.exists():
        if _manifest(folder) != manifest:
            raise UserError(
                f"{folder}: it holds something else than the synthetic corpus of seed {seed} and version {_VERSION}; "
                "name another folder with --data.root, or delete this one."
            )
        return folder
    tasks = [(emotion, i % speakers, i // speakers) for emotion in EMOTIONS for i in range(clips_per_class)]
    try:
        with atomic_folder(folder) as new, ThreadPoolExecutor() as pool:
            for emotion in EMOTIONS:
                (new / emotion).mkdir()
            list(pool.map(lambda task: _write(new, seed, speakers, *task), tasks))
            (new / "manifest.json").write_text(json.dumps(manifest, indent=2))
    except OSError as error:
        raise unwritable(folder.parent, error, "--data.root") from None
    return folder


def speaker(path: Path) -> str:
    """Return the speaker of a rendered clip, `spk03` of `spk03_07.flac`."""
    return path.stem.partition("_")[0]


def _manifest(folder: Path) -> object:
    """Return what the folder's manifest says; None where it has none."""
    try:
        return json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return None


def _write(folder: Path, seed: int, speakers: int, emotion: str, who: int, number: int) -> None:
    """Render one clip."""
    voice = _voice(who, speakers, np.random.default_rng([seed, 0, who]))
    text = _text(np.random.default_rng([seed, 1, number % _TEXTS]))
    rng = np.random.default_rng([seed, 2, list(EMOTIONS).index(emotion), who, number])
    samples = speak(text, voice, _vary(EMOTIONS[emotion], rng), rng)
    flac = io.BytesIO()  # Python's own writing says when the disk is full, libsndfile's does not
    soundfile.write(flac, samples, SAMPLE_RATE, format="FLAC")
    (folder / emotion / f"spk{who + 1:02d}_{number:02d}.flac").write_bytes(flac.getvalue())


def _voice(who: int, speakers: int, rng: np.random.Generator) -> Voice:
    """Draw a speaker; the higher the voice, the shorter the vocal tract, though not strictly."""
    height = (who + 0.5) / speakers
    return Voice(
        pitch=90.0 * (240.0 / 90.0) ** height,
        size=0.95 + 0.2 * height + 0.03 * rng.standard_normal(),
        brightness=rng.standard_normal(),
        tempo=4.8 * np.exp(0.08 * rng.standard_normal()),
    )


def _text(rng: np.random.Generator) -> list[Syllable]:
    """Draw six or seven syllables, stressed and unstressed in turn."""
    return [
        Syllable(
            consonant=int(rng.integers(len(HISSES))) if rng.random() < 0.6 else None,
            vowel=int(rng.integers(len(VOWELS))),
            stressed=i % 2 == 0,
        )
        for i in range(rng.integers(6, 8))
    ]


def _vary(manner: Manner, rng: np.random.Generator) -> Manner:
    """Draw how one clip is said, around the manner of its emotion."""
    drawn = {}
    for name, value in asdict(manner).items():
        step = getattr(_SPREAD, name) * rng.standard_normal()
        drawn[name] = value * np.exp(step) if name in _FACTORS else value + step
    return Manner(**drawn)
