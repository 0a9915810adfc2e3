"""The clips of an experiment: found, decoded, divided into folds and checked."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from jaxtyping import Int, Shaped

from serjax.audio.vad import load_silero
from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig
from serjax.data.corpora.read import describe, read_corpus
from serjax.data.folds.fold import Fold
from serjax.data.folds.leakage import check_folds
from serjax.data.folds.make import make_folds
from serjax.data.store.clips import ClipStore, Unheard, open_store
from serjax.data.store.face_features import read_units
from serjax.data.utterance import Utterance

if TYPE_CHECKING:
    from serjax.data.store.video import FrameStore
from serjax.config.experiment import cache_folder
from serjax.runtime.progress import Say


class Frames(Protocol):
    """What is seen of the clips."""

    @property
    def hashes(self) -> tuple[str, ...]:
        """Of what is seen of each clip."""

    def rows(self, clips: Int[np.ndarray, "*k b"]) -> tuple[Shaped[np.ndarray, "..."], Int[np.ndarray, "*k b"]]:
        """Return some clips' frames, and how many of them each clip has."""


class Data(NamedTuple):
    """Clips, their classes and their folds, checked; their frames for models that look at video."""

    corpus: str
    store: ClipStore | Unheard
    labels: tuple[str, ...]
    classes: Int[np.ndarray, "clips"]
    folds: tuple[Fold, ...]
    corpus_notes: tuple[str, ...]
    leakage_notes: tuple[str, ...]
    frames: Frames | None = None


def read_data(experiment: Experiment, say: Say) -> Data:
    """Find, decode and divide the clips; of videos whose sound the model does not hear none is decoded or needed.

    Raises:
        UserError: clips that cannot be used, labels, speakers or folds that do not fit; see `read_corpus`,
            `open_store`, `make_folds` and `check_folds`.
    """
    cache = cache_folder(experiment, "clips")
    pictured, hears = experiment.model.sees and experiment.video.units is None, experiment.model.hears
    filmed = pictured and not experiment.video.drawn
    corpus = read_corpus(
        replace(experiment.data, cache=str(cache.parent)), seed=experiment.seed, videos=filmed, silent=not hears
    )
    for note in corpus.notes:
        say(note)
    pictures = _pictures(experiment, corpus.utterances, say) if pictured else None
    store: ClipStore | Unheard
    if pictures is not None and not hears:
        store = Unheard(pictures.utterances, pictures.hashes, pictures.skipped)
    else:
        # Values in place of pictures are of clips that are sound files, which also tell copies.
        utterances = corpus.utterances if pictures is None else pictures.utterances
        store = _sounds(experiment.data, utterances, cache, say)
    say(describe(store.utterances, corpus.labels))
    folds = make_folds(store.utterances, experiment.folds, experiment.seed)
    folds, notes = check_folds(
        folds, store.utterances, store.hashes, allow_speaker_overlap=experiment.folds.allow_speaker_overlap
    )
    for note in notes:
        say(note)
    classes = np.array([corpus.labels.index(clip.label) for clip in store.utterances], np.int32)
    frames: Frames | None = None if pictures is None else pictures.of(store.utterances)
    if experiment.model.sees and experiment.video.units is not None:
        frames = read_units(experiment.video.units, store.utterances)
    told = corpus.notes if pictures is None else (*corpus.notes, *pictures.summary)
    return Data(corpus.name, store, corpus.labels, classes, folds, told, notes, frames)


def _sounds(settings: DataConfig, utterances: Sequence[Utterance], folder: Path, say: Say) -> ClipStore:
    """Decode the sound of the clips."""
    if settings.activity == "silero":
        load_silero()  # what is missing is said once, and not of every clip
    store = open_store(utterances, folder, skip_bad=settings.skip_bad, activity=settings.activity)
    if store.untrimmed:
        say(f"{store.untrimmed} clips keep their silence: too little of them would be left.")
    for line in store.skipped:
        say(f"skipped: {line}")
    return store


def _pictures(experiment: Experiment, utterances: Sequence[Utterance], say: Say) -> "FrameStore":
    """Decode, or draw, the frames of the clips."""
    from serjax.data.frames import open_drawn, open_frames  # FFmpeg and the detector take a while to load

    video, folder = experiment.video, cache_folder(experiment, "frames")
    if video.drawn:
        store = open_drawn(utterances, folder, seed=experiment.seed, count=video.frames, size=video.size)
    else:
        skip_bad = experiment.data.skip_bad
        store = open_frames(
            utterances, folder, skip_bad=skip_bad, faces=video.faces, count=video.frames, size=video.size
        )
    for line in store.skipped:
        say(f"skipped: {line}")
    for note in store.notes:
        say(note)
    return store
