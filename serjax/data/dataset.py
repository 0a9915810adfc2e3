"""A corpus ready for training: clips found, decoded, divided into folds and checked."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Int

from serjax.audio.config import AugmentConfig, Codec
from serjax.audio.highpass import LARGE_OFFSET
from serjax.audio.vad import load_silero
from serjax.data.batching.batches import Frames
from serjax.data.batching.channel import Channel
from serjax.data.config import DataConfig, FoldsConfig
from serjax.data.corpora.read import describe, read_corpus
from serjax.data.coverage import measure_coverage, unheard_note
from serjax.data.folds.alike import MOST, alike_clips, may_divide
from serjax.data.folds.fold import Fold
from serjax.data.folds.leakage import check_folds
from serjax.data.folds.make import fewer_folds, make_folds
from serjax.data.folds.recordings import Kept, kept_together
from serjax.data.store.clips import ClipStore, SilentClips, open_store
from serjax.data.store.face_features import read_face_features
from serjax.data.target_config import ONE_CLASS, TargetConfig
from serjax.data.targets import Targets, check_targets, read_targets
from serjax.data.utterance import Utterance
from serjax.runtime.errors import one_of
from serjax.video.config import VideoConfig

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from serjax.data.store.video import FrameStore


class Data(NamedTuple):
    """Clips with their classes and folds.

    Attributes:
        corpus: name of the corpus.
        store: the decoded clips.
        labels: names of the classes, in the order of a model's outputs.
        classes: class of each clip.
        folds: all of them, whichever are trained.
        corpus_notes: sentences for the report on how the corpus was read.
        leakage_notes: sentences on clips that stand on both sides of a fold.
        frames: for models that take video.
        targets: of the clips, where they are other than one class.
        unlabelled: clips of another corpus that training adapts to.
    """

    corpus: str
    store: ClipStore | SilentClips
    labels: tuple[str, ...]
    classes: Int[np.ndarray, "clips"]
    folds: tuple[Fold, ...]
    corpus_notes: tuple[str, ...]
    leakage_notes: tuple[str, ...]
    frames: Frames | None = None
    targets: Targets | None = None
    unlabelled: ClipStore | None = None

    @property
    def outputs(self) -> int:
        """Number of a model's outputs."""
        return len(self.labels) if self.targets is None else self.targets.values.shape[1]


def read_data(
    config: DataConfig,
    folds: FoldsConfig,
    *,
    seed: int,
    cache: Path,
    modalities: frozenset[str] = frozenset({"sound"}),
    video: VideoConfig | None = None,
    target: TargetConfig = ONE_CLASS,
) -> Data:
    """Find, decode and divide the clips.

    Args:
        config: where they are.
        folds: how they are divided.
        seed: of folds, of the clips that `config.max_clips` chooses, and of what is synthetic.
        cache: folder in which decoded clips and frames are kept, each kind in a folder of its own.
        modalities: what the model takes, of "sound" and "video". Without sound, none is decoded or needed.
        video: how videos are read; needed with the modality video.
        target: what is learned of a clip.

    Raises:
        UserError: clips that cannot be used, labels, speakers or folds that do not fit; see `read_corpus`,
            `open_store`, `make_folds`, `check_folds` and `read_targets`.
    """
    if "video" not in modalities:
        video = None
    sound = "sound" in modalities
    # Face features come from an archive, and then the clips are sound files.
    pictures = video if video is not None and video.face_features is None else None
    filmed = pictures is not None and not pictures.drawn
    corpus = read_corpus(
        replace(config, cache=str(cache)), seed=seed, videos=filmed, silent=not sound, labelled=target.needs_label
    )
    for note in corpus.notes:
        log.info(note)
    frames = None
    if pictures is not None:
        frames = _open_frames(pictures, corpus.utterances, cache / "frames", config.skip_bad, seed)
    store: ClipStore | SilentClips
    if frames is not None and not sound:
        store = SilentClips(frames.utterances, frames.hashes, frames.skipped)
    else:
        utterances = corpus.utterances if frames is None else frames.utterances
        store = _open_clips(config, utterances, cache / "clips")
    log.info(describe(store.utterances, corpus.labels))
    fewer = fewer_folds(store.utterances, folds)
    if fewer is not None:
        log.warning(fewer)
    # Labels that nobody learns must not decide how clips are divided, nor forbid it.
    learned = store.utterances if target.of_labels else tuple(replace(clip, label="") for clip in store.utterances)
    kept, uncompared = _kept_together(store, folds)
    divided, notes = check_folds(
        make_folds(learned, folds, seed, kept),
        learned,
        store.hashes,
        allow_speaker_overlap=folds.allow_speaker_overlap,
        disjoint=folds.disjoint,
        kept=kept,
        silent=lambda i: isinstance(store, ClipStore) and not np.ptp(store.clip(i)),
    )
    notes = (*notes, *uncompared)
    if corpus.unnamed is not None:
        unused = (
            f"The clips' names seem to hold speakers that are not used: {corpus.unnamed.offer} would. They may stand "
            "on both sides of a fold, which raises scores."
        )
        notes = (unused, *notes)
    for note in notes:
        log.info(note)
    targets = None if target.plain else read_targets(store.utterances, corpus.labels, target)
    if targets is not None:
        check_targets(targets, divided)
        for note in targets.notes:
            log.info(note)
    classes = np.array([corpus.labels.index(clip.label) for clip in store.utterances], np.int32)
    rows: Frames | None = None if frames is None else frames.of(store.utterances)
    if video is not None and video.face_features is not None:
        rows = read_face_features(video.face_features, store.utterances)
    corpus_notes = corpus.notes if frames is None else (*corpus.notes, *frames.summary)
    unheard = unheard_note(measure_coverage(store.lengths, config.max_seconds), config.eval_crop) if sound else None
    if unheard is not None:
        log.info(unheard)
    corpus_notes = (*corpus_notes, *(note for note in (fewer, unheard) if note is not None))
    if isinstance(store, ClipStore):
        corpus_notes = (*corpus_notes, *_sound_notes(store, filtered=config.highpass is not None))
    if targets is not None:
        corpus_notes = (*corpus_notes, *targets.notes)
    return Data(corpus.name, store, corpus.labels, classes, divided, corpus_notes, notes, rows, targets)


