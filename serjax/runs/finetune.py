"""Fine-tuning: from an experiment to a run folder."""

import contextlib
import logging
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from serjax.config.experiment import Experiment, cache_folder
from serjax.data.dataset import Data, read_data
from serjax.data.unlabelled import open_unlabelled
from serjax.evaluation.report import Report
from serjax.runs.example import show_example
from serjax.runs.folder import FIRST_STAGE, RESUME, begin_run, begun_at_once, claim, end_run, find_run, write_folds
from serjax.runs.groups import group_trials, is_of, name_of
from serjax.runs.jobs import write_sources
from serjax.runs.processes import check_shared
from serjax.runs.results import Outcome, choose_rates, join_outcomes, read_outcome, write_run
from serjax.runs.setup import Plan, Setup, experiment_trials, first_stage, make_plan, set_up
from serjax.runtime import distributed
from serjax.runtime.constraints import validate
from serjax.runtime.fingerprint import fingerprint
from serjax.runtime.mesh import describe_mesh
from serjax.training.loop import Fitted, fit
from serjax.training.metric_log import MetricLog
from serjax.training.reporter import Reporter
from serjax.training.resume import ResumePoint
from serjax.training.trials import Trial

log = logging.getLogger(__name__)

Values = tuple[tuple[str, float], ...]
"""Settings by dotted name in which a run differs from those that train side by side with it."""


def train(experiment: Experiment, command: str, *, example: bool = True) -> Report:
    """Train an experiment's folds, or go on where an earlier call stopped; return the report.

    Args:
        experiment: what to train.
        command: by which it was asked for.
        example: let the finished run answer for one clip, and say how to ask for others.

    Raises:
        UserError: data, folds, model or run folder are not as they must be.
        Diverged: a fold's numbers are no longer finite.
    """
    (report,) = train_together([experiment], [()], command, experiment.run_dir, example=example)
    assert report is not None
    return report


def train_together(
    experiments: Sequence[Experiment], values: Sequence[Values], command: str, states: Path, *, example: bool = True
) -> list[Report | None]:
    """Train several experiments in one program, or go on where an earlier call stopped; return their reports.

    Args:
        experiments: with other names and peak learning rates, and other `values`; alike in all else.
        values: of each experiment, settings of `serjax.training.trials.VALUES`.
        command: by which they were asked for.
        states: folder of the states from which a stopped call goes on; of several experiments it stays.
        example: see `train`; of several experiments none is given.

    Returns:
        A report each; None for one that was given up, since a fold's numbers were no longer finite.

    Raises:
        UserError: data, folds, model or run folders are not as they must be.
        Diverged: all experiments had to be given up.
    """
    with contextlib.ExitStack() as claims:
        for one in experiments:
            validate(one)
            claims.enter_context(claim(one))
        return _train(experiments, values, command, states, example and len(experiments) == 1)


def experiment_data(experiment: Experiment) -> Data:
    """Return an experiment's clips, classes and folds, and the clips that it adapts to.

    See `read_data` and `open_unlabelled`.
    """
    model, domain, cache = experiment.model, experiment.domain, cache_folder(experiment)
    data = read_data(
        experiment.data,
        experiment.folds,
        seed=experiment.seed,
        cache=cache,
        modalities=model.modalities,
        video=model.video,
        target=experiment.target,
    )
    if domain.root is None:
        return data
    other = open_unlabelled(Path(domain.root), "--domain.root", experiment.data, cache)
    note = (
        f"The heads are adapted ({domain.kind}) to {len(other)} clips below {Path(domain.root).name}, whose labels "
        "were not read. Their sound was heard in training, which scores on them profit from."
    )
    log.info(note)
    return data._replace(unlabelled=other, corpus_notes=(*data.corpus_notes, note))


