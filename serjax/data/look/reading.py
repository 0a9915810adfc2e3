"""Clips to be looked at: those of the corpus or, where it cannot be read, whatever its files say alone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from serjax.audio.kinds import AUDIO_SUFFIXES, TRACK_SUFFIXES
from serjax.data.config import DataConfig
from serjax.data.corpora.read import UNLABELLED, Corpus, read_corpus
from serjax.data.look.files import Files, as_clips, look_at_files
from serjax.data.suspicions.files import of_files
from serjax.data.suspicions.record import Suspicion
from serjax.data.utterance import Utterance
from serjax.runtime.errors import MissingPackage, UserError, one_of, readable
from serjax.runtime.remote import as_path


@dataclass(frozen=True)
class Reading:
    """Clips, and what was told while they were found.

    Attributes:
        name: of the corpus.
        utterances: the clips.
        labels: the classes in their order.
        notes: sentences on how the corpus was read.
        suspicions: why training would refuse it, what is to be said of its speakers, and of the files around it.
        labelled: False where `labels` are only the folders in which the files lie.
        files: all below a folder; None for a list, or for a set that is given by its name.
    """

    name: str
    utterances: tuple[Utterance, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...]
    suspicions: tuple[Suspicion, ...]
    labelled: bool
    files: Files | None


def read_for_a_look(config: DataConfig, *, seed: int = 0) -> Reading:
    """Find the clips that `config` names as training would, and go on where training would stop.

    Args:
        config: where and what to read.
        seed: decides which clips `config.max_clips` chooses.

    Raises:
        UserError: there is no such root, or there are no recordings, so that nothing can be shown.
    """
    if config.corpus == "synthetic":
        raise UserError("--data.corpus synthetic is rendered, not read; give the folder that training wrote it to.")
    root = as_path(config.root)
    if root.suffix.lower() in AUDIO_SUFFIXES | TRACK_SUFFIXES and root.is_file():
        raise UserError(f"{root}: it is a recording; give the folder that holds it, or a list.")
    corpus, error = _read(config, seed)
    here = root.exists()  # a prepared set may be given by its name alone
    files = look_at_files(root) if here and root.is_dir() else None
    suspicions = [] if error is None else [_refusal(error)]
    if corpus is not None:
        if corpus.labels == UNLABELLED and any(clip.values for clip in corpus.utterances):
            suspicions = [_values_alone(corpus)]
        suspicions += [*_unnamed(corpus, config), *_nested(corpus, root)]
        if files is not None:
            suspicions += [*_left_out(corpus, config, files, root), *of_files(files)]
        return Reading(
            corpus.name, corpus.utterances, corpus.labels, corpus.notes, tuple(suspicions), labelled=True, files=files
        )
    assert error is not None
    folder = root if files is not None else as_path(config.audio_root or root.parent)
    around = files or (look_at_files(folder) if here else None)
    clips = [] if around is None else _some(as_clips(around, folder), config.max_clips)
    if not clips:
        raise error
    if files is not None:
        suspicions += of_files(files)
    labels = tuple(sorted({clip.label for clip in clips}))
    return Reading(_name(root), tuple(clips), labels, (), tuple(suspicions), labelled=False, files=files)


def _read(config: DataConfig, seed: int) -> tuple[Corpus | None, UserError | None]:
    """Return the corpus, and why training would not read it; then files of a list may be missing, and labels."""
    try:
        return read_corpus(config, seed=seed, ask=False), None
    except MissingPackage:
        raise
    except UserError as error:
        first = error
    for labelled in (True, False):
        try:
            return read_corpus(replace(config, skip_bad=True), seed=seed, ask=False, labelled=labelled), first
        except UserError:
            pass
    return None, first


def _values_alone(corpus: Corpus) -> Suspicion:
    names = sorted({name for clip in corpus.utterances for name, _ in clip.values})
    return Suspicion(
        "no_labels",
        f"No clip has a label, but there are values: {one_of(names)}.",
        "Train on them with --target.kind dimensions, or say with --data.columns label=COLUMN which one holds labels.",
    )


def _refusal(error: UserError) -> Suspicion:
    """Return an error of reading as a suspicion; what stands behind its last semicolon is the remedy."""
    what, _, remedy = str(error).rpartition("; ")
    if not what:
        return Suspicion("refused", str(error), "", refused=True)
    return Suspicion("refused", f"{what}.", remedy[:1].upper() + remedy[1:], refused=True)


def _nested(corpus: Corpus, root: Path) -> list[Suspicion]:
    name = _name(root)
    if not root.is_dir() or name not in corpus.labels:
        return []
    return [
        Suspicion(
            "folder_in_itself",
            f"The folder {name} holds a folder of its own name, which is taken for a class.",
            "It may be a copy of the whole, left by unpacking twice; give the inner folder as the root, or delete it.",
        )
    ]


def _left_out(corpus: Corpus, config: DataConfig, files: Files, root: Path) -> list[Suspicion]:
    """Return that sound files below the folder are not read, unless settings choose some clips."""
    if config.labels is not None or config.max_clips is not None:
        return []
    read = {clip.path for clip in corpus.utterances}
    others = [path for path in files.sounds if path not in read]
    # Sets keep their sound elsewhere, and then nothing below the folder is read.
    if not others or len(others) == len(files.sounds):
        return []
    names = tuple(readable(path.relative_to(root.absolute()).as_posix()) for path in others)
    folders = Counter(name.partition("/")[0] if "/" in name else "." for name in names)
    where = one_of([f"{count} in {folder}" for folder, count in folders.most_common()], 4)
    return [
        Suspicion(
            "sounds_left_out",
            f"{len(others)} of {len(files.sounds)} sound files below the folder are not read ({where}).",
            "See whether they are copies or of another kind; if these are meant, give their folder as the root.",
            names,
        )
    ]


def _unnamed(corpus: Corpus, config: DataConfig) -> list[Suspicion]:
    if corpus.unnamed is not None and config.speakers == "auto":
        return [
            Suspicion(
                "speakers_in_names",
                f"No speaker is named, but the clips' names hold what recurs as speakers do, each in several classes: "
                f"{', '.join(corpus.unnamed.values[:5])}{' ...' if len(corpus.unnamed.values) > 5 else ''}.",
                f"Keep them apart with {corpus.unnamed.offer}, or go on without them with --data.speakers unknown.",
                refused=True,
            )
        ]
    if all(clip.speaker is None for clip in corpus.utterances):
        return [
            Suspicion(
                "no_speakers",
                "No clip names its speaker, so that folds cannot keep speakers apart, which raises scores.",
                "Say with --data.speaker-pattern where the clips' paths hold it, or give a list with a column for it.",
            )
        ]
    return []


def _some(clips: list[Utterance], count: int | None) -> Sequence[Utterance]:
    """Return evenly spaced ones of the clips."""
    if count is None or count >= len(clips):
        return clips
    return [clips[i * len(clips) // count] for i in range(count)]


def _name(root: Path) -> str:
    return root.resolve().name if root.is_dir() else root.stem
