"""The report of a run: one JSON object that holds every number the table, the pictures and the model card show."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from serjax.evaluation.calibration import quality
from serjax.evaluation.calibration_report import Calibration, calibration_notes, calibration_report
from serjax.evaluation.groups import group_notes, score_groups
from serjax.evaluation.history import Row, chosen_histories, kept_row
from serjax.evaluation.metrics import (
    METRICS,
    bootstrap_intervals,
    confusion,
    confusions,
    f1_scores,
    precisions,
    recalls,
    scores,
)
from serjax.evaluation.out_of_fold import OutOfFold, mean_of

Report = dict[str, Any]

LEVEL = 0.95
DRAWS = 2000
FEW_SPEAKERS = 10
UNEQUAL = 3
"""Times as many clips in the largest fold as in the smallest, from which on a mean over folds is commented on."""

OPTIMISTIC = (
    "These scores are optimistic: early stopping chose each fold's epoch on the fold's own test clips "
    "(folds.validation=test)."
)


@dataclass(frozen=True)
class RunFacts:
    """Facts of a run that its scores do not tell.

    Attributes:
        corpus: name of the corpus, for people.
        clips_per_class: clips of each class in the whole corpus, by the class's name.
        speakers: number of speakers in the corpus, None where they are not known.
        fold_kind: how folds were made, after `auto` was resolved.
        parameters: number of weights of one fold's model.
        trainable: how many of them were trained.
        seconds: time of the training, in s.
        command: the command line that made the run.
        device: what it ran on.
        versions: version of Python and of each package that matters, by name.
        corpus_notes: sentences on the corpus: how it was recognised, what was left out.
        leakage_notes: sentences on what stands on both sides of a fold.
        skipped: a line for every clip that was left out as unreadable.
        family: name of the model.
        model: a sentence on the model: its start, head and frozen parts.
        modalities: what the model takes of a clip, sound and video.
        validation_shares: the smallest and the largest share of a fold's training part that validated; None where test
            clips did.
        base_models: hub ids of the pretrained weights.
    """

    corpus: str
    clips_per_class: Mapping[str, int]
    speakers: int | None
    fold_kind: str
    parameters: int
    trainable: int
    seconds: float
    command: str
    device: str
    versions: Mapping[str, str]
    corpus_notes: tuple[str, ...] = ()
    leakage_notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    family: str = ""
    model: str = ""
    modalities: tuple[str, ...] = ("sound",)
    validation_shares: tuple[float, float] | None = None
    base_models: tuple[str, ...] = ()


def build_report(
    experiment: Mapping[str, Any],
    facts: RunFacts,
    seeds: Sequence[OutOfFold],
    history: Sequence[Row],
    last: OutOfFold | None = None,
    alone: Mapping[str, OutOfFold] | None = None,
    calibration: Calibration | None = None,
) -> Report:
    """Return the report; scores in it go from 0 to 1, and null stands for what is not defined.

    Args:
        experiment: settings of the run, as JSON has them.
        facts: what only the run knows.
        seeds: the kept epochs' answers, one `OutOfFold` a seed in the order in which `history` first names them. The
            first is the one that folds, intervals, classes and confusion matrix are of.
        history: rows of metrics.jsonl.
        last: the last epoch's answers of the first seed; wanted where early stopping watched the test folds.
        alone: the kept epochs' answers of the first seed from sound, or video, alone.
        calibration: of the members; None where there is none.
    """
    oof = seeds[0]
    main = _scored(oof, experiment["seed"])
    chosen = chosen_histories(history)
    for fold in main["folds"]:
        rows = chosen[fold["fold"]]
        kept = kept_row(rows)
        fold |= {"kept_epoch": kept["epoch"], "epochs": rows[-1]["epoch"], "learning_rate": kept.get("learning_rate")}
    matrix = confusion(oof.label, oof.prediction, len(oof.labels))
    groups = score_groups(oof, experiment["seed"], draws=DRAWS, level=LEVEL)
    trust = calibration_report(seeds, calibration)
    return {
        "experiment": dict(experiment),
        "facts": json.loads(json.dumps(asdict(facts))),
        "labels": list(oof.labels),
        **main,
        "chance": _chance(matrix),
        "classes": _per_class(matrix, oof.labels),
        "confusion": matrix.tolist(),
        "groups": groups,
        "calibration": trust,
        "seeds": _over_seeds(seeds) if len(seeds) > 1 else None,
        "alone": {name: _whole(one) for name, one in (alone or {}).items()},
        "last_epoch": None if last is None else _scored(last, experiment["seed"]),
        "notes": [
            *_notes(experiment, facts, main),
            *group_notes(groups, len(oof.labels)),
            *calibration_notes(experiment, trust),
        ],
    }


def evaluation_report(
    answers: OutOfFold, *, name: str, seed: int, notes: Sequence[str] = (), shares: bool = True
) -> Report:
    """Return the report of an evaluation on other clips than a run's own; scores in it go from 0 to 1.

    Args:
        answers: of all clips, as those of one fold.
        name: of the model and the clips, for people.
        seed: decides the draws of the intervals.
        notes: sentences on the clips, to which those on the intervals are added.
        shares: whether a clip's scores are probabilities that add up to 1, whose calibration is judged.
    """
    found = _scored(answers, seed)
    groups = score_groups(answers, seed, draws=DRAWS, level=LEVEL)
    matrix = confusion(answers.label, answers.prediction, len(answers.labels))
    return {
        "name": name,
        "labels": list(answers.labels),
        "scores": found["out_of_fold"],
        "interval": found["interval"] | {"clips": len(answers.ids)},
        "chance": _chance(matrix),
        "classes": _per_class(matrix, answers.labels),
        "confusion": matrix.tolist(),
        "groups": groups,
        "calibration": quality(answers.probability, answers.label) if shares else None,
        "notes": [
            *notes,
            *interval_notes(found["interval"]),
            *group_notes(groups, int(np.count_nonzero(matrix.sum(1)))),
        ],
    }


def _scored(oof: OutOfFold, seed: int) -> Report:
    """Return the scores of every fold, over folds, and of all clips with their intervals."""
    numbers, index = np.unique(oof.fold, return_inverse=True)
    matrices = confusions(oof.label, oof.prediction, len(oof.labels), index, len(numbers))
    each = scores(matrices)
    folds = []
    for k, number in enumerate(numbers):
        speakers: list[Any] = [oof.speaker[clip] for clip in np.flatnonzero(index == k)]
        folds.append(
            {
                "fold": int(number),
                "clips": len(speakers),
                "speakers": None if None in speakers else len(set(speakers)),
                "tested": None if None in speakers else sorted(set(speakers)),
                **{metric: float(each[metric][k]) for metric in METRICS},
            }
        )
    intervals = bootstrap_intervals(
        oof.label, oof.prediction, oof.groups, len(oof.labels), seed=seed, draws=DRAWS, level=LEVEL
    )
    whole = scores(matrices.sum(0))
    return {
        "folds": folds,
        "over_folds": {metric: _mean_and_std(each[metric]) for metric in METRICS},
        "out_of_fold": {
            metric: {"score": float(whole[metric]), "low": intervals[metric][0], "high": intervals[metric][1]}
            for metric in METRICS
        },
        "interval": {
            "level": LEVEL,
            "draws": DRAWS,
            "resampled": "clips" if oof.groups is None else "speakers",
            "count": len(oof.ids if oof.groups is None else set(oof.groups)),
        },
    }


def _whole(oof: OutOfFold) -> dict[str, float]:
    found = scores(confusion(oof.label, oof.prediction, len(oof.labels)))
    return {metric: float(found[metric]) for metric in METRICS}


def _over_seeds(seeds: Sequence[OutOfFold]) -> Report:
    whole = [_whole(oof) for oof in seeds]
    values = {metric: np.array([one[metric] for one in whole]) for metric in METRICS}
    return {"count": len(seeds), "together": _whole(mean_of(seeds))} | {
        metric: {**_mean_and_std(values[metric]), "each": values[metric].tolist()} for metric in METRICS
    }


def _mean_and_std(values: np.ndarray) -> dict[str, float | None]:
    """Return the mean and the sample's standard deviation (n - 1), which a single value does not have."""
    return {"mean": float(values.mean()), "std": float(values.std(ddof=1)) if len(values) > 1 else None}


