"""Facts on an experiment that a plan needs, without reading weights or sound."""

from dataclasses import dataclass, replace

from serjax.checkpoints.hub import resolve as find_directory
from serjax.checkpoints.huggingface import read_layout
from serjax.checkpoints.preprocessor import default_preprocessor
from serjax.config.experiment import Experiment, cache_folder
from serjax.data.config import FoldsConfig
from serjax.data.corpora.read import read_corpus
from serjax.data.folds.make import chosen_folds, make_folds
from serjax.models.base import EncoderLayout, Resolution
from serjax.models.encoders.config import preset
from serjax.runs.starts import find_adapter
from serjax.runtime.errors import UserError

CLIPS, CLASSES = 1440, 8
"""Size of a corpus that is not given: the speech of RAVDESS."""
_COUNTED = ("auto", "stratified", "speaker")
_SINGLE = ("split", "split_speakers", "every_tenth")


@dataclass(frozen=True)
class Extent:
    """How much is trained.

    Attributes:
        folds: folds, each with all seeds and learning rates: how many trials there are.
        train: clips of the largest training part.
        validation: clips of the largest validation part.
        classes: number of classes.
        note: a sentence on where the numbers come from.
    """

    folds: int
    train: int
    validation: int
    classes: int
    note: str


def resolved(experiment: Experiment, *, heads: bool = False) -> Experiment:
    """Return an experiment whose model can be built; of a checkpoint, config.json alone decides.

    Args:
        experiment: what would be trained.
        heads: accept one that trains heads alone.

    Raises:
        UserError: the checkpoint cannot be found, or heads alone are trained.
    """
    model, layout, adapter = experiment.model, None, None
    speech = model.encoder_settings
    if model.encoded_once and not heads:
        raise UserError(
            "model.freeze is encoder, or model.adapter.encode_once: heads (and adapters) are trained on features that "
            "are computed once, and fit anywhere; plan an experiment that runs its encoder."
        )
    if speech is not None:
        if speech.size is not None:
            config = preset(speech.family, speech.size)
            preprocessor = default_preprocessor(config)
        elif speech.checkpoint is None:
            raise UserError("--model.checkpoint and --model.size are both missing; give a checkpoint or a size.")
        else:
            directory = find_directory(speech.checkpoint)
            _, config, preprocessor, _ = read_layout(directory, speech.checkpoint)
        layout = EncoderLayout(config, preprocessor.normalize, preprocessor.return_attention_mask)
        adapter = find_adapter(model, config).settings
    if model.video is not None and model.video.face_features is not None:
        raise UserError("model.video.face-features: how long its vectors are is not known to a plan; leave it out.")
    return replace(experiment, model=model.resolved(Resolution(experiment.data.max_seconds, layout, adapter=adapter)))


def extent(experiment: Experiment, clips: int | None = None) -> Extent:
    """Return how much an experiment trains: of the corpus below data.root, or of so many clips.

    Args:
        experiment: what to train.
        clips: of a corpus that is not at hand; by default `CLIPS`, where data.root is empty.

    Raises:
        UserError: the corpus cannot be read, or its folds depend on speakers that are not known.
    """
    trials = experiment.train.seeds * max(1, len(experiment.train.learning_rates))
    if experiment.data.root and clips is None:
        data = replace(experiment.data, cache=str(cache_folder(experiment)))
        corpus = read_corpus(data, seed=experiment.seed)
        folds = make_folds(corpus.utterances, experiment.folds, experiment.seed)
        folds = tuple(chosen_folds(folds, experiment.folds.only))
        return Extent(
            len(folds) * trials,
            max(len(fold.train) for fold in folds),
            max(len(fold.validation) for fold in folds),
            len(corpus.labels),
            f"{corpus.name}: {len(corpus.utterances)} clips.",
        )
    count = CLIPS if clips is None else clips
    number = _folds(experiment.folds)
    share = 1 - 1 / number if number > 1 else experiment.folds.split[0] + experiment.folds.split[1]
    learned = max(1, round(count * share))
    validation = round(learned * experiment.folds.validation_share)
    chosen = len(experiment.folds.only or range(number))
    note = f"No corpus is read: {count} clips of {CLASSES} classes (--clips)."
    return Extent(chosen * trials, max(1, learned - validation), validation, CLASSES, note)


def _folds(config: FoldsConfig) -> int:
    if config.disjoint is not None:
        raise UserError(
            f"folds.disjoint is {config.disjoint}: how many folds it makes depends on the corpus; give --data.root, or "
            "leave it out of the plan."
        )
    if config.kind in _SINGLE:
        return 1
    if config.kind == "speaker_groups":
        return len(config.groups)
    if config.kind not in _COUNTED:
        raise UserError(
            f"folds.kind is {config.kind}: how many folds it makes depends on the corpus; give --data.root, or a plan "
            f"of --folds.kind stratified."
        )
    return config.count
