"""Results of a fine-tuning: out-of-fold answers, models, scores and pictures in a run folder."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from serjax.checkpoints.calibration import write_calibration
from serjax.checkpoints.hub import is_hub_id
from serjax.checkpoints.run_models import RunModels, save_models
from serjax.config.experiment import Experiment
from serjax.data.dataset import Data
from serjax.data.folds.fold import Fold
from serjax.data.folds.make import fold_kind
from serjax.evaluation.calibration_report import Calibration
from serjax.evaluation.files import write_all
from serjax.evaluation.out_of_fold import OutOfFold, attribute_columns
from serjax.evaluation.report import Report, Row, RunFacts, build_report
from serjax.models.base import Modality
from serjax.models.functional import Params
from serjax.runs.calibrate import calibrate_members
from serjax.runs.groups import is_of
from serjax.runs.jobs import Results, save_results
from serjax.runs.layer_weights import read_layer_weights
from serjax.runs.setup import Plan, Setup
from serjax.runs.target_results import task_answers, write_target_results
from serjax.runtime import distributed
from serjax.runtime.constraints import to_json
from serjax.runtime.mesh import fetch
from serjax.runtime.version import versions
from serjax.training.domain import without_domain_classifier
from serjax.training.loop import Fitted
from serjax.training.metric_log import read_history
from serjax.training.several_tasks import without_weights
from serjax.training.streamed import StreamedEngine
from serjax.training.trials import Trial


class Answers(NamedTuple):
    """Class probabilities of each trial for the clips that it tests.

    Attributes:
        best: of the kept epochs.
        last: of the last epoch, where the test clips chose the kept one.
        alone: of the kept epochs, by the one modality that was given.
        validation: of the kept epochs, for the clips that validate; None where those are the tested ones.
    """

    best: Sequence[np.ndarray]
    last: Sequence[np.ndarray] | None
    alone: Mapping[str, Sequence[np.ndarray]]
    validation: Sequence[np.ndarray] | None


class Trained(NamedTuple):
    """Trained models on the host.

    Attributes:
        graphdef: definition of one trial's model.
        params: trained parameters [k ...].
        frozen: what is not trained: one state, or [k ...].
        shared: whether it is one state for all trials.
    """

    graphdef: nnx.GraphDef[Any]
    params: Params
    frozen: Params
    shared: bool

    def model(self, k: int) -> nnx.Module:
        """Return trial k's model."""
        frozen = self.frozen if self.shared else jax.tree.map(lambda x: x[k], self.frozen)
        return nnx.merge(self.graphdef, jax.tree.map(lambda x: x[k], self.params), frozen)


class Outcome(NamedTuple):
    """Outcome of a training on the host: of each trial its validation score, answers and model.

    Attributes:
        score: validation macro-F1 of the best epoch, 0 to 1.
        given_up: numbers of the runs that no trial of a fold was left of.
        answers: for the clips that a trial tests.
        trained: models.
        groups: trials that trained at once.
        trainable: number of weights of one trial that are trained.
        parameters: number of all weights of one trial's model.
    """

    score: Sequence[float]
    given_up: frozenset[int]
    answers: Answers
    trained: Trained
    groups: Sequence[Sequence[Trial]]
    trainable: int
    parameters: int


def read_outcome(setup: Setup, fitted: Fitted, plan: Plan, experiment: Experiment) -> Outcome:
    """Return what all trials of a setup came to; every process must ask."""
    axis = setup.engine.axis
    frozen = fetch(setup.frozen) if setup.shared else axis.gather(setup.frozen)
    trained = Trained(setup.graphdef, axis.gather(fitted.best), frozen, setup.shared)
    answers = predict_tests(setup, fitted, plan, experiment)
    return Outcome(
        score=fitted.best_score.tolist(),
        given_up=fitted.given_up,
        answers=answers,
        trained=trained,
        groups=[setup.engine.trials],
        trainable=setup.trainable,
        parameters=setup.parameters,
    )


