"""Fine-tuning: from an experiment to a run folder."""

import json
import logging
import os
import platform
import shlex
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from serjax.audio import SAMPLE_RATE
from serjax.checkpoints.run_models import RunModels, save_models
from serjax.config.experiment import Experiment, cache_folder
from serjax.data.dataset import Data, read_data
from serjax.data.folds.make import fold_kind
from serjax.data.utterance import Utterance
from serjax.evaluation.files import write_all
from serjax.evaluation.out_of_fold import OutOfFold
from serjax.evaluation.report import Report, Row, RunFacts, build_report
from serjax.inference.ensemble import load
from serjax.models.base import Modality
from serjax.runs.folder import FIRST_STAGE, RESUME, begin_run, claim, end_run, find_run, write_folds
from serjax.runs.setup import Plan, Setup, experiment_trials, first_stage, make_plan, set_up
from serjax.runtime.constraints import to_json, validate
from serjax.runtime.fingerprint import fingerprint
from serjax.runtime.version import __version__
from serjax.training.loop import Fitted, fit
from serjax.training.metric_log import MetricLog, read_history
from serjax.training.reporter import Reporter
from serjax.training.resume import ResumePoint
from serjax.training.streamed import StreamedEngine
from serjax.training.trials import Trial

log = logging.getLogger(__name__)


def train(experiment: Experiment, command: str) -> Report:
    """Train an experiment's folds, or go on where an earlier call stopped; return the report.

    Raises:
        UserError: data, folds, model or run folder are not as they must be.
    """
    validate(experiment)
    with claim(experiment):
        return _train(experiment, command)


def experiment_data(experiment: Experiment) -> Data:
    """Return an experiment's clips, classes and folds; see `read_data`."""
    model = experiment.model
    return read_data(
        experiment.data,
        experiment.folds,
        seed=experiment.seed,
        cache=cache_folder(experiment),
        modalities=model.modalities,
        video=model.video,
    )


def _train(experiment: Experiment, command: str) -> Report:
    run_dir = experiment.run_dir
    begun = find_run(experiment)
    data = experiment_data(experiment)
    trials = experiment_trials(experiment, data.folds)
    plan = make_plan(experiment)
    for note in plan.notes:
        log.info(note)
    setup = set_up(experiment, data, trials, plan)
    axis = setup.engine.axis
    shape = f"{axis.mesh.shape['fold']} x {axis.mesh.shape['data']}"
    log.info(f"{setup.trainable:,} of {setup.parameters:,} parameters are trained; devices: {shape} (fold x data).")

    # Only now, with data and models at hand, does the folder change.
    layout = (axis.together, axis.padded)
    seen = () if data.frames is None else data.frames.hashes
    starts = [start.leaves for start in plan.starts]
    made_from = fingerprint(data.store.hashes, seen, data.classes, data.folds, layout, dict(plan.given), starts)
    begin_run(experiment, begun, made_from)
    write_folds(experiment, data)
    if experiment.first_epochs:
        log.info("First stage: heads on frozen encoders.")
        stage, heads = first_stage(experiment, data, trials, plan)
        log.info(f"{heads.trainable:,} parameters are trained in this stage.")
        trained = fit_stage(stage, heads, data, run_dir / FIRST_STAGE)
        setup = setup.after(heads.engine.axis.gather(trained.best))
        log.info("Second stage.")
    fitted = fit_stage(experiment, setup, data, run_dir)
    history = read_history(run_dir)
    chosen = choose_rates(trials, fitted)
    best = out_of_fold(data, trials, setup.engine.predict(fitted.best, "test"), chosen)
    last = None
    if experiment.folds.validation == "test":
        last = out_of_fold(data, trials, setup.engine.predict(fitted.last, "test"), chosen)[0]
    alone = {}
    if plan.model.handles_missing:
        assert isinstance(setup.engine, StreamedEngine)
        modalities: tuple[tuple[str, Modality], ...] = (("sound", "video"), ("video", "sound"))
        for name, without in modalities:
            probabilities = setup.engine.predict(fitted.best, "test", without)
            alone[name] = out_of_fold(data, trials, probabilities, chosen)[0]
    save_trained(experiment, data, chosen[0], setup, fitted, plan)
    facts = run_facts(data, setup, experiment, plan, history, command)
    report = build_report(json.loads(to_json(experiment)), facts, best, history, last, alone)
    write_all(run_dir, report, best[0], history)
    end_run(experiment)
    log.info(f"Written to {run_dir}: README.md, confusion.png, curves.png, oof.csv, report.json, fold_N.")
    show_example(run_dir, data, "sound" in plan.model.modalities)
    return report


