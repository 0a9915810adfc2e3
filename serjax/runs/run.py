"""Runs of any experiment: training, a search over values, or pretraining."""

from typing import Literal

from serjax.config.experiment import Experiment
from serjax.config.pretraining import PretrainExperiment
from serjax.evaluation.report import Report
from serjax.runs.processes import check_alike
from serjax.runtime.errors import UserError


def run(
    experiment: Experiment | PretrainExperiment,
    command: str | None = None,
    *,
    step: Literal["labels", "masked"] | None = None,
) -> Report:
    """Do what an experiment says, or go on where an earlier call stopped; results are in `experiment.run_dir`.

    Args:
        experiment: such as `serjax.experiment("quickstart")`.
        command: by which it was asked for, for the page that is written.
        step: of a pretraining the one to do, `labels` or `masked`; by default both.

    Returns:
        Of a training, the contents of report.json. Of a search, `search`: a row for every combination, with its
        `values`, its `run` folder and its scores, the best validation score first. Of a pretraining, the contents of
        pretrained.json.

    Raises:
        UserError: settings, data, checkpoints or the run folder are not as they must be.
    """
    command = f"serjax.run(experiment)  # {experiment.name}" if command is None else command
    check_alike(experiment)
    if isinstance(experiment, PretrainExperiment):
        if experiment.steps == "cpt":
            from serjax.runs.pretraining.alignment import align

            if step is not None:
                raise UserError(f"{step} is a step of a pretraining, but steps is cpt; leave out {step}, or say tapt.")
            return align(experiment, command)
        from serjax.runs.pretraining.run import pretrain

        return pretrain(experiment, command, step)
    if experiment.search:
        from serjax.runs.search import search

        return search(experiment, command)
    from serjax.runs.finetune import train

    return train(experiment, command)
