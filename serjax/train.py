"""Train the folds of an experiment: `python -m serjax.train --exp NAME`.

From the recordings to a run folder: clips are found and decoded once, divided into folds and checked for leakage; all
folds are trained, each keeps its best state; every clip is answered by the fold that has not heard it; the models,
scores and pictures are written, and the ensemble that was saved answers for one clip.
"""

import os
import platform
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Int
from rich.console import Console

import serjax
from serjax import cli
from serjax.checkpoints.resume import ResumePoint
from serjax.checkpoints.run import save_fold, save_head, save_labels, save_trunk
from serjax.checkpoints.trunk import Trunk, find_trunk
from serjax.config import SAMPLE_RATE, Experiment
from serjax.data.corpora import read_corpus
from serjax.data.folds import Fold, fold_kind, make_folds, save_folds
from serjax.data.leakage import check_folds
from serjax.data.store import ClipStore, open_store
from serjax.errors import UserError
from serjax.evaluation.out_of_fold import OutOfFold
from serjax.evaluation.report import Report, Row, RunFacts, build_report
from serjax.evaluation.run_folder import write_all
from serjax.evaluation.table import print_table
from serjax.models import pooling
from serjax.models.classifier import Classifier, Head, is_frozen
from serjax.models.encoder import SpeechEncoder
from serjax.predict import load
from serjax.progress import Reporter
from serjax.run_folder import open_run
from serjax.training.encode import encode_clips, fingerprint
from serjax.training.folds import choose_together, fold_axis
from serjax.training.init import count, flat, initial
from serjax.training.jobs import Job, job_key
from serjax.training.loop import Engine, Fitted, fit
from serjax.training.metric_log import MetricLog, read_history
from serjax.training.optimizer import Params
from serjax.training.resident import Features, ResidentEngine
from serjax.training.streamed import StreamedEngine


class Data(NamedTuple):
    """Clips, their classes and their folds, checked."""

    corpus: str
    store: ClipStore
    labels: tuple[str, ...]
    classes: Int[np.ndarray, "clips"]
    folds: tuple[Fold, ...]
    corpus_notes: tuple[str, ...]
    leakage_notes: tuple[str, ...]


class Setup(NamedTuple):
    """What is trained: an engine, its first parameters, and what puts a job's model together again."""

    engine: Engine
    params: Any
    graphdef: nnx.GraphDef[Any]
    frozen: Params
    trunk: SpeechEncoder | None
    trainable: int
    parameters: int


def main(argv: Sequence[str]) -> int:
    """Train what the command line asks for."""
    experiment = cli.parse("serjax.train", argv)
    train(experiment, f"python -m serjax.train {shlex.join(argv)}", Console())
    return 0


def train(experiment: Experiment, command: str, console: Console) -> Report:
    """Train an experiment's folds, or go on where an earlier call stopped; return the report.

    Raises:
        UserError: data, folds, model or run folder are not as they must be.
    """
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    run_dir = experiment.run_dir
    if open_run(experiment):
        raise UserError(
            f"{run_dir}: this run is finished, its scores are in README.md; choose another --name, or --overwrite to "
            "train again."
        )
    data = read_data(experiment, say)
    jobs = make_jobs(experiment, data.folds)
    trunk = find_trunk(experiment.model)
    for note in trunk.notes:
        say(note)
    setup = set_up(experiment, data, jobs, trunk, say)
    axis = setup.engine.axis
    shape = f"{axis.mesh.shape['fold']} x {axis.mesh.shape['data']}"
    say(f"{setup.trainable:,} of {setup.parameters:,} parameters are trained; devices: {shape} (fold x data).")

    resume = ResumePoint(run_dir / "resume")
    try:
        restored = resume.latest() or 0
        if restored:
            say(f"Resuming after epoch {restored}.")
        with Reporter(console, MetricLog(run_dir, restored), experiment.train.epochs) as reporter:
            fitted = fit(setup.engine, setup.params, data.classes, len(data.labels), experiment.train, resume, reporter)
    finally:
        resume.close()
    history = read_history(run_dir)
    chosen = choose_rates(jobs, fitted)
    best = out_of_fold(data, jobs, setup.engine.predict(fitted.best, "test"), chosen)
    last = None
    if experiment.folds.validation == "test":
        last = out_of_fold(data, jobs, setup.engine.predict(fitted.last, "test"), chosen)[0]
    save_models(experiment, data, jobs, chosen[0], setup, fitted, trunk)
    facts = run_facts(data, setup, experiment, trunk, history, command)
    report = build_report(experiment, facts, best, history, last)
    write_all(run_dir, report, best[0], history)
    resume.delete()
    print_table(report, console)
    say(f"Written to {run_dir}: README.md, confusion.png, curves.png, oof.csv, report.json, fold_N.")
    show_example(run_dir, data, say)
    return report


