"""Emotions of natural speech with WavLM-large, after the baseline of the MSP-Podcast challenge at Interspeech 2025.

Command: python -m serjax.train --exp msp_wavlm --data.root MSP-Podcast
    Its dimensions: --target.kind dimensions --target.dimensions arousal=1:7 valence=1:7 dominance=1:7
    The annotators' votes: --target.kind soft
Needs: MSP-Podcast as released (Labels/labels_consensus.csv, Labels/labels.txt for votes, Audios/), and
    microsoft/wavlm-large (fetched from the hub, or a directory given with --model.checkpoint DIR).
Takes: days on one GPU: 300 million weights, and some 100,000 clips of up to 11 s. Not run here.
Expect: unknown here.
"""

from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.models.speech import Speech
from serjax.training.config import OptimizerConfig, TrainConfig


def experiment() -> Experiment:
    """Return the experiment: published parts, attentive statistics, weighted loss, batches of 32, 20 epochs at 1e-5."""
    return Experiment(
        name="msp_wavlm",
        data=DataConfig(corpus="msp_podcast", max_seconds=11.0),
        folds=FoldsConfig(kind="parts"),
        model=Speech(
            family="wavlm",
            checkpoint="microsoft/wavlm-large",
            pooling="attentive_stat",
            attention_size=1024,
            head="layernorm_relu",
            head_size=1024,
            dropout=0.5,
        ),
        optimizer=OptimizerConfig(schedule="constant", max_lr=1e-5, clip_norm=None),
        train=TrainConfig(epochs=20, batch_size=32, balance="weights", patience=20),
    )
