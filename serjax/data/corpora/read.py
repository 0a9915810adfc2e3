"""From the data configuration to the clips of a corpus: their labels, speakers and the order of the classes."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from serjax.data.config import DataConfig, SyntheticConfig
from serjax.data.corpora.annotated import ANNOTATED, find_annotated
from serjax.data.corpora.class_folders import passed_through, read_classes, require_voices
from serjax.data.corpora.filenames import LAYOUTS
from serjax.data.corpora.folders import audio_files, label_files
from serjax.data.corpora.label_names import folded, read_label_map, settle_labels
from serjax.data.corpora.list_formats import LIST_SUFFIXES, ListKind
from serjax.data.corpora.lists import read_list
from serjax.data.corpora.named import NAMED, layout_of, read_named, recognise
from serjax.data.corpora.names import Recurring, find_recurring, name_by_pattern, paths_below
from serjax.data.corpora.sets import SETS, read_set
from serjax.data.corpora.synthetic import corpus as synthetic
from serjax.data.corpora.versions import without_versions
from serjax.data.utterance import Utterance
from serjax.runtime import distributed
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.remote import as_path, is_remote

UNLABELLED = ("",)
"""Classes of a corpus that is read for its values alone and has no label."""

_LIST_KINDS: dict[str, ListKind] = {kind: kind for kind in LIST_SUFFIXES.values()}


@dataclass(frozen=True)
class Corpus:
    """The clips of an experiment.

    Attributes:
        name: the corpus's own name where it has one, else that of its folder or list.
        utterances: the clips, in the order of their paths, or of their list.
        labels: the classes, in the order of a model's outputs; every one has a clip.
        notes: sentences for the log and the model card: how the corpus was recognised and what was left out.
        unnamed: what the clips' names hold that may be speakers, where no clip names one.
    """

    name: str
    utterances: tuple[Utterance, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...]
    unnamed: Recurring | None = None


def describe(clips: Sequence[Utterance], labels: Sequence[str]) -> str:
    """Return a sentence on how many clips, speakers and classes there are.

    Raises:
        UserError: a class has no clip.
    """
    counts = Counter(clip.label for clip in clips)
    absent = [label for label in labels if not counts[label]]
    if absent:
        raise UserError(
            f"No clip of {one_of(absent)} can be used; repair some, or leave the class out with --data.labels."
        )
    speakers = {clip.speaker for clip in clips}
    voices = "speakers unknown" if None in speakers else f"{len(speakers)} speaker{'s' if len(speakers) > 1 else ''}"
    if labels == UNLABELLED:
        return f"{len(clips)} clips, {voices}, without labels."
    listing = _listing({label: counts[label] for label in labels})
    return f"{len(clips)} clips, {voices}, {len(labels)} classes ({listing})."


def read_corpus(
    config: DataConfig,
    *,
    seed: int = 0,
    videos: bool = False,
    silent: bool = False,
    ask: bool = True,
    labelled: bool = True,
) -> Corpus:
    """Find the clips that `config` names; no sound is decoded.

    Args:
        config: where and what to read, which labels and how many clips to use.
        seed: decides which clips `max_clips` chooses, and the sound of the synthetic corpus.
        videos: look for videos, with the sound that goes with each.
        silent: take videos that have no sound, too.
        ask: stop where no speaker is named, but the clips' names seem to hold them.
        labelled: whether there must be two classes; else clips of a list may lack labels.

    Raises:
        UserError: nothing to read, names, labels or speakers that do not fit, or fewer than two classes.
    """
    mapping = None if config.label_map is None else read_label_map(config.label_map)
    asked = frozenset(map(folded, (*(config.labels or ()), *(mapping or ()))))
    try:
        corpus = _find(config, seed, videos, silent, labelled, asked)
    except PermissionError as error:  # of folders above, which hide what is there
        raise UserError(
            f"--data.root {config.root}: it cannot be read ({error.filename}: {error.strerror}); give yourself the "
            "right to read it."
        ) from None
    clips, order, notes = list(corpus.utterances), corpus.labels, list(corpus.notes)
    root = as_path(config.audio_root or config.root)
    if config.label_pattern is not None:
        clips = name_by_pattern(clips, config.label_pattern, "label", root)
        notes.append(f"Labels are what --data.label-pattern finds in the clips' paths: {config.label_pattern}")
    if config.speaker_pattern is not None:
        clips = name_by_pattern(clips, config.speaker_pattern, "speaker", root)
        notes.append(f"Speakers are what --data.speaker-pattern finds in the clips' paths: {config.speaker_pattern}")
    elif config.speakers == "unknown" and any(clip.speaker is not None for clip in clips):
        raise UserError(
            f"--data.speakers unknown: {corpus.name} names its speakers, and folds keep them apart; leave it out, or "
            "choose other folds with --folds.kind."
        )
    if config.speaker_pattern is not None and config.corpus == "auto" and as_path(config.root).is_dir():
        require_voices(root, clips)
    unnamed = None
    if all(clip.speaker is None for clip in clips):
        unnamed = find_recurring(paths_below(clips, root), [clip.label for clip in clips])
    if unnamed is not None and ask and config.speakers == "auto":
        raise UserError(
            f"{corpus.name}: no speaker is named, but the clips' names hold what recurs as speakers do, each in "
            f"several classes: {one_of(list(unnamed.values), 3)}. Keep them apart with {unnamed.offer}, or go on "
            "without them with --data.speakers unknown."
        )
    clips, order, settled = settle_labels(
        clips,
        order,
        name=corpus.name,
        mapping=mapping,
        path=config.label_map or "",
        wanted=config.labels,
        drop=config.labels is not None,
        labelled=labelled,
    )
    notes += settled
    labels = _classes(clips, order, config.labels, corpus.name, labelled)
    others = Counter(clip.label for clip in clips if clip.label not in labels)
    if others:
        left = _listing(dict(sorted(others.items())))
        notes.append(f"{others.total()} clips that --data.labels does not name are left out ({left}).")
        clips = [clip for clip in clips if clip.label in labels]
    if config.max_clips is not None and config.max_clips < len(clips):
        notes.append(f"--data.max-clips uses {config.max_clips} of {len(clips)} clips, an even share of every class.")
        clips = _share(clips, labels, config.max_clips, seed)
    return Corpus(corpus.name, tuple(clips), labels, tuple(notes), unnamed)


def _find(config: DataConfig, seed: int, videos: bool, silent: bool, labelled: bool, asked: frozenset[str]) -> Corpus:
    """Read everything below root; `labels` is the corpus's own order of classes, empty where it has none."""
    if config.corpus == "synthetic":
        return _render(config, seed)
    if not config.root:
        raise UserError("--data.root is empty; give a folder of recordings or a list, or say --data.corpus synthetic.")
    if config.corpus in SETS:
        found = read_set(config, videos=videos, labelled=labelled)
        return Corpus(found.name, found.utterances, found.order, found.notes)
    if config.split is not None:
        raise UserError(f"--data.split {config.split}: it is for --data.corpus {', '.join(SETS)}; leave it out.")
    root = as_path(config.root)
    if not root.exists():
        raise UserError(f"--data.root {root}: there is no such folder or list; correct the path.")
    if root.is_file() and videos:
        raise UserError(f"--data.root {root}: videos are looked for below a folder; give the folder.")
    if root.is_file():
        kind = LIST_SUFFIXES.get(root.suffix.lower()) if config.corpus == "auto" else _LIST_KINDS.get(config.corpus)
        if kind is None:
            raise UserError(
                f"--data.root {root}: a file is read as a list, known by its suffix ({', '.join(LIST_SUFFIXES)}) or "
                f"by --data.corpus ({', '.join(_LIST_KINDS)}), which is {config.corpus}; give such a list or a folder."
            )
        audio_root = None if config.audio_root is None else as_path(config.audio_root)
        clips, notes = read_list(
            root,
            kind,
            audio_root=audio_root,
            skip_missing=config.skip_bad,
            columns=config.columns,
            labelled=labelled and config.label_pattern is None,
            asked=None if config.labels is not None else asked,
        )
        return Corpus(root.stem, tuple(clips), (), (f"The clips are read from the list {root.name} ({kind}).", *notes))
    if config.columns:
        raise UserError(
            f"--data.root {root}: it is a folder; --data.columns is for a list, so give that, or leave it out."
        )
    if config.corpus in _LIST_KINDS:
        raise UserError(f"--data.root {root}: it is a folder; --data.corpus {config.corpus} reads a list file.")
    if is_remote(root) and (videos or config.corpus in ANNOTATED):
        these = "videos are" if videos else f"{ANNOTATED[config.corpus].title} is"
        raise UserError(f"--data.root {root}: {these} read from a disk; copy the folder there.")
    looked_for = config.corpus == "auto" and config.label_pattern is None and not is_remote(root) and root.is_dir()
    told = find_annotated(root) if looked_for else config.corpus if config.corpus in ANNOTATED else None
    if told is not None:
        corpus = ANNOTATED[told]
        result = corpus.read(root, videos=videos, skip_missing=config.skip_bad, labelled=labelled)
        return Corpus(corpus.title, result.utterances, result.order, result.notes)
    if videos:
        from serjax.data.corpora.pairs import read_pairs

        audio_root = None if config.audio_root is None else Path(config.audio_root)
        pairs = read_pairs(root, config.corpus, audio_root=audio_root, silent=silent)
        return Corpus(pairs.name, pairs.utterances, pairs.order, pairs.notes)
    files, unread = audio_files(root)
    known = recognise(root, files) if config.corpus == "auto" else config.corpus if config.corpus in NAMED else None
    if known is None and config.label_pattern is not None:
        return Corpus(root.resolve().name, tuple(label_files(root, files)), (), tuple(unread))
    if known is None:
        note = "A folder a class: the labels are the folders' names."
        as_told = config.corpus == "folder"
        files, copies = (files, []) if as_told else without_versions(root.absolute(), files)
        clips = read_classes(root, files, as_told=as_told)
        return Corpus(root.resolve().name, tuple(clips), (), (note, *passed_through(root, clips), *copies, *unread))
    clips, by_folder, notes = read_named(root, files, known, folders_label=config.corpus == "auto")
    layout = LAYOUTS[layout_of(known)]
    return Corpus(layout.title, tuple(clips), () if by_folder else layout.order, (*notes, *unread))


