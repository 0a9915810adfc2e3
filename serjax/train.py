"""Train the folds of an experiment: `python -m serjax.train --exp NAME`.

From the recordings to a run folder: clips are found and decoded once, divided into folds and checked for leakage; all
folds are trained, each keeps its best state; every clip is answered by the fold that was not trained on it; the models,
scores and pictures are written, and the ensemble that was saved answers for one clip.
"""

import logging
import os
import shlex
from collections.abc import Sequence
from dataclasses import replace

from serjax import cli
from serjax.config import arguments
from serjax.runtime.errors import UserError

log = logging.getLogger("serjax.train")

PARSER = arguments.Parser(add_help=False)
PARSER.add_argument(
    "--dry-run",
    action="store_true",
    help="print clips, folds, sound that crops leave out, what is suspicious, memory and time; and train nothing",
)


def main(argv: Sequence[str]) -> int:
    """Train what the command line asks for, and print its scores."""
    from serjax.config.experiment import Experiment

    own, rest = PARSER.parse_known_args(list(argv))
    if cli.help_asked(rest)[1] == "all":
        print(PARSER.format_help())
    experiment = cli.parse("serjax.train", rest, Experiment, "hubert_kfold", PARSER.option_names)
    if own.dry_run:
        from serjax.runs.dry_run import dry_run
        from serjax.runtime.progress import console

        for table in dry_run(experiment):
            console.print(table)
        return 0

    from serjax.evaluation.tables import score_tables
    from serjax.evaluation.task_tables import target_tables
    from serjax.runs.run import run
    from serjax.runs.search import search_table
    from serjax.runtime.distributed import first
    from serjax.runtime.hosts import array_task
    from serjax.runtime.progress import console

    if experiment.folds.only == (array_task(os.environ),) and not (experiment.job or experiment.search):
        log.info("The fold is the number of this task of an array: it is trained as a job (--job).")
        experiment = replace(experiment, job=True)
    if experiment.push_to_hub is not None:
        from serjax.runs.push import check_target, push

        experiment.check()  # a search checks the experiments that it makes
        if first():
            check_target(experiment.push_to_hub)
    report = run(experiment, f"python -m serjax.train {shlex.join(argv)}")
    if not first():
        return 0
    if experiment.search:
        print(search_table(report["search"]))
    else:
        console.print(target_tables(report) if "tasks" in report else score_tables(report))
    if experiment.push_to_hub is not None:
        try:
            log.info(f"Uploaded: {push(experiment.run_dir, experiment.push_to_hub)}")
        except UserError as error:
            later = f"python -m serjax.push {os.path.relpath(experiment.run_dir)} --to {experiment.push_to_hub}"
            raise UserError(f"{error} The run is finished; {later} uploads it.") from None
    return 0


if __name__ == "__main__":
    cli.run(main, "stopped; the same command goes on from the last state that was saved.")
