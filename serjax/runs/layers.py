"""Linear probes on every layer of a frozen encoder: heads of all layers, folds, seeds and rates train in one step."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.data.dataset import Data
from serjax.evaluation.layer_page import write_layers
from serjax.evaluation.layer_report import Probed, layer_report
from serjax.evaluation.report import Report
from serjax.models.base import DType
from serjax.models.classifiers.speech import HeadAlone, build_head
from serjax.models.functional import count
from serjax.models.inputs import Features
from serjax.models.speech import Speech
from serjax.runs.finetune import experiment_data, fit_stage
from serjax.runs.folder import RESUME, begin_run, claim, end_run, find_run, write_folds
from serjax.runs.frozen_heads import encode_store, encoder_of
from serjax.runs.results import choose_rates, out_of_fold
from serjax.runs.setup import Plan, Setup, check_lengths, experiment_trials, make_plan
from serjax.runs.study.protocols import PROBE_RATES
from serjax.runs.study.settings import StudyEncoder
from serjax.runtime import distributed
from serjax.runtime.constraints import to_json, validate
from serjax.runtime.fingerprint import fingerprint
from serjax.training.config import TrainConfig
from serjax.training.fold_axis import fold_axis
from serjax.training.frozen import make_is_frozen
from serjax.training.initialize import initial
from serjax.training.resident import ResidentEngine
from serjax.training.trials import Trial, trial_key

log = logging.getLogger(__name__)


def probe_experiment(
    encoder: StudyEncoder,
    data: DataConfig,
    *,
    name: str | None = None,
    out: str = "checkpoints",
    folds: int = 5,
    seeds: int = 1,
    learning_rates: tuple[float, ...] = PROBE_RATES,
    epochs: int = 20,
    batch_size: int = 32,
    padding: str = "exact",
    dtype: DType = "float32",
    seed: int = 0,
    overwrite: bool = False,
) -> Experiment:
    """Return the experiment of which each layer's probe is a run: that layer's mean frame, and a linear layer.

    `serjax.train` with these settings and `--model.layer N` trains what stands for layer N.
    """
    return Experiment(
        name=name or f"layers_{encoder.name}",
        out=out,
        data=data,
        folds=FoldsConfig(count=folds),
        model=Speech(
            checkpoint=encoder.checkpoint,
            family=encoder.family,
            size=encoder.size,
            pooling="mean",
            head="linear",
            dropout=0.0,
            freeze="encoder",
            padding=padding,  # type: ignore[arg-type]
            dtype=dtype,
        ),
        train=TrainConfig(
            epochs=epochs, batch_size=batch_size, patience=epochs, seeds=seeds, learning_rates=learning_rates
        ),
        seed=seed,
        overwrite=overwrite,
    )


def probe_layers(experiment: Experiment, command: str = "serjax.runs.layers.probe_layers(...)") -> Report:
    """Train a probe on every layer, or go on where an earlier call stopped; write the page and return its report.

    Args:
        experiment: see `probe_experiment`.
        command: by which it was asked for.

    Raises:
        UserError: data, folds, encoder or folder are not as they must be.
        Diverged: the numbers of all layers are no longer finite.
    """
    validate(experiment)
    with claim(experiment):
        return _probe(experiment, command)


def _probe(experiment: Experiment, command: str) -> Report:
    begun = distributed.from_first("run folder", lambda: find_run(experiment))
    data, plan = experiment_data(experiment), make_plan(experiment)
    for note in plan.notes:
        log.info(note)
    setup = set_up_probes(experiment, data, plan)
    together = setup.engine.axis.together
    made_from = fingerprint(data.store.hashes, data.classes, data.folds, together, dict(plan.given))

    def begin() -> None:
        begin_run(experiment, begun, made_from)
        write_folds(experiment, data)

    distributed.from_first("run folder", begin)
    layers = _layers(plan)
    log.info(f"{len(setup.engine.trials)} linear probes on {layers} layers train side by side.")
    every = data._replace(classes=np.tile(data.classes, layers))
    fitted = fit_stage(experiment, setup, every, (), experiment.run_dir / RESUME)
    found = setup.engine.predict(fitted.best, "test")
    trials, score = layer_trials(experiment, data, layers), fitted.best_score.tolist()
    probes = [
        _probed(data, trials, found, score, layer) if layer not in fitted.given_up else Probed(layer, None, None)
        for layer in range(layers)
    ]
    source = plan.model.summary.partition(";")[0].removeprefix("Encoder: ")
    report = layer_report(
        json.loads(to_json(experiment)),
        probes,
        encoder=source.replace("`", ""),
        corpus=(data.corpus, *data.corpus_notes),
        command=command,
        notes=(*data.leakage_notes, *plan.warnings),
    )

    def write() -> None:
        written = write_layers(experiment.run_dir, report)
        end_run(experiment)
        log.info(f"Written to {experiment.run_dir}: {', '.join(written)}.")

    distributed.from_first("reports", write)
    return report


def _layers(plan: Plan) -> int:
    """Return how many layers have hidden states: the first block's input, and the output of each block."""
    assert isinstance(plan.model, Speech)
    return plan.model.encoder.config.num_hidden_layers + 1


