"""Settings of a study: encoders, corpora, and the protocol by which they are compared."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from serjax.checkpoints.hub import bundled_names, is_hub_id
from serjax.config.experiment import check_name
from serjax.models.base import DType
from serjax.models.encoders.base import Size
from serjax.models.encoders.config import sizes_of
from serjax.models.encoders.families import FAMILIES
from serjax.runtime.constraints import AtLeastOne, Positive, Seed
from serjax.runtime.errors import UserError, one_of

Protocol = Literal["emobox", "speaker", "cross"]
Metric = Literal["ua", "wa", "macro_f1"]
RANDOM = "random:"
"""Beginning of an encoder with random weights, as in random:wavlm:tiny."""
SYNTHETIC = "synthetic"
"""Root of the corpus that is rendered."""
CELLS = "cells"
"""Folder of the runs, in that of the study."""
OF_CORPUS: Mapping[str, str] = {
    "label_map": "--label-map",
    "speaker_pattern": "--speaker-pattern",
    "audio_root": "--audio-root",
    "kind": "--corpus-kind",
    "folds": "--folds-of",
}
"""Fields of a corpus that an option gives as NAME=VALUE, and that option."""


@dataclass(frozen=True)
class StudyEncoder:
    """An encoder of a study.

    Attributes:
        name: of its row and folder.
        checkpoint: Hugging Face directory or hub id; None with random weights.
        family: architecture of random weights.
        size: of random weights.
    """

    name: str
    checkpoint: str | None = None
    family: str = "hubert"
    size: Size | None = None


@dataclass(frozen=True)
class StudyCorpus:
    """A corpus of a study; fields are those of `DataConfig` and `FoldsConfig`.

    Attributes:
        name: of its column and folder.
        root: folder of recordings, list, or a corpus's folder in EmoBox's `data`.
        kind: how the root is read.
        label_map: file that maps the labels.
        speaker_pattern: finds the speaker in the clips' paths.
        audio_root: where relative paths of a list start.
        folds: folder that holds EmoBox's fold_1 and so on, or a folds.json.
    """

    name: str
    root: str
    kind: str = "auto"
    label_map: str | None = None
    speaker_pattern: str | None = None
    audio_root: str | None = None
    folds: str | None = None


@dataclass(frozen=True)
class Study:
    """Settings of a study: everything that decides its numbers, and where it is written.

    Attributes:
        encoders: the rows.
        corpora: the columns.
        protocol: emobox: EmoBox's head and folds. speaker: folds of whole speakers. cross: also every other corpus.
        name: of the folder.
        out: folder in which it is made.
        labels: classes that are used, in this order; None: all, or with `cross` those in common.
        folds: number of folds by speaker.
        seeds: every fold is trained with so many.
        learning_rates: every fold is trained with each; validation chooses.
        epochs: passes over the training clips, at most.
        batch_size: clips a step and fold.
        max_seconds: longest stretch of a clip that is used, in s.
        max_clips: use only this many clips of a corpus.
        metric: score of the pictures and ranks.
        dtype: precision.
        skip_bad: leave out clips that cannot be used.
        cache: folder of decoded clips and features; None: one in the study's.
        seed: decides folds, first weights, order and intervals.
    """

    encoders: tuple[StudyEncoder, ...]
    corpora: tuple[StudyCorpus, ...]
    protocol: Protocol
    name: str = "study"
    out: str = "checkpoints"
    labels: tuple[str, ...] | None = None
    folds: AtLeastOne = 5
    seeds: AtLeastOne = 1
    learning_rates: tuple[Positive, ...] = ()
    epochs: AtLeastOne = 20
    batch_size: AtLeastOne = 32
    max_seconds: Positive = 30.0
    max_clips: AtLeastOne | None = None
    metric: Metric = "ua"
    dtype: DType = "float32"
    skip_bad: bool = False
    cache: str | None = None
    seed: Seed = 0

    @property
    def folder(self) -> Path:
        """Folder of the study, absolute."""
        return (Path(self.out) / self.name).absolute()

    @property
    def cache_dir(self) -> Path:
        """Folder of decoded clips and of features, absolute."""
        return Path(self.cache).absolute() if self.cache else self.folder / "cache"

    def check(self) -> None:
        """Refuse a study of nothing, names that stand twice, and settings that a protocol does not have.

        Raises:
            UserError: names the option.
        """
        check_name(self.name)
        for option, items in (("encoders", self.encoders), ("corpora", self.corpora)):
            names = [item.name for item in items]
            twice = sorted({name for name in names if names.count(name) > 1})
            if not names:
                raise UserError(f"--{option} is empty; name one or more.")
            if twice:
                raise UserError(
                    f"--{option}: {one_of(twice)} stands there twice; give each a name of its own, as in "
                    f"other={twice[0]}."
                )
        if self.protocol == "cross" and len(self.corpora) < 2:
            raise UserError("--protocol cross tests on other corpora, but there is one; name two or more.")
        if self.protocol == "emobox" and self.max_clips is not None:
            raise UserError("--max-clips is given, but the folds of --protocol emobox name every clip; leave it out.")
        if len(set(self.learning_rates)) < len(self.learning_rates):
            raise UserError("--learning-rates: a rate stands there twice; name each once.")


def parse_protocol(word: str) -> Protocol:
    """Return a protocol.

    Raises:
        UserError: there is none of this name.
    """
    known = get_args(Protocol)
    if word not in known:
        near = difflib.get_close_matches(word, known, 1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
        raise UserError(f"--protocol {word}: there is no such protocol; {meant}")
    found: Protocol = word  # type: ignore[assignment]
    return found


def parse_encoder(word: str, option: str = "--encoders ") -> StudyEncoder:
    """Return an encoder from `SOURCE` or `NAME=SOURCE`: a directory, a hub id, or random:FAMILY:SIZE.

    Args:
        word: what was given.
        option: by which, with a space, for messages.

    Raises:
        UserError: it can be none of these.
    """
    name, source = _named(word)
    if source.startswith(RANDOM):
        family, _, size = source.removeprefix(RANDOM).partition(":")
        if family not in FAMILIES:
            raise UserError(
                f"{option}{word}: random weights are random:FAMILY:SIZE with a family of {', '.join(FAMILIES)}."
            )
        chosen = next((one for one in sizes_of(family) if one == size), None)
        if chosen is None:
            raise UserError(
                f"{option}{word}: random weights are random:FAMILY:SIZE, for {family} with a size of "
                f"{', '.join(sizes_of(family))}."
            )
        return StudyEncoder(name, family=family, size=chosen)
    here = Path(source).expanduser()
    if here.is_dir():
        return StudyEncoder(name, str(here.absolute()))
    if source in bundled_names() or (is_hub_id(source) and "/" in source):
        return StudyEncoder(name, source)
    near = difflib.get_close_matches(source, bundled_names(), 1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    raise UserError(
        f"{option}{word}: there is no such directory or checkpoint{meant}; give a directory, a hub id (owner/name) "
        f"or {RANDOM}FAMILY:SIZE."
    )


def parse_corpora(
    words: Sequence[str], options: Mapping[str, Sequence[str]], protocol: Protocol
) -> tuple[StudyCorpus, ...]:
    """Return corpora from `ROOT` or `NAME=ROOT`, with what `NAME=VALUE` says of single ones.

    Args:
        words: of --corpora.
        options: words by field of `StudyCorpus`.
        protocol: of the study.

    Raises:
        UserError: a root is not there, or a word names no corpus.
    """
    roots = dict(map(_named, words))
    if len(roots) < len(words):
        raise UserError(f"--corpora {' '.join(words)}: two have the same name; give names, as in NAME=ROOT.")
    given: dict[str, dict[str, str]] = {name: {} for name in roots}
    for field, option in OF_CORPUS.items():
        for word in options.get(field, ()):
            name, equals, value = word.partition("=")
            if not equals or not value:
                raise UserError(f"{option} {word}: say of which corpus, as in {option} {next(iter(roots))}={word}.")
            if name not in given:
                raise UserError(f"{option} {word}: there is no corpus {name}, only {', '.join(roots)}.")
            given[name][field] = value if field in ("kind", "speaker_pattern") else _place(value)
    return tuple(_corpus(name, root, given[name], protocol) for name, root in roots.items())


def _corpus(name: str, root: str, given: Mapping[str, str], protocol: Protocol) -> StudyCorpus:
    if root == SYNTHETIC and not Path(root).exists():
        return StudyCorpus(name, "", **{"kind": SYNTHETIC, **given})
    folder = Path(root).expanduser()
    if "://" not in root and not folder.exists():
        raise UserError(f"--corpora {name}={root}: there is no such folder or list; correct the path.")
    fields = dict(given)
    if any(folder.glob("fold*")) and (lists := sorted(folder.glob("*.jsonl"))):
        # A corpus as EmoBox publishes it: its list, label map and folds, and audio paths that start where `data` lies.
        own = folder / f"{folder.name}.jsonl"
        if own not in lists and len(lists) > 1:
            raise UserError(f"--corpora {name}={root}: it holds several lists; leave one, or call it {own.name}.")
        fields = {"folds": _place(root), "audio_root": str(folder.absolute().parents[1])} | fields
        if (folder / "label_map.json").is_file():
            fields = {"label_map": str((folder / "label_map.json").absolute())} | fields
        root = str(own if own in lists else lists[0])
    if protocol == "emobox" and "folds" not in fields:
        raise UserError(
            f"--corpora {name}={root}: --protocol emobox needs EmoBox's folds; give a folder of EmoBox's data, or the "
            f"recordings and --folds-of {name}=FOLDER."
        )
    return StudyCorpus(name, _place(root), **fields)


def _place(path: str) -> str:
    """Return a path that means the same in jobs that start elsewhere."""
    return path if "://" in path else str(Path(path).expanduser().absolute())


def _named(word: str) -> tuple[str, str]:
    """Return name and value of `NAME=VALUE`, or of a value a name made from it."""
    match = re.fullmatch(r"([\w.-]+)=(.+)", word)
    if match and not Path(word).exists():
        return match[1], match[2]
    plain = word if word.startswith(RANDOM) else Path(word).resolve().name if Path(word).exists() else Path(word).name
    return re.sub(r"[^\w.-]+", "-", plain), word
