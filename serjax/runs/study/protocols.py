"""Protocols of a study: the experiment that trains an encoder's heads on a corpus.

emobox is the set-up of EmoBox (Ma et al., "EmoBox: Multilingual Multi-corpus Speech Emotion Recognition Toolkit and
Benchmark", Interspeech 2024) as its published recipe has it (github.com/emo-box/EmoBox, examples/sb): each frame of the
last hidden state, normalised clip by clip, through a Linear of 256 and ReLU, the mean over frames, and a Linear layer;
Adam at 1e-4, 20 epochs in batches of 32, a fifth of the training clips for validation where a fold has none of its own.
speaker and cross take the probe of SUPERB (Yang et al., "SUPERB: Speech processing Universal PERformance Benchmark",
Interspeech 2021): a learned sum of all layers, a Linear of 256, the mean over frames, and a Linear layer.
"""

from serjax.config.experiment import Experiment
from serjax.data.config import FoldsConfig
from serjax.models.speech import Speech
from serjax.runs.study.corpora import data_config
from serjax.runs.study.settings import CELLS, Study, StudyCorpus, StudyEncoder
from serjax.training.config import OptimizerConfig, TrainConfig

PROBE_RATES = (1e-4, 1e-3, 1e-2)
"""Learning rates of speaker and cross, where none are given: means of frames are small numbers with some encoders."""
EMOBOX_RATE = 1e-4
EMOBOX_WARMUP = 0.5
"""The recipe's schedule warms up for 10 of its 20 epochs, and then falls linearly."""
EMOBOX_CLIP_NORM = 5.0
"""SpeechBrain's default."""


def cell_experiment(study: Study, encoder: StudyEncoder, corpus: StudyCorpus) -> Experiment:
    """Return the experiment that trains all folds, seeds and rates of an encoder on a corpus, side by side."""
    emobox = study.protocol == "emobox"
    start = {"checkpoint": encoder.checkpoint, "family": encoder.family, "size": encoder.size}
    shared = {"pooling": "mean", "head_size": 256, "dropout": 0.0, "freeze": "encoder", "dtype": study.dtype}
    if emobox:
        model = Speech(**start, **shared, head="frame_relu", state_norm=True)  # type: ignore[arg-type]
        optimizer = OptimizerConfig(
            schedule="linear", warmup=EMOBOX_WARMUP, weight_decay=0.0, clip_norm=EMOBOX_CLIP_NORM
        )
    else:
        model = Speech(**start, **shared, head="projector", weighted_layers=True)  # type: ignore[arg-type]
        optimizer = OptimizerConfig()
    return Experiment(
        name=corpus.name,
        out=str(study.folder / CELLS / encoder.name),
        data=data_config(study, corpus),
        folds=_folds(study, corpus),
        model=model,
        optimizer=optimizer,
        train=TrainConfig(
            epochs=study.epochs,
            batch_size=study.batch_size,
            patience=study.epochs,
            seeds=study.seeds,
            learning_rates=study.learning_rates or ((EMOBOX_RATE,) if emobox else PROBE_RATES),
        ),
        seed=study.seed,
    )


def _folds(study: Study, corpus: StudyCorpus) -> FoldsConfig:
    if study.protocol != "emobox":
        return FoldsConfig(kind="speaker", count=study.folds)
    # Some of EmoBox's folds divide clips and not speakers, which the report then says.
    return FoldsConfig(kind="files", path=corpus.folds, allow_speaker_overlap=True)
