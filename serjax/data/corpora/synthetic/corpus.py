"""A rendered corpus of speech-like clips, to try things out where no recordings are at hand.

Speakers with voices of their own say the same few nonsense texts in four emotions. These differ as acted ones do
(Banse & Scherer 1996; Juslin & Laukka 2003), in height and movement of pitch, tempo, level and brightness, and vary so
much from clip to clip that none of these alone tells them apart.

A face can be drawn for any clip with a label. Emotions share their faces two by two, and those that do differ in their
voices, while emotions of like voices have other faces: neither alone is enough.
"""

import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import UInt8

from serjax.audio import SAMPLE_RATE
from serjax.data.corpora.synthetic.face import Colour, Expression, Person, draw
from serjax.data.corpora.synthetic.voice import HISSES, VOWELS, Manner, Syllable, Voice, speak
from serjax.runtime.disk import atomic_folder, unwritable
from serjax.runtime.errors import UserError
from serjax.runtime.json_files import read_json
from serjax.video.config import FRAMES, SIZE

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

_FROWN = Expression(smile=-0.8, opening=0.45, stretch=0.9, brows=-0.6, slant=-0.7, eyes=0.8, motion=0.5)
_SMILE = Expression(smile=0.9, opening=0.45, stretch=1.25, brows=0.2, slant=0.2, eyes=0.95, motion=0.4)
_GAPE = Expression(smile=0.0, opening=0.75, stretch=0.9, brows=0.8, slant=0.1, eyes=1.25, motion=0.25)
_WINCE = Expression(smile=-0.2, opening=0.45, stretch=1.25, brows=0.2, slant=0.7, eyes=0.65, motion=0.8)

FACES = {
    **dict.fromkeys(("anger", "angry", "sad", "sadness"), _FROWN),
    **dict.fromkeys(("happy", "happiness", "joy", "neutral"), _SMILE),
    **dict.fromkeys(("surprise", "surprised", "calm", "boredom"), _GAPE),
    **dict.fromkeys(("fear", "fearful", "disgust", "disgusted", "contempt"), _WINCE),
}
"""By label. Who shares a face with whom is made up for the sake of fusion, and no claim about people."""

_FACE_SPREAD = Expression(smile=0.3, opening=0.12, stretch=0.08, brows=0.3, slant=0.3, eyes=0.15, motion=0.2)
"""Standard deviation from clip to clip."""

FACES_VERSION = 1
"""Rises with every change of the drawings."""

_SKINS = ((236, 196, 170), (224, 172, 140), (198, 142, 108), (150, 102, 76), (104, 70, 52))
_HAIRS = ((40, 30, 26), (18, 16, 18), (92, 60, 36), (168, 128, 72), (130, 128, 126))

_VERSION = 1
"""Rises with every change of the sound, so that a corpus that was rendered before is not taken for the new one."""