def read_data(experiment: Experiment, say: Any) -> Data:
    """Find, decode and divide the clips; write folds.json."""
    cache = cache_folder(experiment, "clips")
    corpus = read_corpus(replace(experiment.data, cache=str(cache.parent)), seed=experiment.seed)
    for note in corpus.notes:
        say(note)
    store = open_store(corpus.utterances, cache, skip_bad=experiment.data.skip_bad)
    for line in store.skipped:
        say(f"skipped: {line}")
    folds = make_folds(store.utterances, experiment.folds, experiment.seed)
    folds, notes = check_folds(
        folds, store.utterances, store.hashes, allow_speaker_overlap=experiment.folds.allow_speaker_overlap
    )
    for note in notes:
        say(note)
    save_folds(
        experiment.run_dir / "folds.json",
        folds,
        store.utterances,
        kind=fold_kind(store.utterances, experiment.folds),
        seed=experiment.seed,
    )
    classes = np.array([corpus.labels.index(clip.label) for clip in store.utterances], np.int32)
    return Data(corpus.name, store, corpus.labels, classes, folds, corpus.notes, notes)


def cache_folder(experiment: Experiment, name: str) -> Path:
    """Return the folder of decoded clips or features: below data.cache, or beside the run folder."""
    return Path(experiment.data.cache or experiment.run_dir.parent).absolute() / name


def make_jobs(experiment: Experiment, folds: Sequence[Fold]) -> list[Job]:
    """Return every fold, seed and learning rate that is to be trained.

    Raises:
        UserError: folds.only names a fold that there is not.
    """
    only = experiment.folds.only or tuple(fold.number for fold in folds)
    strange = sorted(set(only) - {fold.number for fold in folds})
    if strange:
        raise UserError(f"--folds.only: there is no fold {strange[0]}; folds are numbered 1 to {len(folds)}.")
    scratch = experiment.model.size is not None or experiment.model.frozen == "trunk"
    peak = experiment.optimizer.max_lr or (1e-3 if scratch else 5e-5)
    return [
        Job(fold.number, seed, rate, fold.train, fold.validation, fold.test)
        for seed in range(experiment.train.seeds)
        for rate in experiment.train.learning_rates or (peak,)
        for fold in folds
        if fold.number in only
    ]


