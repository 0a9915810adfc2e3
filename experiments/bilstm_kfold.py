"""The BiLSTM of `bilstm` on folds that keep speakers apart.

Command: python -m serjax.train --exp bilstm_kfold --data.root DIR
Needs: a folder of recordings.
Takes: five times as long as `bilstm`.
    By windows, for small corpora: docs/results/scores.md has the command that did best on EMO-DB.
Expect: less than `bilstm`, for every clip is answered by a model that was trained without its speaker.
"""

from dataclasses import replace

import serjax
from serjax.config.experiment import Experiment
from serjax.data.config import FoldsConfig


def experiment() -> Experiment:
    """Return the experiment."""
    return replace(serjax.experiment("bilstm"), name="bilstm_kfold", folds=FoldsConfig())
