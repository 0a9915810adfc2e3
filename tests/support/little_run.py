"""A run that never took place: its folds' answers, its history and what is known of it."""

import json
from dataclasses import dataclass, replace

import numpy as np

from serjax.config.experiment import Experiment
from serjax.data.config import FoldsConfig
from serjax.evaluation.calibration_report import Calibration, calibrate
from serjax.evaluation.out_of_fold import OutOfFold
from serjax.evaluation.report import Report, Row, RunFacts, build_report
from serjax.models.speech import Speech
from serjax.runtime.constraints import to_json
from serjax.training.config import TrainConfig

LABELS = ("angry", "bored", "calm", "disgust")


@dataclass(frozen=True)
class Run:
    experiment: Experiment
    facts: RunFacts
    seeds: list[OutOfFold]
    history: list[Row]
    last: OutOfFold | None
    calibration: Calibration | None

    @property
    def settings(self):
        return json.loads(to_json(self.experiment))

    @property
    def report(self) -> Report:
        return build_report(
            self.settings, self.facts, self.seeds, self.history, self.last, calibration=self.calibration
        )


def answers(rng, labels, folds, speakers, known, clips=12):
    """Answers that are right somewhat more often than chance, speaker by speaker."""
    count = speakers * clips
    speaker = np.arange(count) // clips
    label = rng.integers(0, len(labels), count)
    probability = rng.gamma(0.6, size=(count, len(labels))) + 0.01
    probability[np.arange(count), label] += 0.7
    probability = (probability / probability.sum(1, keepdims=True)).astype(np.float32)
    names = tuple(f"speaker {one}" if known else None for one in speaker)
    ids = tuple(f"part/{clip}.wav" for clip in range(count))
    return OutOfFold(ids, speaker % folds + 1, label, probability, names, tuple(labels))


def epochs(rng, folds, seeds, rates, count=6):
    """History rows as training writes them; fold k stops after `count` - k % 3 epochs."""
    grid = [(seed, rate) for seed in range(seeds) for rate in rates or (0.001,)]
    return [
        {"fold": fold}
        | ({"seed": seed, "learning_rate": rate} if len(grid) > 1 else {})
        | {
            "epoch": epoch,
            "train_loss": float(1 / epoch + 0.1 * rng.random()),
            "validation_loss": float(1 / epoch + 0.3 * rng.random()),
            "validation_macro_f1": float(0.1 * epoch * rng.random()),
        }
        for epoch in range(1, count + 1)
        for fold in range(1, folds + 1)
        for seed, rate in grid
        if epoch <= count - fold % 3
    ]


def make_run(
    labels=LABELS,
    folds=5,
    speakers=12,
    known=True,
    seeds=1,
    rates=(),
    validation="train",
    gender=False,
    clips=None,
    **facts,
):
    rng = np.random.default_rng(0)
    several = [answers(rng, labels, folds, speakers, known) for _ in range(seeds)]
    several = [replace(one, label=several[0].label) for one in several]
    if gender:
        of = tuple("female" if clip // 12 % 2 else "male" for clip in range(len(several[0].ids)))
        several = [replace(one, attributes={"gender": of}) for one in several]
    counts = {name: int((several[0].label == index).sum()) for index, name in enumerate(labels)}
    experiment = Experiment(
        name="little_run",
        folds=FoldsConfig(validation=validation, count=folds),
        model=Speech(size="tiny"),
        train=TrainConfig(epochs=6, learning_rates=tuple(rates), seeds=seeds),
    )
    known_facts = {
        "corpus": "Some Corpus",
        "clips_per_class": counts,
        "speakers": speakers if known else None,
        "fold_kind": "speaker",
        "family": "wav2vec2",
        "model": replace(experiment.model, family="wav2vec2").summary,
        "parameters": 1234567,
        "trainable": 234567,
        "seconds": 125.0,
        "command": "python -m serjax.train --exp little_run",
        "device": "cpu",
        "versions": {"jax": "9.9.9", "serjax": "1.2.3"},
    }
    last = answers(rng, labels, folds, speakers, known) if validation == "test" else None
    history = epochs(rng, folds, seeds, rates)
    calibration = None if validation == "test" else calibrated(several, folds, clips)
    return Run(experiment, RunFacts(**(known_facts | facts)), several, history, last, calibration)


def calibrated(seeds, folds, clips):
    """Calibration of all members, each from so many clips that another fold tests."""
    members = []
    for seed, oof in enumerate(seeds):
        for fold in range(1, folds + 1):
            own = np.flatnonzero(oof.fold == fold % folds + 1)[:clips]
            members.append(calibrate(fold, seed, oof.probability[own], oof.label[own]))
    return Calibration(tuple(members))
