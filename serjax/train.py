"""Train the folds of an experiment: `python -m serjax.train --exp NAME`.

From the recordings to a run folder: clips are found and decoded once, divided into folds and checked for leakage; all
folds are trained, each keeps its best state; every clip is answered by the fold that has not heard it; the models,
scores and pictures are written, and the ensemble that was saved answers for one clip.
"""

import shlex
from collections.abc import Sequence

from serjax import cli
from serjax.config.experiment import Experiment
from serjax.evaluation.tables import score_tables
from serjax.runs.finetune import train
from serjax.runs.search import is_wanted, search
from serjax.runtime.progress import console


def main(argv: Sequence[str]) -> int:
    """Train what the command line asks for."""
    experiment = cli.parse("serjax.train", argv, Experiment, "hubert_kfold")
    command = f"python -m serjax.train {shlex.join(argv)}"
    if is_wanted(experiment.search):
        print(search(experiment, lambda one: train(one, command)))
    else:
        console.print(score_tables(train(experiment, command)))
    return 0


if __name__ == "__main__":
    cli.run(main, "stopped; the same command goes on from the last epoch that was saved.")