def join_outcomes(parts: Sequence[Outcome]) -> Outcome:
    """Return the outcomes of groups of trials as one."""
    if len(parts) == 1:
        return parts[0]

    def stacked(*leaves: Any) -> Any:
        return np.concatenate(leaves)

    first = parts[0]
    params = jax.tree.map(stacked, *(part.trained.params for part in parts))
    frozen = first.trained.frozen
    if not first.trained.shared:
        frozen = jax.tree.map(stacked, *(part.trained.frozen for part in parts))
    answers = [part.answers for part in parts]
    return Outcome(
        score=[score for part in parts for score in part.score],
        given_up=frozenset().union(*(part.given_up for part in parts)),
        answers=Answers(
            best=[row for one in answers for row in one.best],
            last=None if answers[0].last is None else [row for one in answers for row in one.last or ()],
            alone={name: [row for one in answers for row in one.alone[name]] for name in answers[0].alone},
            validation=None
            if first.answers.validation is None
            else [x for one in answers for x in one.validation or ()],
        ),
        trained=first.trained._replace(params=params, frozen=frozen),
        groups=[group for part in parts for group in part.groups],
        trainable=first.trainable,
        parameters=first.parameters,
    )


def predict_tests(setup: Setup, fitted: Fitted, plan: Plan, experiment: Experiment) -> Answers:
    """Let each trial answer for the clips that it tests, and for those that chose its epoch and calibrate it."""
    predict = setup.engine.predict
    alone = {}
    if plan.model.handles_missing:
        assert isinstance(setup.engine, StreamedEngine)
        modalities: tuple[tuple[str, Modality], ...] = (("sound", "video"), ("video", "sound"))
        for name, without in modalities:
            alone[name] = setup.engine.predict(fitted.best, "test", without)
    if experiment.folds.validation == "test":
        return Answers(predict(fitted.best, "test"), predict(fitted.last, "test"), alone, None)
    return Answers(predict(fitted.best, "test"), None, alone, predict(fitted.best, "validation"))


def write_run(
    experiment: Experiment,
    data: Data,
    trials: Sequence[Trial],
    chosen: Sequence[dict[int, int]],
    outcome: Outcome,
    plan: Plan,
    command: str,
) -> Report:
    """Write a run's models, scores and pictures, from the trials that were chosen; return its report."""

    def scored(probabilities: Sequence[np.ndarray]) -> list[OutOfFold]:
        return out_of_fold(data, trials, probabilities, chosen)

    history, answers = read_history(experiment.run_dir), outcome.answers
    if data.targets is not None:
        save_trained(experiment, data, chosen, outcome.trained, plan)
        facts, tasks = (
            run_facts(data, outcome, experiment, plan, history, command),
            (data, trials, answers.best, chosen),
        )
        return write_target_results(experiment.run_dir, experiment, facts, task_answers(*tasks), history)
    results = Results(
        seeds=scored(answers.best),
        last=None if answers.last is None else scored(answers.last)[0],
        alone={name: scored(probabilities)[0] for name, probabilities in answers.alone.items()},
    )
    calibration = calibrate_members(data.classes, trials, chosen, answers.validation)
    if calibration is not None:
        write_calibration(experiment.run_dir, calibration)
    save_trained(experiment, data, chosen, outcome.trained, plan)
    if experiment.job:
        save_results(experiment.run_dir, results)
    facts = run_facts(data, outcome, experiment, plan, history, command)
    return write_results(experiment.run_dir, experiment, facts, results, history, calibration)


def write_results(
    folder: Path,
    experiment: Experiment,
    facts: RunFacts,
    results: Results,
    history: Sequence[Row],
    calibration: Calibration | None,
) -> Report:
    """Write the scores and pictures of a run, whose models are written, to `folder`; return its report."""
    settings, answers = json.loads(to_json(experiment)), (results.last, results.alone)
    report = build_report(settings, facts, results.seeds, history, *answers, calibration)
    report["layer_weights"] = read_layer_weights(folder)
    write_all(folder, report, results.seeds, history)
    return report


