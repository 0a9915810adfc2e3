"""`hubert_align` for a desk: eight epochs on crops of 3 s, for a `small` HuBERT that was pretrained on a CPU.

Command: python -m serjax.train --exp hubert_align_small --data.root DIR --model.checkpoint RUN
    RUN: what `python -m serjax.pretrain --model.size small` made; docs/results/pretraining.md has all commands.
    From random weights, to compare with: --model.size small
    At the end of every fold's five steps: python -m serjax.pretrain --exp cpt_hubert
    --align.finetune hubert_align_small
Needs: a folder of recordings, and such a run.
Takes: on one core 17 to 20 clips a second; 40 to 51 minutes for six folds of RAVDESS.
Expect: docs/results/pretraining.md has its scores.
"""

from dataclasses import replace

import serjax
from serjax.config.experiment import Experiment


def experiment() -> Experiment:
    """Return the experiment: OneCycle to 3e-4, batches of 16."""
    base = serjax.experiment("hubert_align")
    return replace(
        base,
        name="hubert_align_small",
        data=replace(base.data, max_seconds=3.0),
        optimizer=replace(base.optimizer, schedule="onecycle", max_lr=3e-4, clip_norm=1.0),
        train=replace(base.train, epochs=8, batch_size=16, patience=8),
    )
