"""Heads on a frozen Whisper on K folds, after EmoBox, whose scores are best with whisper-large-v3.

Command: python -m serjax.train --exp whisper_kfold --data.root DIR
    As EmoBox computes it, at ten times the work for a clip of 3 s: --model.padding transformers
Needs: a folder of recordings, and openai/whisper-large-v3 (fetched from the hub, or a directory given with
    --model.checkpoint DIR; openai/whisper-tiny is one of 1/80). Without pretrained weights: --model.size tiny.
Takes: the encoder once over all clips (637 million weights; a GPU is advised), and then seconds for all heads.
Expect: EmoBox reports a mean unweighted accuracy of 72.9 % over 32 corpora. Not run here with published weights.
"""

from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig
from serjax.models.speech import Speech
from serjax.training.config import OptimizerConfig, TrainConfig


def experiment() -> Experiment:
    """Return the experiment: EmoBox's head on the clip's frames, Adam at 1e-4, 20 epochs of which half warm up."""
    return Experiment(
        name="whisper_kfold",
        data=DataConfig(max_seconds=30.0),
        model=Speech(
            family="whisper",
            checkpoint="openai/whisper-large-v3",
            pooling="mean",
            head="frame_relu",
            head_size=256,
            state_norm=True,
            dropout=0.0,
            freeze="encoder",
        ),
        optimizer=OptimizerConfig(schedule="linear", warmup=0.5, weight_decay=0.0, clip_norm=5.0),
        train=TrainConfig(epochs=20, batch_size=32, patience=20, learning_rates=(1e-4,)),
    )