def choose_rates(trials: Sequence[Trial], score: Sequence[float], run: int = 0) -> list[dict[int, int]]:
    """Return, seed by seed, the position of each fold's trial with the best validation score, of equals the first."""
    chosen: dict[int, dict[int, int]] = {}
    for k, trial in enumerate(trials):
        if trial.run != run:
            continue
        folds = chosen.setdefault(trial.seed, {})
        if trial.fold not in folds or score[k] > score[folds[trial.fold]]:
            folds[trial.fold] = k
    return list(chosen.values())


def out_of_fold(
    data: Data, trials: Sequence[Trial], probabilities: Sequence[np.ndarray], chosen: Sequence[dict[int, int]]
) -> list[OutOfFold]:
    """Return, seed by seed, every test clip's answer."""
    results = []
    for folds in chosen:
        rows = [(fold, clip, probabilities[k][i]) for fold, k in folds.items() for i, clip in enumerate(trials[k].test)]
        clips = [clip for _, clip, _ in rows]
        results.append(
            OutOfFold(
                ids=tuple(data.store.utterances[clip].id for clip in clips),
                fold=np.array([fold for fold, _, _ in rows]),
                label=data.classes[clips],
                probability=np.stack([row for _, _, row in rows]),
                speaker=tuple(data.store.utterances[clip].speaker for clip in clips),
                labels=data.labels,
                attributes=attribute_columns([data.store.utterances[clip].attributes for clip in clips]),
            )
        )
    return results


def save_trained(
    experiment: Experiment, data: Data, chosen: Sequence[dict[int, int]], trained: Trained, plan: Plan
) -> None:
    """Write the best model of each fold and seed, at the chosen rate."""
    settings = experiment.data
    tasks = () if data.targets is None else data.targets.tasks
    names = [f"{task.name}/{name}" if len(tasks) > 1 else name for task in tasks for name in task.outputs]
    models = RunModels(
        labels=tuple(names) or data.labels,
        tasks=tasks,
        folds=tuple(chosen[0]),
        seeds=len(chosen),
        model=plan.model,
        max_seconds=settings.max_seconds,
        eval_crop=settings.eval_crop,
        vad=settings.vad,
        highpass=settings.highpass,
    )
    members = (
        {fold: without_weights(without_domain_classifier(trained.model(k))) for fold, k in seed.items()}
        for seed in chosen
    )
    save_models(experiment.run_dir, models, *members)


def run_facts(
    data: Data, outcome: Outcome, experiment: Experiment, plan: Plan, history: Sequence[Row], command: str
) -> RunFacts:
    """Return what the report tells beside the scores."""
    clips = data.store.utterances
    speakers = {clip.speaker for clip in clips}
    seconds: dict[tuple[int, int], float] = {}
    for row in history:
        # Groups train one after the other, the folds of a group at once.
        group = next((number for number, trials in enumerate(outcome.groups) if is_of(row, trials)), 0)
        key = group, row["epoch"]
        seconds[key] = max(row["seconds"], seconds.get(key, 0.0))
    return RunFacts(
        corpus=data.corpus,
        clips_per_class=dict(Counter(clip.label for clip in clips)),
        speakers=None if None in speakers else len(speakers),
        fold_kind=fold_kind(clips, experiment.folds),
        parameters=outcome.parameters,
        trainable=outcome.trainable,
        seconds=sum(seconds.values()),
        command=command,
        device=f"{jax.device_count()} x {jax.devices()[0].device_kind}"
        + (f" of {distributed.count()} processes" if distributed.several() else ""),
        family=plan.model.description,
        model=plan.model.summary,
        modalities=tuple(sorted(plan.model.modalities)),
        versions=versions(),
        corpus_notes=data.corpus_notes,
        leakage_notes=(*data.leakage_notes, *plan.warnings),
        skipped=data.store.skipped,
        validation_shares=validation_shares(data.folds) if experiment.folds.validation == "train" else None,
        base_models=tuple(dict.fromkeys(one.source for one in plan.model.checkpoints if is_hub_id(one.source))),
    )


def validation_shares(folds: Sequence[Fold]) -> tuple[float, float] | None:
    """Return the smallest and the largest share of a fold's training part that is held out for validation."""
    shares = [len(fold.validation) / max(1, len(fold.validation) + len(fold.train)) for fold in folds]
    return (min(shares), max(shares)) if shares else None