def _render(config: DataConfig, seed: int) -> Corpus:
    """Render the synthetic corpus into root, or else below the cache."""
    size, usual = asdict(config.synthetic), asdict(SyntheticConfig())
    which = "".join(f"-{name.partition('_')[0]}{value}" for name, value in size.items() if value != usual[name])
    default = Path(config.cache or "checkpoints") / f"{synthetic.NAME}-seed{seed}{which}"
    root = Path(config.root) if config.root else default
    folder = distributed.first_then_rest("synthetic corpus", lambda: synthetic.render(root, seed=seed, **size))
    files, _ = audio_files(folder)
    clips = []
    for clip in read_classes(folder, files):
        values, votes = synthetic.told(clip.path, seed=seed, speakers=config.synthetic.speakers)
        clips.append(replace(clip, speaker=synthetic.speaker(clip.path), values=values, votes=votes))
    return Corpus(synthetic.NAME, tuple(clips), (), (f"The clips are not recordings: rendered with seed {seed}.",))


def _classes(
    clips: Sequence[Utterance], order: Sequence[str], wanted: Sequence[str] | None, name: str, labelled: bool
) -> tuple[str, ...]:
    """Return the classes in their order: as wanted, else the corpus's own, else sorted."""
    counts = Counter(clip.label for clip in clips)
    # Labels that are integers are class numbers: 2 comes before 10.
    rest = sorted(counts.keys() - set(order), key=int if all(map(str.isdecimal, counts)) else None)
    known = (*(label for label in order if label in counts), *rest)
    if wanted is not None:
        absent = [label for label in wanted if label not in counts]
        if absent:
            found = _listing({label: counts[label] for label in known})
            raise UserError(f"--data.labels: no clip is labelled {one_of(absent)}; the corpus has {found}.")
        if len(set(wanted)) < len(wanted):
            raise UserError(f"--data.labels {' '.join(wanted)}: a label stands there twice; name every class once.")
        labels = tuple(wanted)
    else:
        labels = known
    if len(labels) < 2 and labelled:
        found = _listing({label: counts[label] for label in labels})
        raise UserError(f"{name}: there is only one class ({found}); training needs clips of two or more.")
    return labels


