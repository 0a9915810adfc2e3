"""Targets of all clips: one row of numbers a clip, in the order of a model's outputs, NaN where one is missing."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from serjax.data.folds.fold import Fold
from serjax.data.target_config import OF_SPEAKERS, TargetConfig
from serjax.data.utterance import Utterance
from serjax.evaluation.tasks import Task, places
from serjax.runtime.errors import UserError, one_of


class Targets(NamedTuple):
    """Targets of the clips of a store.

    Attributes:
        tasks: in the order of the outputs.
        values: of each clip and output; NaN where a task's target is missing. A class is a one among zeros, a
            dimension 0 to 1 over its range.
        notes: sentences on what is missing or left out.
    """

    tasks: tuple[Task, ...]
    values: Float32[np.ndarray, "clips c"]
    notes: tuple[str, ...] = ()


def read_targets(clips: Sequence[Utterance], labels: Sequence[str], config: TargetConfig) -> Targets:
    """Return the targets that the settings ask for.

    Args:
        clips: of the store.
        labels: the corpus's classes in their order.
        config: the targets.

    Raises:
        UserError: values outside their ranges, votes that are negative, of no clip or of no class; or a task for
            which no clip, or only one class, is there.
    """
    tasks, columns, notes = [], [], []
    for name, kind, _ in config.each:
        if kind == "dimensions":
            task, values = _dimensions(name, clips, config)
        elif kind == "class":
            task, values = _classes(name, clips, labels)
        else:
            task, values, found = _votes(name, kind, clips, labels)
            notes += found
        missing = int(np.isnan(values).all(1).sum())
        if missing == len(clips):
            raise UserError(f"target {name}: no clip has one; {_remedy(name, kind)}")
        if missing:
            notes.append(f"{missing} of {len(clips)} clips have no target {name}, and count for the others alone.")
        tasks.append(task)
        columns.append(values)
    return Targets(tuple(tasks), np.concatenate(columns, 1).astype(np.float32), tuple(notes))


def check_targets(targets: Targets, folds: Sequence[Fold]) -> None:
    """See that every part of every fold has a target of every task.

    Raises:
        UserError: names the task, and the folds and parts without.
    """
    for task, place in zip(targets.tasks, places(targets.tasks), strict=True):
        there = ~np.isnan(targets.values[:, place]).all(1)
        empty = [
            f"fold {fold.number}'s {part}"
            for fold in folds
            for part in ("train", "validation", "test")
            if not there[list(getattr(fold, part))].any()
        ]
        if empty:
            raise UserError(
                f"target {task.name}: no clip of {one_of(empty)} has one; leave the task out, or divide the clips "
                "otherwise (--folds.kind, --folds.count)."
            )


def _remedy(name: str, kind: str) -> str:
    if kind == "dimensions":
        return "name its columns, as in --data.columns arousal=act, or choose other --target.dimensions."
    if kind == "class" and name in OF_SPEAKERS:
        return f"the corpus does not say it; give a list with a column {name}."
    if kind == "class":
        return "give clips with labels."
    return "name the columns of the votes, as in --data.columns votes.angry=n_angry."


def _classes(name: str, clips: Sequence[Utterance], labels: Sequence[str]) -> tuple[Task, np.ndarray]:
    if name in OF_SPEAKERS:
        found = [
            getattr(clip, name) if name in ("speaker", "session") else dict(clip.attributes).get(name) for clip in clips
        ]
        labels = sorted({one for one in found if one})
    else:
        found = [clip.label for clip in clips]
    index = {label: place for place, label in enumerate(labels) if label}
    values = np.full((len(clips), len(labels)), np.nan)
    for row, label in enumerate(found):
        if label in index:
            values[row] = 0
            values[row, index[label]] = 1
    if len(index) == 1:
        raise UserError(f"target {name}: there is only one class ({next(iter(index))}); give clips of two or more.")
    return Task(name, "class", tuple(labels)), values


def _dimensions(name: str, clips: Sequence[Utterance], config: TargetConfig) -> tuple[Task, np.ndarray]:
    ranges = config.ranges
    known = [dict(clip.values) for clip in clips]
    values = np.array([[one.get(dimension, np.nan) for dimension in ranges] for one in known])
    low, high = np.array(list(ranges.values())).T
    wrong = [
        f"{clip.id}: {dimension} {values[row, place]:g}"
        for row, clip in enumerate(clips)
        for place, dimension in enumerate(ranges)
        if values[row, place] < low[place] or values[row, place] > high[place]
    ]
    if wrong:
        raise UserError(
            f"target {name}: {len(wrong)} values are outside their ranges ({one_of(wrong, 20)}); correct them, or the "
            "ranges in --target.dimensions."
        )
    absent = [dimension for place, dimension in enumerate(ranges) if np.isnan(values[:, place]).all()]
    if absent and len(absent) < len(ranges):
        there = sorted({key for one in known for key in one})
        raise UserError(
            f"target {name}: no clip has {one_of(absent)}; the corpus has {one_of(there)}. Name its column, as in "
            f"--data.columns {absent[0]}=COLUMN, or leave it out of --target.dimensions."
        )
    return Task(name, "dimensions", tuple(ranges), tuple(ranges.values())), (values - low) / (high - low)


def _votes(
    name: str, kind: str, clips: Sequence[Utterance], labels: Sequence[str]
) -> tuple[Task, np.ndarray, list[str]]:
    """Return shares of the classes (soft), or which labels got a vote (multilabel)."""
    voted = sorted({label for clip in clips for label, _ in clip.votes})
    outputs = [label for label in labels if label] or voted
    negative = [f"{clip.id}: {label} {count:g}" for clip in clips for label, count in clip.votes if count < 0]
    if negative:
        raise UserError(f"target {name}: {len(negative)} votes are negative ({one_of(negative, 20)}); correct them.")
    if voted and not set(voted) & set(outputs):
        raise UserError(
            f"target {name}: votes are for {one_of(voted)}, but the classes are {one_of(outputs)}; give votes the "
            "classes' names, as in --data.columns votes.CLASS=COLUMN, or map the labels with --data.label-map."
        )
    values = np.full((len(clips), len(outputs)), np.nan)
    place = {label: number for number, label in enumerate(outputs)}
    elsewhere, empty = 0, []
    for row, clip in enumerate(clips):
        counts = np.zeros(len(outputs))
        for label, count in clip.votes:
            if label in place:
                counts[place[label]] += count
            elsewhere += label not in place and count > 0
        if counts.sum() > 0:
            values[row] = counts / counts.sum() if kind == "soft" else counts > 0
        elif clip.votes:
            empty.append(clip.id)
    if empty:
        raise UserError(
            f"target {name}: the votes of {len(empty)} clips do not add up to more than 0 over the classes "
            f"{one_of(outputs)} ({one_of(empty, 20)}); correct them, or leave these clips out."
        )
    shares = [clip for clip in clips if clip.votes and all(0 <= count <= 1 for _, count in clip.votes)]
    odd = [
        f"{clip.id}: {sum(count for _, count in clip.votes):.3g}"
        for clip in shares
        if abs(sum(count for _, count in clip.votes) - 1) > 0.02
    ]
    fractions = any(count % 1 for clip in clips for _, count in clip.votes)
    if kind == "soft" and fractions and odd:
        raise UserError(
            f"target {name}: the shares of {len(odd)} clips do not add up to 1 ({one_of(odd, 20)}); correct them, "
            "or give numbers of votes."
        )
    others = [label for label in voted if label not in place]
    notes = []
    if elsewhere:
        notes.append(
            f"Votes for {one_of(others)}, which are no classes, are left out of the shares of {elsewhere} clips."
        )
    return Task(name, kind, tuple(outputs)), values, notes  # type: ignore[arg-type]
