"""File names of RAVDESS, EMO-DB, CREMA-D, SAVEE and nEMO."""

import re
import sys
from dataclasses import dataclass

RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""In the order of their codes 01 to 08, which is also the order of the classes."""

EMODB_EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
"""By the first letter of the emotion's German name (Wut, Langeweile, Ekel, Angst, Freude, Trauer, neutral)."""

CREMAD_EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
"""By their codes."""

SAVEE_EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}
"""By their codes."""

NEMO_EMOTIONS = ("anger", "fear", "happiness", "neutral", "sadness", "surprised")
"""As they stand in the names."""

_RAVDESS = re.compile(r"(0[1-3])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1\d|2[0-4])")
_EMODB = re.compile(r"(\d\d)([ab]\d\d)([WLEAFTN])([a-z])")
_CREMAD = re.compile(r"(10\d\d)_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX|X)")
_SAVEE = re.compile(r"(DC|JE|JK|KL)_(sa|su|[adfhn])(\d\d?)")
_NEMO = re.compile(rf"([A-Z]{{2}}\d+)_({'|'.join(NEMO_EMOTIONS)})_(\d+)")


@dataclass(frozen=True)
class RavdessName:
    """The seven fields of a RAVDESS file name (Livingstone & Russo 2018), and the actor's sex, which follows.

    Attributes:
        modality: full (sound and picture), video or audio.
        vocal_channel: speech or song.
        emotion: one of `RAVDESS_EMOTIONS`.
        intensity: normal or strong.
        statement: the sentence that is spoken or sung.
        repetition: 1 or 2.
        actor: 01 to 24.
        sex: male (odd actors) or female.
    """

    modality: str
    vocal_channel: str
    emotion: str
    intensity: str
    statement: str
    repetition: int
    actor: str
    sex: str


@dataclass(frozen=True)
class EmodbName:
    """The four fields of an EMO-DB file name (Burkhardt et al. 2005).

    Attributes:
        speaker: two digits.
        text: code of the sentence, a01 to b10.
        emotion: one of the values of `EMODB_EMOTIONS`.
        version: a letter that counts the takes.
    """

    speaker: str
    text: str
    emotion: str
    version: str


@dataclass(frozen=True)
class CremadName:
    """The four fields of a CREMA-D file name (Cao et al. 2014).

    Attributes:
        speaker: 1001 to 1091.
        text: code of the sentence, such as DFA.
        emotion: one of the values of `CREMAD_EMOTIONS`.
        intensity: LO, MD, HI or XX (unspecified; X in one name of the published set).
    """

    speaker: str
    text: str
    emotion: str
    intensity: str


@dataclass(frozen=True)
class SaveeName:
    """The three fields of a SAVEE file name (Haq & Jackson 2009).

    Attributes:
        speaker: DC, JE, JK or KL, four men.
        emotion: one of the values of `SAVEE_EMOTIONS`.
        number: of the sentence among those of the emotion.
    """

    speaker: str
    emotion: str
    number: int


@dataclass(frozen=True)
class NemoName:
    """The three fields of an nEMO file name (Christop 2024).

    Attributes:
        speaker: two letters and a number, such as EB0.
        emotion: one of `NEMO_EMOTIONS`.
        text: number of the sentence.
    """

    speaker: str
    emotion: str
    text: str


def parse_ravdess(stem: str) -> RavdessName | None:
    """Return what a file name without its suffix, such as `03-01-06-01-02-01-12`, says; None for another name."""
    match = _RAVDESS.fullmatch(stem)
    if not match:
        return None
    modality, channel, emotion, intensity, statement, repetition, actor = match.groups()
    return RavdessName(
        modality=("full", "video", "audio")[int(modality) - 1],
        vocal_channel=("speech", "song")[int(channel) - 1],
        emotion=RAVDESS_EMOTIONS[int(emotion) - 1],
        intensity=("normal", "strong")[int(intensity) - 1],
        statement=("Kids are talking by the door", "Dogs are sitting by the door")[int(statement) - 1],
        repetition=int(repetition),
        actor=actor,
        sex="male" if int(actor) % 2 else "female",
    )


def parse_emodb(stem: str) -> EmodbName | None:
    """Return what a file name without its suffix, such as `03a01Wa`, says; None for another name."""
    match = _EMODB.fullmatch(stem)
    if not match:
        return None
    speaker, text, letter, version = match.groups()
    return EmodbName(speaker=speaker, text=text, emotion=EMODB_EMOTIONS[letter], version=version)


def parse_cremad(stem: str) -> CremadName | None:
    """Return what a file name without its suffix, such as `1001_DFA_ANG_XX`, says; None for another name."""
    match = _CREMAD.fullmatch(stem)
    if not match:
        return None
    speaker, text, code, intensity = match.groups()
    return CremadName(speaker=speaker, text=text, emotion=CREMAD_EMOTIONS[code], intensity=intensity)


def parse_savee(stem: str) -> SaveeName | None:
    """Return what a file name without its suffix, such as `DC_sa01`, says; None for another name."""
    match = _SAVEE.fullmatch(stem)
    if not match:
        return None
    speaker, code, number = match.groups()
    return SaveeName(speaker=speaker, emotion=SAVEE_EMOTIONS[code], number=int(number))


def parse_nemo(stem: str) -> NemoName | None:
    """Return what a file name without its suffix, such as `EB0_anger_1`, says; None for another name."""
    match = _NEMO.fullmatch(stem)
    if not match:
        return None
    speaker, emotion, text = match.groups()
    return NemoName(speaker=speaker, emotion=emotion, text=text)


def text_of(stem: str) -> str | None:
    """Return what is spoken in a file of RAVDESS, EMO-DB, CREMA-D or nEMO, or its code, by the file's name; else None.

    In SAVEE most sentences are those of one emotion, so that they are no texts to compare by.
    """
    ravdess = parse_ravdess(stem)
    if ravdess is not None:
        return ravdess.statement
    other = parse_emodb(stem) or parse_cremad(stem) or parse_nemo(stem)
    return None if other is None else other.text


def sentence_of(stem: str) -> str | None:
    """Return a code of the sentence that a file's name holds, by which folds keep sentences apart; None elsewhere.

    Beside those of `text_of`, SAVEE's: the emotion and the number, such as sa01. Sentences that several of its emotions
    have in common are so counted as different ones.
    """
    savee = _SAVEE.fullmatch(stem)
    sentence = text_of(stem) if savee is None else f"{savee[2]}{int(savee[3]):02d}"
    return None if sentence is None else sys.intern(sentence)