def fit_stage(experiment: Experiment, setup: Setup, data: Data, folder: Path) -> Fitted:
    """Train all trials of a stage, whose log and resume point are in `folder`."""
    resume = ResumePoint(folder / RESUME)
    try:
        restored = resume.latest() or 0
        if restored:
            log.info(f"Resuming after epoch {restored}.")
        with Reporter(MetricLog(folder, restored), experiment.train.epochs) as reporter:
            return fit(setup.engine, setup.params, data.classes, len(data.labels), experiment.train, resume, reporter)
    finally:
        resume.close()


def choose_rates(trials: Sequence[Trial], fitted: Fitted) -> list[dict[int, int]]:
    """Return, seed by seed, the position of each fold's trial with the best validation score, of equals the first."""
    chosen: dict[int, dict[int, int]] = {}
    for k, trial in enumerate(trials):
        folds = chosen.setdefault(trial.seed, {})
        if trial.fold not in folds or fitted.best_score[k] > fitted.best_score[folds[trial.fold]]:
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
            )
        )
    return results


def save_trained(
    experiment: Experiment, data: Data, chosen: dict[int, int], setup: Setup, fitted: Fitted, plan: Plan
) -> None:
    """Write each fold's best model (of the first seed, at the chosen rate)."""
    best = setup.engine.axis.gather(fitted.best)
    settings = experiment.data
    models = RunModels(
        labels=data.labels,
        folds=tuple(chosen),
        model=plan.model,
        max_seconds=settings.max_seconds,
        eval_crop=settings.eval_crop,
        vad=settings.vad,
    )
    save_models(experiment.run_dir, models, {fold: setup.model_of(k, best) for fold, k in chosen.items()})


def run_facts(
    data: Data, setup: Setup, experiment: Experiment, plan: Plan, history: Sequence[Row], command: str
) -> RunFacts:
    """Return what the report tells beside the scores."""
    clips = data.store.utterances
    speakers = {clip.speaker for clip in clips}
    seconds: dict[int, float] = {}
    for row in history:
        seconds[row["epoch"]] = max(row["seconds"], seconds.get(row["epoch"], 0.0))
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
    return RunFacts(
        corpus=data.corpus,
        clips_per_class=dict(Counter(clip.label for clip in clips)),
        speakers=None if None in speakers else len(speakers),
        fold_kind=fold_kind(clips, experiment.folds),
        parameters=setup.parameters,
        trainable=setup.trainable,
        seconds=sum(seconds.values()),
        command=command,
        device=f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        family=plan.model.description,
        model=plan.model.summary,
        modalities=tuple(sorted(plan.model.modalities)),
        versions={
            "python": platform.python_version(),
            "serjax": __version__,
            **{name: metadata.version(name) for name in packages},
        },
        corpus_notes=data.corpus_notes,
        leakage_notes=(*data.leakage_notes, *plan.warnings),
        skipped=data.store.skipped,
    )


def arguments(clip: Utterance, hears: bool) -> list[str]:
    """Return what `serjax.predict` is to be given for a clip: its file, or its sound and its video by name."""
    sound, video = os.path.relpath(clip.path), os.path.relpath(clip.video or clip.path)
    if sound == video or not hears:
        return [video]
    return ["--audio", sound, "--video", video]


def show_example(run_dir: Any, data: Data, hears: bool) -> None:
    """Let the saved ensemble answer for one clip, and say how to ask it for others."""
    clip = data.store.utterances[data.folds[0].test[0]]
    heard = data.store.clip(data.folds[0].test[0]), SAMPLE_RATE
    if data.frames is None:
        answer = load(run_dir)(heard)
    else:
        frames, count = data.frames.rows(np.array(data.folds[0].test[:1]))
        answer = load(run_dir)({"audio": heard, "video": frames[0, : count[0]]})
    scores = ", ".join(f"{entry['label']} {entry['score']:.1%}" for entry in answer)
    shown = shlex.join(["python", "-m", "serjax.predict", os.path.relpath(run_dir), *arguments(clip, hears)])
    if not hears and clip.video is None:
        shown = clip.id  # what was seen is drawn, or values: no file can be named
    log.info(f"{shown}\n{scores}  (its label: {clip.label})")
