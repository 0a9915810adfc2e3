"""scikit-learn's logistic regression and RBF SVM on the 312 values: what a network has to beat.

    python benchmarks/yardsticks.py --exp bilstm_kfold --data.root DIR [--folds...]

Folds, validation clips and values (their mean over windows, with --data.window) are those of the experiment; values
are standardised on each fold's training clips, and C (and gamma) chosen by macro-F1 on its validation clips, as early
stopping chooses an epoch. Answers are written to OUT/NAME_logistic_regression.csv and OUT/NAME_RBF_SVM.csv, in place of
older ones, for `python -m serjax.compare RUN --to` them; their probabilities are 0 and 1.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import harness
import jax
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from serjax import cli
from serjax.config.experiment import Experiment, cache_folder
from serjax.evaluation.metrics import METRICS, bootstrap_intervals, confusion, scores
from serjax.evaluation.out_of_fold import OutOfFold, write_oof_csv
from serjax.features.frozen import encode_clips
from serjax.models.base import Resolution
from serjax.models.layers.pooling import masked_mean
from serjax.runs.finetune import experiment_data
from serjax.runs.setup import experiment_trials
from serjax.runtime.allocator import keep_memory
from serjax.runtime.fingerprint import fingerprint

STRENGTHS = [0.001, 0.01, 0.1, 1.0, 10.0, 100.0]
YARDSTICKS: dict[str, list[Callable[[], Any]]] = {
    "logistic regression": [lambda c=c: LogisticRegression(C=c, max_iter=5000) for c in STRENGTHS],
    "RBF SVM": [
        lambda c=c, gamma=gamma: SVC(C=c, gamma=gamma)
        for c, gamma in itertools.product([0.1, 1.0, 10.0, 100.0], [0.3 / 312, 1 / 312, 3 / 312])
    ],
}


def best(models: Sequence[Callable[[], Any]], x: np.ndarray, y: np.ndarray, trial: Any) -> np.ndarray:
    """Return the test predictions of the model that validates best."""
    train, validation, test = (list(trial.clips(part)) for part in ("train", "validation", "test"))
    fitted = [make_pipeline(StandardScaler(), make()).fit(x[train], y[train]) for make in models]
    score = [f1_score(y[validation], model.predict(x[validation]), average="macro") for model in fitted]
    return fitted[int(np.argmax(score))].predict(x[test])


def main() -> None:
    """Fit, score, publish and write answers."""
    options, rest = harness.parser(__doc__, rounds=1).parse_known_args()
    experiment = cli.parse("yardsticks", rest, Experiment, "bilstm_kfold")
    keep_memory()
    data = experiment_data(experiment)
    front = experiment.model.resolved(Resolution(experiment.data.max_seconds)).front_end
    states, _ = encode_clips(
        lambda _, wave, length: (masked_mean(*front(wave, length))[:, None, None], length // length),
        {},
        data.store,
        [clip.id for clip in data.store.utterances],
        cache_folder(experiment) / "features" / fingerprint(data.store.hashes, repr(front), experiment.data, "values"),
        samples=front.samples,
        crop=experiment.data.eval_crop,
        pooled=True,
        batch_size=32,
    )
    x, y = np.asarray(states)[:, 0, 0], data.classes
    clips = data.store.utterances
    rows = []
    # A repeat would give the same answers.
    once = replace(
        experiment, train=replace(experiment.train, seeds=1, learning_rates=experiment.train.learning_rates[:1])
    )
    trials = experiment_trials(once, data.folds)
    Path(experiment.out).mkdir(parents=True, exist_ok=True)
    for name, models in YARDSTICKS.items():
        tested = [clip for trial in trials for clip in trial.test]
        predicted = np.concatenate([best(models, x, y, trial) for trial in trials])
        oof = OutOfFold(
            tuple(clips[clip].id for clip in tested),
            np.repeat([trial.fold for trial in trials], [len(trial.test) for trial in trials]),
            y[tested],
            np.eye(len(data.labels), dtype=np.float32)[predicted],
            tuple(clips[clip].speaker for clip in tested),
            tuple(data.labels),
        )
        write_oof_csv(Path(experiment.out) / f"{experiment.name}_{name.replace(' ', '_')}.csv", oof)
        values = scores(confusion(oof.label, predicted, len(oof.labels)))
        intervals = bootstrap_intervals(oof.label, predicted, oof.groups, len(oof.labels), seed=experiment.seed)
        rows.append([name, *(f"{values[m]:.1%} ({intervals[m][0]:.1%} to {intervals[m][1]:.1%})" for m in METRICS)])
    harness.publish([harness.markdown([data.corpus, *METRICS], rows)], options, ["sklearn"])


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    main()
