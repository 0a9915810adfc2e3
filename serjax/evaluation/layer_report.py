"""Reports on layers: scores of a probe on each with intervals, and the shares of a learned sum of all."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from serjax.evaluation.metrics import METRICS, bootstrap_differences, confusion, scores
from serjax.evaluation.out_of_fold import OutOfFold, mean_of
from serjax.evaluation.report import DRAWS, LEVEL, Report, interval_notes
from serjax.evaluation.study_report import score_answers


class Probed(NamedTuple):
    """Answers of the probes on a layer.

    Attributes:
        layer: its number; 0 is the first block's input.
        found: answers seed by seed; None where the numbers of a fold were not finite at any rate.
        validation: mean over folds and seeds of the macro-F1 on validation clips, 0 to 1.
    """

    layer: int
    found: Sequence[OutOfFold] | None
    validation: float | None


def layer_report(
    settings: Mapping[str, Any],
    probes: Sequence[Probed],
    *,
    encoder: str,
    corpus: Sequence[str],
    command: str,
    notes: Sequence[str] = (),
) -> Report:
    """Return the report; scores in it go from 0 to 1, and null stands for what is not there.

    The layer is chosen by validation clips, so that its score on tested clips is that of an honest choice: the largest
    of many scores is too high.

    Args:
        settings: of the probes, as JSON has them.
        probes: of all layers in their order, at least one with answers.
        encoder: its name, for people.
        corpus: name of the corpus, and sentences on it.
        command: by which it was asked for.
        notes: sentences for the reader.
    """
    seed, known = settings["seed"], {one.layer: one.found for one in probes if one.found is not None}
    scored = {layer: score_answers(found, seed) for layer, found in known.items()}
    facts, last = next(iter(scored.values())), probes[-1].layer
    validation = {one.layer: one.validation or 0.0 for one in probes if one.layer in known}
    chosen = max(validation, key=lambda layer: (validation[layer], -layer))
    count = facts["clips"] if facts["speakers"] is None else facts["speakers"]
    interval = {"level": LEVEL, "draws": DRAWS, "resampled": facts["resampled"], "count": count}
    return {
        "experiment": dict(settings),
        "encoder": encoder,
        "corpus": list(corpus),
        "labels": facts["classes"],
        "clips": facts["clips"],
        "layers": [
            {
                "layer": one.layer,
                "validation": one.validation,
                "scores": scored[one.layer]["scores"] if one.layer in scored else None,
            }
            for one in probes
        ],
        "chosen": chosen,
        "last": last,
        "difference": _difference(known[chosen], known[last], seed) if chosen != last and last in known else None,
        "interval": interval,
        "chance": facts["chance"],
        "notes": [*interval_notes(interval), *_failed(probes), *notes],
        "command": command,
    }


def _difference(ours: Sequence[OutOfFold], theirs: Sequence[OutOfFold], seed: int) -> dict[str, dict[str, float]]:
    """Return how much higher each score of one layer is than that of another, with intervals of paired draws."""
    one, other = mean_of(ours), mean_of(theirs)
    classes = len(one.labels)
    pair = [scores(confusion(each.label, each.prediction, classes)) for each in (one, other)]
    intervals = bootstrap_differences(
        one.label, one.prediction, other.prediction, one.groups, classes, seed=seed, draws=DRAWS, level=LEVEL
    )
    return {
        metric: {
            "score": float(pair[0][metric] - pair[1][metric]),
            "low": intervals[metric][0],
            "high": intervals[metric][1],
        }
        for metric in METRICS
    }


def _failed(probes: Sequence[Probed]) -> list[str]:
    failed = [str(one.layer) for one in probes if one.found is None]
    if not failed:
        return []
    return [
        f"Layers without scores, since the numbers of a fold were not finite at any rate: {', '.join(failed)}; lower "
        "--learning-rates."
    ]


def weights_report(members: Mapping[tuple[int, int], np.ndarray]) -> Report:
    """Return the shares of a learned sum of layers, which add up to 1 in each member, and their means.

    Args:
        members: learned numbers of the layers, before the softmax, by fold and seed.
    """
    shares = {member: _softmax(np.asarray(own, np.float64)) for member, own in members.items()}
    return {
        "members": [{"fold": fold, "seed": seed, "shares": own.tolist()} for (fold, seed), own in shares.items()],
        "mean": np.mean(list(shares.values()), axis=0).tolist(),
    }


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def weights_sentence(found: Report, most: int = 3) -> str:
    """Return the layers of the largest mean shares, in %."""
    mean = np.array(found["mean"])
    order = np.argsort(-mean, kind="stable")[:most]
    told = ", ".join(f"{layer} ({100 * mean[layer]:.1f} %)" for layer in order)
    return f"Largest shares of the learned sum of {len(mean)} layers: {told}; equal ones are {100 / len(mean):.1f} %."