def set_up(experiment: Experiment, data: Data, jobs: Sequence[Job], trunk: Trunk, say: Any) -> Setup:
    """Build what is trained, on all devices."""
    model = experiment.model
    alone = model.frozen == "trunk"
    together, why = choose_together(experiment.folds.together, backend=jax.default_backend(), frozen_trunk=alone)
    say(why)
    axis = fold_axis(len(jobs), experiment.train.batch_size // experiment.train.accumulate, together=together)
    keys = jnp.stack([job_key(experiment, job) for job in jobs])
    shared_key = jax.random.key(experiment.seed)
    classes = len(data.labels)

    def classifier(rngs: nnx.Rngs) -> Classifier:
        return Classifier(model, trunk.config, classes, normalize=trunk.preprocessor.normalize, rngs=rngs)

    weights = {} if trunk.pretrained is None else flat(nnx.state(trunk.pretrained, nnx.Param))
    given = {f"trunk.{name}": leaf for name, leaf in weights.items()}
    frozen_at = partial(is_frozen, model=model, encoder=trunk.config)
    if not alone:
        graphdef, params, frozen = initial(classifier, frozen_at, keys, shared_key, axis, given)
        one = axis.first(params)
        engine: Engine = StreamedEngine(
            graphdef, one, frozen, jobs, data.store, data.classes, classes, experiment, axis
        )
        return Setup(engine, params, graphdef, frozen, None, count(one), count(one) + count(frozen))

    # One model, for its trunk; every job gets a head of its own.
    single = fold_axis(1, 1, together=True, devices=jax.devices()[:1])
    graphdef, params, frozen = initial(classifier, frozen_at, keys[:1], shared_key, single, given)
    whole = nnx.merge(graphdef, single.first(params), frozen)
    features = encode(experiment, data, whole, say)
    layers, width = features.states.shape[1], features.states.shape[3]
    head_def, heads, _ = initial(
        lambda rngs: Head(model, layers, width, classes, rngs=rngs), lambda path: False, keys, shared_key, axis, {}
    )
    one = axis.first(heads)
    engine = ResidentEngine(head_def, one, jobs, features, classes, experiment, axis)
    return Setup(engine, heads, head_def, {}, whole.trunk, count(one), count(one) + count(frozen))


def encode(experiment: Experiment, data: Data, model: Classifier, say: Any) -> Features:
    """Return what the frozen trunk makes of every clip, computed once and kept on disk."""
    settings = experiment.data
    graphdef, state = nnx.split(model)
    pooled = experiment.model.pooling == "mean"

    def call(wave: Any, length: Any) -> Any:
        states, frames = nnx.merge(graphdef, state, copy=True).features(wave, length)
        if pooled:
            # The mean over frames is the same before and after the weighted sum of layers: keep it alone.
            states = jax.vmap(pooling.masked_mean, in_axes=(1, None), out_axes=1)(states, frames)[:, :, None]
            frames = jnp.ones_like(frames)
        return states, frames

    samples = round(settings.seconds * SAMPLE_RATE)
    how = (settings.eval_crop, samples, pooled, experiment.model.weighted_layers, experiment.model.padding)
    key = fingerprint(state, data.store.hashes, how)
    cache = cache_folder(experiment, "features")
    states, frames = encode_clips(
        call, data.store, cache, key=key, samples=samples, crop=settings.eval_crop, batch_size=8
    )
    say(f"{len(frames)} clips are encoded once: {states.nbytes / 2**20:.0f} MiB of features.")
    return Features._make((states, frames, data.classes))


def choose_rates(jobs: Sequence[Job], fitted: Fitted) -> list[dict[int, int]]:
    """Return, seed by seed, the position of each fold's job with the best validation score, of equal ones the first."""
    chosen: dict[int, dict[int, int]] = {}
    for k, job in enumerate(jobs):
        folds = chosen.setdefault(job.seed, {})
        if job.fold not in folds or fitted.best_score[k] > fitted.best_score[folds[job.fold]]:
            folds[job.fold] = k
    return list(chosen.values())


def out_of_fold(
    data: Data, jobs: Sequence[Job], probabilities: Sequence[np.ndarray], chosen: Sequence[dict[int, int]]
) -> list[OutOfFold]:
    """Return, seed by seed, every test clip's answer."""
    results = []
    for folds in chosen:
        rows = [(fold, clip, probabilities[k][i]) for fold, k in folds.items() for i, clip in enumerate(jobs[k].test)]
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


def save_models(
    experiment: Experiment,
    data: Data,
    jobs: Sequence[Job],
    chosen: dict[int, int],
    setup: Setup,
    fitted: Fitted,
    trunk: Trunk,
) -> None:
    """Write each fold's best model (of the first seed, at the chosen rate)."""
    best = setup.engine.axis.get(fitted.best)
    if setup.trunk is not None:
        save_trunk(experiment.run_dir, setup.trunk, trunk.preprocessor)
    for fold, k in chosen.items():
        model = nnx.merge(setup.graphdef, jax.tree.map(lambda x, k=k: x[k], best), setup.frozen)
        if setup.trunk is not None:
            save_head(experiment.run_dir, fold, model)
        else:
            save_fold(experiment.run_dir, fold, model, trunk.preprocessor)
    save_labels(experiment.run_dir, data.labels, list(chosen))


def run_facts(
    data: Data, setup: Setup, experiment: Experiment, trunk: Trunk, history: Sequence[Row], command: str
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
        family=trunk.config.model_type,
        versions={
            "python": platform.python_version(),
            "serjax": serjax.__version__,
            **{name: metadata.version(name) for name in packages},
        },
        corpus_notes=data.corpus_notes,
        leakage_notes=data.leakage_notes,
        skipped=data.store.skipped,
    )


def show_example(run_dir: Any, data: Data, say: Any) -> None:
    """Let the saved ensemble answer for one clip, and say how to ask it for others."""
    clip = data.store.utterances[data.folds[0].test[0]]
    [answer] = load(run_dir)([clip.path])
    scores = ", ".join(f"{entry['label']} {entry['score']:.1%}" for entry in answer)
    say(f"python -m serjax.predict {os.path.relpath(run_dir)} {clip.path}\n{scores}  (its label: {clip.label})")


if __name__ == "__main__":
    cli.run(main)