def layer_trials(experiment: Experiment, data: Data, layers: int) -> list[Trial]:
    """Return the trials of every layer, whose number stands as that of the run; clips are those of the store."""
    own = experiment_trials(experiment, data.folds)
    return [replace(trial, run=layer) for layer in range(layers) for trial in own]


def _probed(
    data: Data, trials: Sequence[Trial], found: Sequence[np.ndarray], score: Sequence[float], layer: int
) -> Probed:
    chosen = choose_rates(trials, score, layer)
    validation = float(np.mean([score[k] for seed in chosen for k in seed.values()]))
    return Probed(layer, out_of_fold(data, trials, found, chosen), validation)


def set_up_probes(experiment: Experiment, data: Data, plan: Plan) -> Setup:
    """Encode all clips once, and return the engine that trains the probes of all layers.

    The store of features has every clip once a layer, layer after layer, so that a probe is a trial on other clips:
    those of layer l begin at l times the number of clips.

    Raises:
        UserError: crops or clips are too short for one frame or too long for the encoder, or features cannot be
            written.
    """
    model, classes = plan.model, data.outputs
    assert isinstance(model, Speech)
    check_lengths(experiment, data, model.min_samples, model.max_samples)
    features = layer_features(experiment, data, plan)
    layers, clips = _layers(plan), len(data.store)

    def behind(trial: Trial) -> Trial:
        first = trial.run * clips
        train, validation, test = (
            tuple(first + clip for clip in trial.clips(part)) for part in ("train", "validation", "test")
        )
        return replace(trial, train=train, validation=validation, test=test)

    trials = [behind(trial) for trial in layer_trials(experiment, data, layers)]
    keys = jnp.stack([trial_key(experiment.seed, one) for one in trials])
    axis = fold_axis(len(trials), experiment.train.batch_size, together=experiment.folds.together != "no")
    graphdef, params, frozen = initial(
        lambda rngs: HeadAlone(build_head(model, classes, rngs=rngs)),
        lambda path: False,
        keys,
        jax.random.key(experiment.seed),
        axis,
        {},
    )
    one = axis.shape(params)
    engine = ResidentEngine(
        graphdef,
        one,
        frozen,
        trials,
        features,
        classes,
        axis,
        train=experiment.train,
        optimizer=experiment.optimizer,
        augment=experiment.augment,
        dtype=model.dtype,
        seed=experiment.seed,
    )
    return Setup(engine, params, graphdef, frozen, count(one), count(one))


def layer_features(experiment: Experiment, data: Data, plan: Plan) -> Features:
    """Return the mean frame of each layer of each clip, layer after layer; what a sum of all layers has stored is read.

    Raises:
        UserError: as `encode`.
    """
    assert isinstance(plan.model, Speech)
    model = replace(plan.model, weighted_layers=True, layer=None)

    def make(rngs: nnx.Rngs) -> nnx.Module:
        return model.build(data.outputs, rngs=rngs)

    key = jax.random.key(experiment.seed)
    _, _, encoder = encoder_of(make, make_is_frozen(model, ()), key[None], key, plan.given)
    found = encode_store(experiment, encoder, data.store, data.classes)
    states = np.ascontiguousarray(np.swapaxes(found.states, 0, 1))  # [clips l 1 d] to [l clips 1 d]
    layers = len(states)
    states = states.reshape(-1, 1, *states.shape[2:])
    return Features(states, np.tile(found.frames, layers), np.tile(found.label, layers))  # type: ignore[arg-type]
