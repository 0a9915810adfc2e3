"""Frame-level emotional state alignment: HuBERT pretrained on clusters of a fine-tuned HuBERT's frames.

Command: python -m serjax.pretrain --exp cpt_hubert --data.root DIR
    As the original, which clusters and pretrains on all sessions: --tapt.corpus all
Needs: a folder of recordings, and facebook/hubert-base-ls960 (fetched from the hub, or a directory given with
    --model.checkpoint DIR).
Takes: two pretrainings and two fine-tunings for every fold: hours on a GPU; from scratch on a CPU,
    docs/results/pretraining.md.
Expect: docs/results/pretraining.md has numbers from scratch; after Li et al., ICASSP 2024.
"""

from dataclasses import replace

import serjax
from serjax.config.pretraining import PretrainExperiment


def experiment() -> PretrainExperiment:
    """Return the experiment: `tapt_hubert`, fine-tuning, 50 clusters of its layer 9, and both once more."""
    return replace(serjax.experiment("tapt_hubert"), name="cpt_hubert", steps="cpt")
