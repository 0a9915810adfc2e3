"""Runs on the same clips, two by two: how far apart their scores are, and whether speakers agree on it."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from serjax.evaluation.metrics import METRICS, bootstrap_differences, bootstrap_intervals, confusion, confusions, scores
from serjax.evaluation.out_of_fold import OutOfFold, joined_attributes, mean_of, read_seeds
from serjax.evaluation.report import DRAWS, LEVEL
from serjax.runtime.errors import UserError, one_of, reason

Scored = dict[str, tuple[float, float, float]]
"""Score, and the low and high end of its interval, of each of `METRICS`."""


@dataclass(frozen=True)
class Comparison:
    """Scores of two runs on the clips that both have tested.

    Attributes:
        ours: scores of the first run.
        theirs: scores of the second run.
        difference: how much higher the first run's are.
        clips: number of clips.
        speakers: for how many speakers the first run's UA is higher, equal and lower; None where there are not two,
            or not all are known.
    """

    ours: Scored
    theirs: Scored
    difference: Scored
    clips: int
    speakers: tuple[int, int, int] | None


class Pair(NamedTuple):
    """Two runs that are compared.

    Attributes:
        ours: name of the first run.
        theirs: name of the run that it is compared with.
        found: their scores.
        renamed: clips of the second run that are known by their samples, as the first calls them otherwise.
    """

    ours: str
    theirs: str
    found: Comparison
    renamed: int = 0


def read_runs(runs: Sequence[Path]) -> tuple[str, OutOfFold]:
    """Return a name for runs together, and their answers; several seeds of a run answer together.

    Args:
        runs: folders of finished runs, or their oof.csv, which may have trained some of the folds each.

    Raises:
        UserError: a run cannot be read, or `join` refuses them.
    """
    parts = _read(runs)
    return " + ".join(name for name, _ in parts), join(parts)


def read_each(runs: Sequence[Path]) -> list[tuple[str, OutOfFold]]:
    """Return names and answers of runs, each by itself; or together, as `read_runs` does, where no two share a clip.

    Args:
        runs: folders of finished runs, or their oof.csv.

    Raises:
        UserError: a run cannot be read, or is named twice.
    """
    twice = next((run for number, run in enumerate(runs) if run in runs[:number]), None)
    if twice is not None:
        raise UserError(f"{twice}: named twice; name each run once.")
    parts = _read(runs)
    tested = [clip for _, answers in parts for clip in set(answers.ids)]
    if len(set(tested)) == len(tested):
        return [(" + ".join(name for name, _ in parts), join(parts))]
    return parts


def _read(runs: Sequence[Path]) -> list[tuple[str, OutOfFold]]:
    parts = []
    for run in runs:
        try:
            path, is_folder = run.expanduser(), run.expanduser().is_dir()
        except (OSError, RuntimeError) as error:
            raise UserError(f"{run}: cannot be read ({reason(error)}); give the folder of a finished run.") from None
        if is_folder and not (path / "oof.csv").is_file():
            below = sorted(one.parent.name for one in path.glob("*/oof.csv"))
            finished = f"one of the finished runs in it: {one_of(below)}" if below else "the folder of a finished run"
            raise UserError(f"{run}: there is no oof.csv in this folder; give {finished}.")
        seeds = read_seeds(path / "oof.csv" if is_folder else path)
        name = str(run) if len(seeds) == 1 else f"{run} ({len(seeds)} seeds together)"
        parts.append((name, mean_of(seeds)))
        if not parts[-1][1].ids:
            raise UserError(f"{run}: its oof.csv has no clip; give a run that tested some.")
    return parts


def match_by_content(
    ours: OutOfFold, theirs: OutOfFold, our_hashes: Mapping[str, str], their_hashes: Mapping[str, str]
) -> tuple[OutOfFold, int]:
    """Return the second run's answers with clips called as in the first, and how many were renamed.

    A clip whose id the first run has too keeps it; another one gets the id of the first run's clip that holds the same
    samples, where there is one such clip in each run. Samples that were resampled by other processors may differ.
    """
    known, called = set(theirs.ids), set(ours.ids)
    left = {clip: our_hashes[clip] for clip in ours.ids if clip not in known and clip in our_hashes}
    right = {clip: their_hashes[clip] for clip in theirs.ids if clip not in called and clip in their_hashes}
    single = [{digest for digest, times in Counter(side.values()).items() if times == 1} for side in (left, right)]
    names = {digest: clip for clip, digest in left.items() if digest in single[0] & single[1]}
    ids = tuple(names.get(right.get(clip, ""), clip) for clip in theirs.ids)
    return replace(theirs, ids=ids), sum(old != new for old, new in zip(theirs.ids, ids, strict=True))


def join(parts: Sequence[tuple[str, OutOfFold]]) -> OutOfFold:
    """Return the answers of runs that trained some folds each as those of one run.

    Args:
        parts: name and answers of each run.

    Raises:
        UserError: two of them tell other classes apart, or a clip was tested twice.
    """
    first, one = parts[0]
    owner: dict[str, str] = {}
    for name, other in parts:
        _check_classes(first, one, name, other)
        for clip in other.ids:
            if clip in owner:
                raise UserError(
                    f"{clip}: tested by {owner[clip]} and by {name}; give runs of different folds, or one of the two."
                )
            owner[clip] = name
    every = [answers for _, answers in parts]
    return OutOfFold(
        tuple(clip for answers in every for clip in answers.ids),
        np.concatenate([answers.fold for answers in every]),
        np.concatenate([answers.label for answers in every]),
        np.concatenate([answers.probability for answers in every]),
        tuple(speaker for answers in every for speaker in answers.speaker),
        one.labels,
        joined_attributes(every),
    )


def compare_pairs(
    runs: Sequence[tuple[str, OutOfFold]],
    base: tuple[str, OutOfFold] | None,
    seed: int,
    hashes: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Pair]:
    """Compare each run with one, or all runs two by two.

    Args:
        runs: names and answers of runs.
        base: name and answers of the run that all are compared with; None: every run with every later one.
        seed: decides the draws of the intervals, which are the same speakers for all pairs of the same clips.
        hashes: of the clips' samples by id, of each run by its name, for clips that two runs call by other ids.

    Raises:
        UserError: what `compare` refuses.
    """
    known = hashes or {}
    pairs = []
    for one, two in itertools.combinations(runs, 2) if base is None else ((run, base) for run in runs):
        answers, renamed = match_by_content(one[1], two[1], known.get(one[0], {}), known.get(two[0], {}))
        pairs.append(Pair(one[0], two[0], compare(one, (two[0], answers), seed), renamed))
    return pairs


def compare(ours: tuple[str, OutOfFold], theirs: tuple[str, OutOfFold], seed: int) -> Comparison:
    """Return the scores of both on the clips that both have tested, and what lies between them.

    Args:
        ours: name and answers of a run.
        theirs: of what it is compared with.
        seed: decides the draws of the intervals.

    Raises:
        UserError: they tell other classes apart, have no clip in common, or another label for the same clip.
    """
    (name, one), (other, two) = ours, theirs
    _check_classes(name, one, other, two)
    # Sorted, as speakers are drawn in the order in which they come.
    both = sorted(set(one.ids) & set(two.ids))
    if not both:
        raise UserError(
            f"{name} and {other} have tested no clip in common (such as {one.ids[0]}, and {two.ids[0]}), by id or by "
            "samples; give runs on the same recordings."
        )
    one, two = _only(one, both), _only(two, both)
    for row in np.flatnonzero(one.label != two.label)[:1]:
        raise UserError(
            f"{both[row]}: labelled {one.labels[one.label[row]]} in {name} and {two.labels[two.label[row]]} in "
            f"{other}; give runs on the same labels."
        )
    return Comparison(*_scored(one, two, seed), len(both), _agreement(one, two))


def _only(oof: OutOfFold, clips: Sequence[str]) -> OutOfFold:
    """Return the answers for these clips, in this order."""
    place = {clip: row for row, clip in enumerate(oof.ids)}
    rows = [place[clip] for clip in clips]
    speakers = tuple(oof.speaker[row] for row in rows)
    return OutOfFold(tuple(clips), oof.fold[rows], oof.label[rows], oof.probability[rows], speakers, oof.labels)


def _scored(ours: OutOfFold, theirs: OutOfFold, seed: int) -> tuple[Scored, Scored, Scored]:
    labels, classes, groups = ours.label, len(ours.labels), ours.groups
    given: dict[str, Any] = {"seed": seed, "draws": DRAWS, "level": LEVEL}
    apart = [scores(confusion(labels, one.prediction, classes)) for one in (ours, theirs)]
    values = [*apart, {metric: apart[0][metric] - apart[1][metric] for metric in METRICS}]
    intervals = [
        *(bootstrap_intervals(labels, one.prediction, groups, classes, **given) for one in (ours, theirs)),
        bootstrap_differences(labels, ours.prediction, theirs.prediction, groups, classes, **given),
    ]
    first, second, third = (
        {metric: (float(value[metric]), *interval[metric]) for metric in METRICS}
        for value, interval in zip(values, intervals, strict=True)
    )
    return first, second, third


def _agreement(ours: OutOfFold, theirs: OutOfFold) -> tuple[int, int, int] | None:
    if ours.groups is None:
        return None
    names, index = np.unique(np.array(ours.groups), return_inverse=True)
    one, two = (
        scores(confusions(ours.label, x.prediction, len(ours.labels), index, len(names)))["ua"] for x in (ours, theirs)
    )
    # Recalls are quotients of small counts: a difference of rounding is none.
    sign = np.sign(np.round(one - two, 9))
    return int(np.sum(sign > 0)), int(np.sum(sign == 0)), int(np.sum(sign < 0))


def _check_classes(name: str, one: OutOfFold, other: str, two: OutOfFold) -> None:
    if one.labels != two.labels:
        raise UserError(
            f"{name} tells {', '.join(one.labels)} apart, {other} {', '.join(two.labels)}; "
            "give runs with the same classes in the same order."
        )