def _train(
    experiments: Sequence[Experiment], values: Sequence[Values], command: str, states: Path, example: bool
) -> list[Report | None]:
    first = experiments[0]
    begun = distributed.from_first("run folder", lambda: all([find_run(one, states) for one in experiments]))
    data = experiment_data(first)
    trials = [
        replace(trial, run=run, values=own)
        for run, (one, own) in enumerate(zip(experiments, values, strict=True))
        for trial in experiment_trials(one, data.folds)
    ]
    plan = make_plan(first)
    for note in plan.notes:
        log.info(note)
    kept = distributed.from_first("groups", lambda: begun_at_once(first) if begun else None)
    grouped = first if kept is None else replace(first, folds=replace(first.folds, at_once=kept))
    groups = group_trials(grouped, plan.model, data.outputs, trials, shared=not plan.starts)
    at_once = len({(trial.fold, trial.seed) for trial in groups[0]})
    trials = [trial for group in groups for trial in group]
    setup = set_up(first, data, groups[0], plan)
    axis = setup.engine.axis
    log.info(f"{setup.trainable:,} of {setup.parameters:,} parameters are trained.")
    layout = describe_mesh(axis.mesh, first.train.batch_size)
    log.info(layout)

    # Only now, with data and models at hand, do the folders change.
    seen = () if data.frames is None else data.frames.hashes
    starts = [start.leaves for start in plan.starts]
    rests_on = (data.store.hashes, seen, data.classes, data.folds, axis.together, dict(plan.given), starts)
    targets = () if data.targets is None else (data.targets.tasks, data.targets.values)
    adapted_to = () if data.unlabelled is None else (data.unlabelled.hashes,)
    made_from = fingerprint(*rests_on, *targets, *adapted_to)
    distributed.same({"data, or other pretrained weights (their fingerprint)": made_from})

    def begin() -> None:
        goes_on = [begin_run(one, begun, made_from, layout, at_once) for one in experiments]
        if len(experiments) > 1 and not all(goes_on):
            shutil.rmtree(states, ignore_errors=True)
        for one in experiments:
            write_folds(one, data)
            if one.job:
                write_sources(one.run_dir, data, dict(plan.given), starts)

    distributed.from_first("run folder", begin)
    check_shared(first.run_dir)
    # The run folders of a search lie side by side, and TensorBoard shows them together.
    curves = first.run_dir.parent if len(experiments) > 1 else first.run_dir
    log.info(f"Curves: tensorboard --logdir {shlex.quote(str(curves))} (pip install tensorboard), while it trains too.")
    outcomes: list[Outcome] = []
    for number, group in enumerate(groups):
        if number:
            log.info(f"Folds {', '.join(sorted({str(trial.fold) for trial in group}))}.")
            setup = set_up(first, data, group, plan)
        fitted, setup = _train_stages(first, data, group, plan, setup, experiments, states, name_of(group, trials))
        outcomes.append(read_outcome(setup, fitted, plan, first))
        # What a group left on the devices goes before the next one comes.
        del fitted, setup
    outcome = join_outcomes(outcomes)

    pictures, tables = "confusion.png, curves.png, reliability.png", "oof.csv"
    if data.targets is not None:
        names = [task.name for task in data.targets.tasks]
        pictures = ", ".join([*(f"{name}.png" for name in names), "curves.png"])
        tables = ", ".join(f"oof_{name}.csv" for name in names)
    if getattr(plan.model, "weighted_layers", False):
        pictures += ", layer_weights.png"

    def write() -> list[Report | None]:
        reports: list[Report | None] = []
        for run, one in enumerate(experiments):
            if run in outcome.given_up:
                reports.append(None)
                continue
            chosen = choose_rates(trials, outcome.score, run)
            reports.append(write_run(one, data, trials, chosen, outcome, plan, command))
            end_run(one)
            log.info(f"Written to {one.run_dir}: README.md, {pictures}, {tables}, report.json, fold_N.")
        if example:
            show_example(first.run_dir, data, "sound" in plan.model.modalities)
        return reports

    return distributed.from_first("reports", write)


def _train_stages(
    experiment: Experiment,
    data: Data,
    trials: Sequence[Trial],
    plan: Plan,
    setup: Setup,
    runs: Sequence[Experiment],
    states: Path,
    name: str,
) -> tuple[Fitted, Setup]:
    """Train some trials in one stage or two; return what training left, and the setup of the last stage.

    Args:
        experiment: how.
        data: on what.
        trials: which.
        plan: of the model.
        setup: of the last stage.
        runs: that the trials belong to, for their logs.
        states: folder of the states.
        name: of the trials' part of the states, empty where there is one.
    """
    if experiment.first_epochs:
        log.info("First stage: heads on frozen encoders.")
        stage, heads = first_stage(experiment, data, trials, plan)
        log.info(f"{heads.trainable:,} parameters are trained in this stage.")
        logs = [one.run_dir / FIRST_STAGE for one in runs]
        best = fit_stage(stage, heads, data, logs, states / FIRST_STAGE / RESUME / name).best
        setup = setup.after(heads.engine.axis.gather(best))
        log.info("Second stage.")
    return fit_stage(experiment, setup, data, [one.run_dir for one in runs], states / RESUME / name), setup


def fit_stage(experiment: Experiment, setup: Setup, data: Data, logs: Sequence[Path], states: Path) -> Fitted:
    """Train all trials of a stage.

    Args:
        experiment: how.
        setup: of the trials.
        data: on what.
        logs: a folder a run.
        states: folder of the resume point.
    """
    resume = ResumePoint(states)
    try:
        restored = resume.latest() or 0
        if restored:
            log.info(f"Resuming after epoch {restored}.")
        # One process of several writes and speaks.
        logs = logs if distributed.first() else ()
        own = partial(is_of, group=setup.engine.trials)
        metrics = [MetricLog(folder, restored, own) for folder in logs]
        with Reporter(metrics, experiment.train.epochs) as reporter:
            classes, targets = (data.classes, len(data.labels)), data.targets
            return fit(setup.engine, setup.params, *classes, experiment.train, resume, reporter, targets)
    finally:
        resume.close()
