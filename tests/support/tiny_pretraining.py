"""Tones of four speakers, and a pretraining on them that takes seconds."""

from dataclasses import replace

from serjax.checkpoints.conversion import to_tensors
from serjax.checkpoints.huggingface import load_encoder
from serjax.config.pretraining import LabelsConfig, PretrainExperiment, StartConfig
from serjax.data.config import DataConfig, FoldsConfig
from serjax.features.config import ClusterConfig
from serjax.training.config import MaskedConfig

SAMPLES = 20_000
"""Of every clip: one length is one shape to compile."""


def small(corpus, out, name="run", **changes):
    masked = MaskedConfig(
        updates=4, save_every=2, seconds=4.0, projection=8, feature_grad_mult=0.1, mask_length=3, longest=2.0
    )
    experiment = PretrainExperiment(
        name=name,
        data=DataConfig(root=str(corpus), speaker_pattern=r"(?P<speaker>spk\d+)"),
        folds=FoldsConfig(kind="speaker", count=2),
        model=StartConfig(size="tiny"),
        labels=LabelsConfig(of="mfcc", cluster=ClusterConfig(clusters=4, batch_size=500, starts=2, patience=5)),
        masked=masked,
        out=str(out),
    )
    return replace(experiment, **changes)


def weights(folder):
    return to_tensors(load_encoder(str(folder)).encoder)
