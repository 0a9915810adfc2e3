"""Corpora of a study: their clips are found, their labels mapped, and the classes chosen that all of them have."""

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

from serjax.data.config import DataConfig
from serjax.data.corpora.label_names import read_label_map, settle_labels
from serjax.data.corpora.read import read_corpus
from serjax.runs.study.settings import Study, StudyCorpus
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.json_files import parse_json
from serjax.runtime.text import read_lines

log = logging.getLogger(__name__)


def data_config(study: Study, corpus: StudyCorpus) -> DataConfig:
    """Return the settings by which a corpus of a study is read."""
    return DataConfig(
        root=corpus.root,
        corpus=corpus.kind,  # type: ignore[arg-type]
        audio_root=corpus.audio_root,
        label_map=corpus.label_map,
        labels=study.labels,
        speaker_pattern=corpus.speaker_pattern,
        speakers="unknown" if _unnamed(corpus) else "auto",
        max_seconds=study.max_seconds,
        max_clips=study.max_clips,
        skip_bad=study.skip_bad,
        cache=str(study.cache_dir),
    )


def _unnamed(corpus: StudyCorpus) -> bool:
    """Return whether the corpus is a list of EmoBox without speakers, whose folds are given all the same."""
    if corpus.folds is None or corpus.speaker_pattern is not None or not corpus.root.endswith(".jsonl"):
        return False
    first = next((line for _, line in read_lines(Path(corpus.root))), "{}")
    try:
        return not {"spk", "speaker"} & set(parse_json(first, corpus.root))
    except (UserError, TypeError):
        return False  # the reader of lists says what is wrong


def with_classes(study: Study) -> Study:
    """Return the study with the classes that are used; across corpora, those that all have in common.

    Every corpus is looked at before anything is computed.

    Raises:
        UserError: a corpus cannot be read, a map leaves a class empty or lacks a label, or corpora have fewer than two
            classes in common.
    """
    found = {corpus.name: _classes(study, corpus) for corpus in study.corpora}
    if study.labels is not None:
        for name, labels in found.items():
            absent = [label for label in study.labels if label not in labels]
            if absent:
                raise UserError(
                    f"--labels: no clip of {name} is labelled {one_of(absent)}; it has {', '.join(labels)}. "
                    f"Translate its labels with --label-map {name}=FILE."
                )
        return study
    if study.protocol != "cross":
        return study
    first, *others = found.values()
    common = tuple(label for label in first if all(label in labels for labels in others))
    if len(common) < 2:
        has = "; ".join(f"{name} has {', '.join(labels)}" for name, labels in found.items())
        which = f"only the class {common[0]}" if common else "no class"
        raise UserError(
            f"--corpora: they have {which} in common ({has}); translate labels with --label-map NAME=FILE, so that two "
            "or more are called the same."
        )
    for name, labels in found.items():
        left = [label for label in labels if label not in common]
        if left:
            log.info(f"{name}: clips of {one_of(left)} are left out, as not all corpora have them.")
    log.info(f"Classes in common: {', '.join(common)}.")
    return replace(study, labels=common)


def _classes(study: Study, corpus: StudyCorpus) -> tuple[str, ...]:
    """Return the classes of a corpus in the names of its map, in its own order.

    Raises:
        UserError: it cannot be read, or its map does not fit.
    """
    plain = replace(data_config(study, corpus), label_map=None, labels=None, max_clips=None)
    read = read_corpus(plain, seed=study.seed)
    if corpus.label_map is None:
        return read.labels
    drop = study.protocol == "cross" or study.labels is not None
    mapping = read_label_map(corpus.label_map)
    mapped, labels, _ = settle_labels(
        read.utterances, read.labels, name=corpus.name, mapping=mapping, path=corpus.label_map, drop=drop
    )
    counts = Counter(clip.label for clip in mapped)
    meant = [label for label in mapping.values() if study.labels is None or label in study.labels]
    empty = [label for label in dict.fromkeys(meant) if not counts[label]]
    if empty:
        raise UserError(
            f"--label-map {corpus.name}={corpus.label_map}: it leaves {one_of(empty)} without a clip; {corpus.name} is "
            f"labelled {', '.join(read.labels)}, so correct the map, or choose classes with --labels."
        )
    return labels
