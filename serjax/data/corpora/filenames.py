"""Corpora whose paths say everything: one row each with the form of a name, its codes and its speakers."""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath

RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""In the order of their codes 01 to 08, which is also the order of the classes."""

_DEPTH = 4
"""Parts at the end of a path that a pattern can ask for."""

People = Mapping[str, tuple[str, str | None]]
"""Gender and age of speakers, None where it is not published."""


@dataclass(frozen=True)
class Name:
    """Facts that a clip's path holds.

    Attributes:
        speaker: as the corpus calls them.
        emotion: as `Layout.emotions` spells it.
        key: equal for copies of one recording.
        text: code of the sentence, by which folds keep sentences apart.
        gender: where the name says it.
        session: a part that the corpus is published in.
        channel: 01 for speech, 02 for song (RAVDESS).
        modality: 01 for sound and pictures, 02 for pictures, 03 for sound (RAVDESS): of one recording, all three.
    """

    speaker: str
    emotion: str
    key: tuple[str | None, ...]
    text: str | None = None
    gender: str | None = None
    session: str | None = None
    channel: str | None = None
    modality: str | None = None


@dataclass(frozen=True)
class Layout:
    """A corpus that is told by its paths.

    Attributes:
        title: its usual name.
        source: who published it.
        pattern: the end of a path without its suffix; in any case, `(?i:...)`, where other corpora have no such names.
            Its groups are called as the fields of `Name`, and others, such as the number of a take, only tell
            recordings apart.
        emotions: labels by codes in lower case.
        sentence: the code of the sentence, where it is not the group `text`.
        comparable: whether equal codes mean equal words in all emotions.
        spoken: sentences by their codes, where they are few.
        speakers: names of speakers by other spellings.
        people: what is published about the speakers.
        order: of the classes, where it is not that of the alphabet.
        beside: folders, in lower case, that are left out where clips lie elsewhere, too.
        sorted_by_emotion: whether the published folders are emotions, so that their names are no labels of one's own.
        within: folders, in lower case, below which alone such names are recognised; anywhere where there is none.
    """

    title: str
    source: str
    pattern: str
    emotions: Mapping[str, str]
    sentence: Callable[[re.Match[str]], str | None] | None = None
    comparable: bool = True
    spoken: Mapping[str, str] = field(default_factory=dict)
    speakers: Mapping[str, str] = field(default_factory=dict)
    people: People = field(default_factory=dict)
    order: tuple[str, ...] = ()
    beside: frozenset[str] = frozenset()
    sorted_by_emotion: bool = False
    within: frozenset[str] = frozenset()

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """The pattern, behind any folders."""
        return re.compile(f"(?:.*/)?(?:{self.pattern})")

    @cached_property
    def _usual(self) -> Mapping[str, str]:
        """Names of speakers as published, by those without regard to case."""
        return {name.casefold(): name for name in (*self.people, *self.speakers)}

    def parse(self, tail: str) -> Name | None:
        """Return what the end of a path without suffix says, as `tail_of` gives it; None for another name."""
        match = self.expression.fullmatch(tail)
        if match is None or match["emotion"].lower() not in self.emotions:
            return None
        groups = match.groupdict()
        code = groups.get("text")
        text = self.sentence(match) if self.sentence else self.spoken.get(code or "", code)
        key = tuple(value and value.casefold() for name, value in groups.items() if name not in ("session", "modality"))
        speaker = self._usual.get(groups["speaker"].casefold(), groups["speaker"])
        return Name(
            speaker=sys.intern(self.speakers.get(speaker, speaker)),
            emotion=self.emotions[groups["emotion"].lower()],
            key=key,
            text=None if text is None else sys.intern(text),
            gender=groups.get("gender"),
            session=groups.get("session"),
            channel=groups.get("channel"),
            modality=groups.get("modality"),
        )


def tail_of(path: PurePath) -> str:
    """Return the last parts of a path, with slashes and without suffix."""
    return "/".join((*path.parts[-_DEPTH:-1], path.stem))


def _codes(words: str) -> dict[str, str]:
    """Return labels by codes from words such as `a:anger`; a word without a colon is its own code."""
    return {code: label or code for code, _, label in (word.partition(":") for word in words.split())}


def _esd_sentence(match: re.Match[str]) -> str:
    """Return one of 350 sentences of Mandarin (speakers 1 to 10) or English, said again in each emotion."""
    language = "zh" if int(match["speaker"]) <= 10 else "en"
    return f"{language}{(int(match['number']) - 1) % 350 + 1:03d}"


LAYOUTS: Mapping[str, Layout] = {
    "ravdess": Layout(
        "RAVDESS",
        "Livingstone & Russo 2018",
        r"(?P<modality>0[1-3])-(?P<channel>0[12])-(?P<emotion>0[1-8])-(?P<intensity>0[12])-(?P<text>0[12])"
        r"-(?P<repetition>0[12])-(?P<speaker>0[1-9]|1\d|2[0-4])",
        {f"{code:02d}": name for code, name in enumerate(RAVDESS_EMOTIONS, 1)},
        spoken={"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"},
        people={f"{actor:02d}": ("male" if actor % 2 else "female", None) for actor in range(1, 25)},
        order=RAVDESS_EMOTIONS,
    ),
    "emodb": Layout(
        "EMO-DB",
        "Burkhardt et al. 2005",
        r"(?i:(?P<speaker>\d\d)(?P<text>[ab]\d\d)(?P<emotion>[WLEAFTN])(?P<take>[a-z]))",
        _codes("w:anger l:boredom e:disgust a:fear f:happiness t:sadness n:neutral"),
        people={
            **{"03": ("male", "31"), "08": ("female", "34"), "09": ("female", "21"), "10": ("male", "32")},
            **{"11": ("male", "26"), "12": ("male", "30"), "13": ("female", "32"), "14": ("female", "35")},
            **{"15": ("male", "25"), "16": ("female", "31")},
        },
        beside=frozenset({"laryngo"}),
    ),
    "cremad": Layout(
        "CREMA-D",
        "Cao et al. 2014",
        r"(?i:(?P<speaker>10\d\d)_(?P<text>[A-Z]{3})_(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)_(?P<level>LO|MD|HI|XX|X))",
        _codes("ang:anger dis:disgust fea:fear hap:happy neu:neutral sad:sad"),
        beside=frozenset({"audiomp3"}),
    ),
    "savee": Layout(
        "SAVEE",
        "Haq & Jackson 2009",
        r"(?i:(?P<speaker>DC|JE|JK|KL)[_/](?P<emotion>sa|su|[adfhn])(?P<number>\d\d?))",
        _codes("a:anger d:disgust f:fear h:happiness n:neutral sa:sadness su:surprise"),
        sentence=lambda match: f"{match['emotion'].lower()}{int(match['number']):02d}",
        comparable=False,
        people=dict.fromkeys(("DC", "JE", "JK", "KL"), ("male", None)),
    ),
    "nemo": Layout(
        "nEMO",
        "Christop 2024",
        r"(?P<speaker>[A-Z]{2}\d+)_(?P<emotion>anger|fear|happiness|neutral|sadness|surprised)_(?P<text>\d+)",
        _codes("anger fear happiness neutral sadness surprised"),
    ),
    "tess": Layout(
        "TESS",
        "Pichora-Fuller & Dupuis 2020",
        r"(?i:(?P<speaker>OAF?|YAF)_(?P<text>[a-z]+)_(?P<emotion>angry|disgust|fear|happy|neutral|ps|sad))",
        _codes("angry disgust fear happy neutral ps:pleasant_surprise sad"),
        speakers={"OA": "OAF"},
        people={"OAF": ("female", "64"), "YAF": ("female", "26")},
        sorted_by_emotion=True,
    ),
    "esd": Layout(
        "ESD",
        "Zhou et al. 2022",
        r"(?i:(?P<speaker>00(?:0[1-9]|1\d|20))/(?P<emotion>Angry|Happy|Neutral|Sad|Surprise)/"
        r"(?:(?P<session>train|evaluation|test)/)?(?P=speaker)_(?P<number>\d{6}))",
        _codes("angry happy neutral sad surprise"),
        sentence=_esd_sentence,
        sorted_by_emotion=True,
    ),
    "urdu": Layout(
        "URDU",
        "Latif et al. 2018",
        r"(?P<speaker>S(?P<gender>[MF])\d+)_F(?P<file>\d+)_(?P<emotion>[AHNS])(?P<number>\d+)",
        _codes("a:angry h:happy n:neutral s:sad"),
        sorted_by_emotion=True,
    ),
    "emovo": Layout(
        "EMOVO",
        "Costantini et al. 2014",
        r"(?i:(?P<emotion>dis|gio|neu|pau|rab|sor|tri)-(?P<speaker>[fm][1-3])-(?P<text>[a-z]+\d*))",
        _codes("dis:disgust gio:joy neu:neutral pau:fear rab:anger sor:surprise tri:sadness"),
        people={
            **{"m1": ("male", "30"), "m2": ("male", "27"), "m3": ("male", "30")},
            **{"f1": ("female", "28"), "f2": ("female", "23"), "f3": ("female", "25")},
        },
    ),
    "aesdd": Layout(
        "AESDD",
        "Vryzas et al. 2018",
        r"(?P<emotion>[adfhs])(?P<number>\d\d) ?\(0?(?P<speaker>\d)\)(?P<take>[ab]?)",
        _codes("a:anger d:disgust f:fear h:happiness s:sadness"),
        sentence=lambda match: match["number"],
        sorted_by_emotion=True,
    ),
    "cafe": Layout(
        "CaFE",
        "Gournay et al. 2018",
        r"(?P<speaker>0[1-9]|1[0-2])-(?P<emotion>[CDJNPST])-(?P<intensity>[12])-(?P<text>[1-6])",
        _codes("c:anger d:disgust j:happiness n:neutral p:fear s:surprise t:sadness"),
        people={
            **{"01": ("male", "46"), "02": ("female", "64"), "03": ("male", "18"), "04": ("female", "50")},
            **{"05": ("male", "22"), "06": ("female", "34"), "07": ("male", "15"), "08": ("female", "25")},
            **{"09": ("male", "42"), "10": ("female", "20"), "11": ("male", "35"), "12": ("female", "37")},
        },
        sorted_by_emotion=True,
    ),
    "jl": Layout(
        "JL-Corpus",
        "James et al. 2018",
        r"(?P<speaker>(?P<gender>female|male)[12])_(?P<emotion>[a-z]+)_(?P<text>\d+)(?P<half>[ab]?)_(?P<take>\d)",
        _codes("angry anxious apologetic assertive concerned encouraging excited happy neutral sad"),
    ),
    "subesco": Layout(
        "SUBESCO",
        "Sultana et al. 2021",
        r"(?P<speaker>(?P<gender>[FM])_\d\d)_(?P<name>[A-Z]+)_S_(?P<text>\d+)_(?P<emotion>[A-Z]+)_(?P<take>\d)\]?",
        _codes("angry disgust fear happy neutral sad surprise"),
    ),
    "shemo": Layout(
        "ShEMO",
        "Mohamad Nezami et al. 2019",
        r"(?P<speaker>(?P<gender>[FM])\d\d)(?P<emotion>[AFHNSW])(?P<number>\d\d)",
        _codes("a:anger f:fear h:happiness n:neutral s:sadness w:surprise"),
        within=frozenset({"female", "male", "shemo"}),
    ),
    "emovdb": Layout(
        "EmoV-DB",
        "Adigwe et al. 2018",
        r"(?P<speaker>bea|jenie|josh|sam)[_/](?P<emotion>Amused|Angry|Disgusted|Neutral|Sleepy)/"
        r"(?P<stem>[A-Za-z]+_\d+[-_]\d+_(?P<text>\d+))",
        _codes("amused angry disgusted neutral sleepy"),
        people={"bea": ("female", None), "jenie": ("female", None), "josh": ("male", None), "sam": ("male", None)},
        sorted_by_emotion=True,
    ),
}
"""Corpora by the words of `--data.corpus`, in the order in which they are tried."""

VARIANTS: Mapping[str, str] = {"ravdess_song": "ravdess", "ravdess_all": "ravdess"}
"""Other words of `--data.corpus`, and the layouts of their files."""


def text_of(stem: str) -> str | None:
    """Return what is spoken in a file, or its code, by the file's name; None for other names.

    In SAVEE most sentences are those of one emotion, so that they are no texts to compare by.
    """
    return _sentence(stem, comparable=True)


def sentence_of(stem: str) -> str | None:
    """Return a code of the sentence that a file's name holds, by which folds keep sentences apart; None elsewhere.

    Beside those of `text_of`, SAVEE's: the emotion and the number, such as sa01. Sentences that several of its emotions
    have in common are so counted as different ones.
    """
    return _sentence(stem, comparable=False)


def _sentence(stem: str, *, comparable: bool) -> str | None:
    for layout in LAYOUTS.values():
        if not layout.within and (layout.comparable or not comparable):
            name = layout.parse(stem)
            if name is not None:
                return name.text
    return None
