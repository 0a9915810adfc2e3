"""HuBERT adapted to a corpus: labels of its frames, then masked prediction of them (task-adaptive pretraining).

Command: python -m serjax.pretrain --exp tapt_hubert --data.root DIR
    Then: python -m serjax.train --exp hubert_align --data.root DIR --model.checkpoint checkpoints/tapt_hubert
    From scratch: --model.size small --labels.of mfcc --labels.cluster.clusters 100 --masked.feature-grad-mult 0.1
    The steps one by one: python -m serjax.pretrain labels ..., python -m serjax.pretrain masked ...
Needs: a folder of recordings, and facebook/hubert-base-ls960 (fetched from the hub, or a directory given with
    --model.checkpoint DIR).
Takes: 20,000 updates of 87.5 s of audio for every fold: hours on a GPU. docs/results/pretraining.md has what a CPU did.
Expect: docs/results/pretraining.md has numbers from scratch; after Li et al., ICASSP 2024.
"""

from serjax.config.pretraining import PretrainExperiment, StartConfig


def experiment() -> PretrainExperiment:
    """Return the experiment: 500 clusters of layer 9, of each fold's own clips."""
    return PretrainExperiment(name="tapt_hubert", model=StartConfig(checkpoint="facebook/hubert-base-ls960"))
