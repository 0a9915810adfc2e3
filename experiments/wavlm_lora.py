"""Five small models on one WavLM: LoRA of rank 16 in the last six layers, and a head, for each fold.

Command: python -m serjax.train --exp wavlm_lora --data.root DIR
    Adapters in all layers, and SpecAugment: --model.adapter.last-layers None --model.adapter.no-encode-once
Needs: a folder of recordings, and microsoft/wavlm-base-plus (fetched from the hub, or a directory given with
    --model.checkpoint DIR). Without pretrained weights: --model.size tiny --model.adapter.last-layers 2.
Takes: one pass of the lower six layers over all clips, then steps of the upper six; the encoder lies in memory and in
    the run folder once, whatever the number of folds, seeds and learning rates.
Expect: nothing is reported for this protocol; `wavlm_kfold` trains all weights of five encoders.
"""

from serjax.config.experiment import Experiment
from serjax.models.adapter_config import AdapterConfig
from serjax.models.speech import Speech
from serjax.training.config import OptimizerConfig, TrainConfig


def experiment() -> Experiment:
    """Return the experiment: queries, values and feed-forward layers are adapted, at a rate of 5e-4."""
    return Experiment(
        name="wavlm_lora",
        model=Speech(
            family="wavlm",
            checkpoint="microsoft/wavlm-base-plus",
            adapter=AdapterConfig(
                kind="lora",
                rank=16,
                alpha=32.0,
                dropout=0.05,
                targets="q_proj|v_proj|intermediate_dense|output_dense",
                last_layers=6,
                encode_once=True,
            ),
        ),
        optimizer=OptimizerConfig(max_lr=5e-4),
        train=TrainConfig(epochs=30, batch_size=16, patience=10),
    )