def render(folder: Path, *, seed: int, speakers: int = 10, clips_per_class: int = 100, texts: int = 10) -> Path:
    """Render the corpus as a folder a class of 16 kHz FLAC files: `anger/spk03_07.flac` is clip 7 of speaker 3.

    Every speaker says the same texts in every emotion. A corpus that an earlier call has rendered is kept.

    Args:
        folder: new, or of an earlier call with the same arguments; it appears when it is complete.
        seed: decides voices, texts and every clip; a clip depends on no other.
        speakers: how many; their base pitches spread over 90 to 240 Hz.
        clips_per_class: how many clips of each emotion, shared by the speakers in turn.
        texts: how many; clip 7 of any speaker says text 7 modulo `texts`.

    Returns:
        `folder`.

    Raises:
        UserError: `folder` holds something else, or cannot be written.
    """
    manifest = {"corpus": NAME, "version": _VERSION, "seed": seed, "speakers": speakers, "clips": clips_per_class}
    if texts != 10:  # not among the manifests of corpora that were rendered before there was a choice
        manifest["texts"] = texts
    if folder.exists():
        if _manifest(folder) != manifest:
            raise UserError(
                f"{folder}: it holds something else than the synthetic corpus of seed {seed} and version {_VERSION}; "
                "to train on what it holds, give --data.corpus auto, else name another folder with --data.root."
            )
        return folder
    tasks = [(emotion, i % speakers, i // speakers) for emotion in EMOTIONS for i in range(clips_per_class)]
    try:
        with atomic_folder(folder) as new, ThreadPoolExecutor() as pool:
            for emotion in EMOTIONS:
                (new / emotion).mkdir()
            list(pool.map(lambda task: _write(new, seed, speakers, texts, *task), tasks))
            (new / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    except OSError as error:
        raise unwritable(folder.parent, error, "--data.root") from None
    return folder


def speaker(path: Path) -> str:
    """Return the speaker of a rendered clip, `spk03` of `spk03_07.flac`."""
    return path.stem.partition("_")[0]


def told(
    path: Path, *, seed: int, speakers: int
) -> tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]]:
    """Return made-up values and votes of a rendered clip, which follow from how it was rendered.

    arousal, 1 to 7, follows the level, and valence, 1 to 7, the pitch: a made-up rule, so that a model can be held
    against known truth. Ten annotators vote for the emotions as likely as the manner of the clip is in each.

    Args:
        path: of the clip, as `render` names it.
        seed: of the corpus.
        speakers: of the corpus.
    """
    emotion, who, number = path.parent.name, int(speaker(path)[3:]) - 1, int(path.stem.partition("_")[2])
    manner, rng = _manner(seed, emotion, who, number)
    pitch = _voice(who, speakers, np.random.default_rng([seed, 0, who])).pitch * 2 ** (manner["pitch"] / 12)
    values = {"arousal": 4 + manner["level"] / 3, "valence": 1 + 6 * np.log2(pitch / 80) / np.log2(400 / 80)}
    distance = np.array([_distance(manner, asdict(other)) for other in EMOTIONS.values()])
    likelihood = np.exp((distance.min() - distance) / 2)
    votes = rng.multinomial(10, likelihood / likelihood.sum())
    return (
        tuple((name, round(float(np.clip(value, 1, 7)), 3)) for name, value in values.items()),
        tuple(zip(EMOTIONS, map(float, votes), strict=True)),
    )


def _manner(seed: int, emotion: str, who: int, number: int) -> tuple[dict[str, float], np.random.Generator]:
    """Draw how a clip is said; and what draws the rest of it."""
    rng = np.random.default_rng([seed, 2, list(EMOTIONS).index(emotion), who, number])
    return _vary(asdict(EMOTIONS[emotion]), asdict(_SPREAD), rng), rng


def _distance(manner: dict[str, float], mean: dict[str, float]) -> float:
    """Return the squared distance in standard deviations."""
    spread, total = asdict(_SPREAD), 0.0
    for name, value in manner.items():
        step = np.log(value / mean[name]) if name in _FACTORS else value - mean[name]
        total += (step / spread[name]) ** 2
    return total


def _manifest(folder: Path) -> object:
    """Return what the folder's manifest says; None where it has none."""
    try:
        return read_json(folder / "manifest.json")
    except UserError:
        return None


def _write(folder: Path, seed: int, speakers: int, texts: int, emotion: str, who: int, number: int) -> None:
    """Render one clip."""
    voice = _voice(who, speakers, np.random.default_rng([seed, 0, who]))
    text = _text(np.random.default_rng([seed, 1, number % texts]))
    manner, rng = _manner(seed, emotion, who, number)
    samples = speak(text, voice, Manner(**manner), rng)
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


def _vary(values: dict[str, float], spread: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Draw how one clip is said, or looks, around what its emotion is like."""
    drawn = {}
    for name, value in values.items():
        step = spread[name] * rng.standard_normal()
        drawn[name] = value * np.exp(step) if name in _FACTORS else value + step
    return drawn


def synthetic_frames(
    label: str, seed: int, *, speaker: str | None = None, clip: str = "", count: int = FRAMES, size: int = SIZE
) -> UInt8[np.ndarray, "n size size 3"]:
    """Draw a face that speaks with the expression of a label.

    Args:
        label: an emotion, one of `FACES`.
        seed: decides, with the clip, all that is random.
        speaker: decides who it is; None: another face in every clip.
        clip: its id; each clip has an expression, a light and movements of its own.
        count: of frames.
        size: their width and height.

    Raises:
        UserError: another label.
    """
    if label.lower() not in FACES:
        raise UserError(
            f"No face can be drawn for the label {label}; use --data.label-map to rename labels to one of "
            f"{', '.join(FACES)}."
        )
    rng = np.random.default_rng([seed, 4, _number(label), _number(clip)])
    person = _person(rng if speaker is None else np.random.default_rng([seed, 3, _number(speaker)]))
    expression = Expression(**_vary(asdict(FACES[label.lower()]), asdict(_FACE_SPREAD), rng))
    return draw(expression, person, rng, count=count, size=size)


def _person(rng: np.random.Generator) -> Person:
    """Draw how somebody looks."""

    def colour(around: Colour, spread: float) -> Colour:
        red, green, blue = np.clip(around + rng.normal(0, spread, 3), 0, 255).round().astype(int).tolist()
        return red, green, blue

    return Person(
        skin=colour(_SKINS[rng.integers(len(_SKINS))], 6),
        hair=colour(_HAIRS[rng.integers(len(_HAIRS))], 6),
        shirt=colour((120, 90, 100), 40),
        wall=colour((150, 150, 140), 30),
        width=rng.uniform(0.66, 0.8),
        apart=rng.uniform(0.29, 0.36),
        mouth=rng.uniform(0.58, 0.67),
        long=bool(rng.random() < 0.5),
    )


def _number(name: str) -> int:
    """Return a number for a name, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())