def _chance(matrix: np.ndarray) -> dict[str, float]:
    """Return what needs no listening: WA of always answering the largest class, and UA of any constant answer."""
    support = matrix.sum(1)
    return {"wa": float(support.max() / support.sum()), "ua": float(1 / np.count_nonzero(support))}


def _per_class(matrix: np.ndarray, labels: Sequence[str]) -> list[Row]:
    columns = {"precision": precisions(matrix), "recall": recalls(matrix), "f1": f1_scores(matrix)}
    return [
        {"label": label, "support": int(matrix[c].sum())}
        | {name: None if np.isnan(values[c]) else float(values[c]) for name, values in columns.items()}
        for c, label in enumerate(labels)
    ]


def facts_notes(experiment: Mapping[str, Any], facts: RunFacts) -> list[str]:
    """Return sentences on the protocol and the clips that a reader of any scores of a run should be told."""
    notes = [OPTIMISTIC] if experiment["folds"]["validation"] == "test" else []
    if experiment["folds"]["allow_speaker_overlap"]:
        notes.append("Speakers may stand on both sides of a fold (folds.allow_speaker_overlap), which raises scores.")
    if experiment["data"]["corpus"] == "synthetic":
        notes.append("The clips are rendered, not recorded: these scores say nothing of people.")
    notes += facts.leakage_notes
    if facts.skipped:
        notes.append(f"{len(facts.skipped)} unreadable clips were skipped; report.json lists them.")
    return notes


def _notes(experiment: Mapping[str, Any], facts: RunFacts, main: Report) -> list[str]:
    """Return everything that a reader of the scores should be told, a sentence each."""
    notes = facts_notes(experiment, facts)
    if experiment["folds"]["only"]:
        notes.append(f"Only {len(main['folds'])} of the folds were trained, so not every clip has an answer.")
    sizes = [fold["clips"] for fold in main["folds"]]
    if max(sizes) >= UNEQUAL * min(sizes):
        notes.append(
            f"Folds test {min(sizes)} to {max(sizes)} clips, and the mean over folds counts them alike: one clip of "
            f"the smallest weighs as much as {max(sizes) / min(sizes):.0f} of the largest; out-of-fold counts clips "
            "alike."
        )
    return notes + interval_notes(main["interval"])


def interval_notes(interval: Mapping[str, Any]) -> list[str]:
    """Return a sentence where intervals are narrower than new speakers would make them."""
    if interval["resampled"] == "clips":
        return [
            "Intervals draw single clips, since the speakers of all clips are not known; they are too narrow for "
            "new speakers."
        ]
    if interval["count"] < FEW_SPEAKERS:
        return [f"With {interval['count']} speakers the intervals are rough, and rather too narrow."]
    return []