def _share(clips: Sequence[Utterance], labels: Sequence[str], count: int, seed: int) -> list[Utterance]:
    """Choose `count` clips, as equally many of every class and speaker as there are; they keep their order.

    Classes take turns, and each takes a clip of the speaker who has been chosen least.
    """
    if count < len(labels):
        raise UserError(
            f"--data.max-clips {count}: {len(labels)} classes need a clip each; give {len(labels)} or more."
        )
    waiting: dict[str, dict[str | None, list[int]]] = {label: defaultdict(list) for label in labels}
    for index in np.random.default_rng(seed).permutation(len(clips)).tolist():
        waiting[clips[index].label][clips[index].speaker].append(index)
    used: Counter[str | None] = Counter()
    used_in: Counter[tuple[str, str | None]] = Counter()
    chosen: list[int] = []
    while len(chosen) < min(count, len(clips)):
        for label in labels:
            speakers = waiting[label]
            if speakers and len(chosen) < count:
                speaker = min(speakers, key=lambda name: (used[name], used_in[label, name]))
                chosen.append(speakers[speaker].pop())
                used[speaker] += 1
                used_in[label, speaker] += 1
                if not speakers[speaker]:
                    del speakers[speaker]
    return [clips[index] for index in sorted(chosen)]


def _listing(counts: dict[str, int]) -> str:
    return ", ".join(f"{label} {count}" for label, count in counts.items())