def _kept_together(store: ClipStore | SilentClips, folds: FoldsConfig) -> tuple[list[Kept], list[str]]:
    """Return the clips that folds must not divide, and a sentence where sounds are not compared."""
    clips = store.utterances
    if not (isinstance(store, ClipStore) and may_divide(clips, folds)):
        return kept_together(clips), []
    if len(clips) > MOST:
        return kept_together(clips), [f"More than {MOST:,} clips: whether some are altered copies is not looked for."]
    return kept_together(clips, alike_clips(store)), []


def open_channel(data: Data, config: DataConfig, augment: AugmentConfig, cache: Path) -> Channel | None:
    """Return the codecs and the babble of training, each clip encoded once and kept; None where there are none.

    Args:
        data: the clips.
        config: how they were decoded.
        augment: which codecs.
        cache: as of `read_data`.

    Raises:
        UserError: PyAV, or an encoder in it, is missing; or as `open_store`.
    """
    if not augment.changes_channel:
        return None
    codecs = augment.codec if augment.codec_p else ()
    for codec in codecs:
        log.info(f"{len(data.store)} clips through {codec}.")
    return Channel(
        augment, tuple(_open_clips(config, data.store.utterances, cache / "clips", codec) for codec in codecs)
    )


def _open_clips(
    config: DataConfig, utterances: Sequence[Utterance], folder: Path, codec: Codec | None = None
) -> ClipStore:
    """Decode the sound of the clips."""
    if config.vad == "silero":
        load_silero()  # a missing package is reported once, and not for every clip
    store = open_store(
        utterances,
        folder,
        skip_bad=config.skip_bad,
        vad=config.vad,
        cutoff=config.highpass,
        keep=config.keep_decoded,
        codec=codec,
    )
    if codec is not None:
        return store
    if store.untrimmed:
        log.info(f"{store.untrimmed} clips keep their silence: too little of them would be left.")
    for line in store.skipped:
        log.warning(f"skipped: {line}")
    return store


def _sound_notes(store: ClipStore, *, filtered: bool) -> list[str]:
    """Return sentences on large DC offsets, which are logged too."""
    notes = []
    large = [clip.id for clip, offset in zip(store.utterances, store.offsets, strict=True) if offset > LARGE_OFFSET]
    if large and not filtered:
        notes.append(
            f"{len(large)} clips have a DC offset above {LARGE_OFFSET:.0%} of their RMS ({one_of(large)}), which "
            "models hear; --data.highpass 20 removes it."
        )
    for note in notes:
        log.info(note)
    return notes


def _open_frames(
    video: VideoConfig, utterances: Sequence[Utterance], folder: Path, skip_bad: bool, seed: int
) -> "FrameStore":
    """Decode, or draw, the frames of the clips."""
    from serjax.data.store.video import open_drawn, open_frames

    if video.drawn:
        store = open_drawn(utterances, folder, seed=seed, count=video.frames, size=video.size)
    else:
        store = open_frames(
            utterances, folder, skip_bad=skip_bad, faces=video.faces, count=video.frames, size=video.size
        )
    for line in store.skipped:
        log.warning(f"skipped: {line}")
    for note in store.notes:
        log.info(note)
    return store
