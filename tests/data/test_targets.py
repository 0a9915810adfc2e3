"""Targets from labels, votes, values and speakers' attributes; and what cannot be one."""

from pathlib import Path

import numpy as np
import pytest

from serjax.data.folds.fold import Fold
from serjax.data.target_config import TargetConfig
from serjax.data.targets import check_targets, read_targets
from serjax.data.utterance import Utterance
from serjax.evaluation.tasks import Task
from serjax.runtime.errors import UserError


def clip(name, label="", votes=None, **values):
    votes = tuple((votes or {}).items())
    return Utterance(name, Path(f"{name}.wav"), label, values=tuple(values.items()), votes=votes)


def test_values_go_from_0_to_1_over_their_ranges():
    clips = [clip("a", arousal=1, valence=4), clip("b", arousal=7), clip("c")]
    config = TargetConfig(kind="dimensions", dimensions=("arousal=1:7", "valence=1:7"))
    targets = read_targets(clips, ("",), config)
    nan = np.nan
    np.testing.assert_allclose(targets.values, [[0, 0.5], [1, nan], [nan, nan]])
    assert targets.tasks == (Task("dimensions", "dimensions", ("arousal", "valence"), ((1, 7), (1, 7))),)
    assert targets.notes == ("1 of 3 clips have no target dimensions, and count for the others alone.",)


def test_votes_become_shares_or_labels():
    clips = [clip("a", votes={"sad": 3, "joy": 1}), clip("b", votes={"joy": 2, "other": 5}), clip("c")]
    soft = read_targets(clips, ("joy", "sad"), TargetConfig(kind="soft"))
    np.testing.assert_allclose(soft.values, [[0.25, 0.75], [1, 0], [np.nan, np.nan]])
    assert "Votes for other, which are no classes, are left out of the shares of 1 clips." in soft.notes
    several = read_targets(clips, ("",), TargetConfig(kind="multilabel"))
    assert several.tasks[0].outputs == ("joy", "other", "sad")
    np.testing.assert_array_equal(several.values[:2], [[1, 0, 1], [1, 1, 0]])


def test_several_tasks_stand_side_by_side():
    clips = [
        Utterance("a", Path("a"), "sad", "s1", attributes=(("gender", "male"),), values=(("v", 0.5),)),
        Utterance("b", Path("b"), "joy", "s2", attributes=(("gender", "female"),)),
        Utterance("c", Path("c"), "joy", "s3"),
    ]
    config = TargetConfig(tasks=("emotion:class", "v:dimensions", "gender:class"), dimensions=("v=0:1",))
    targets = read_targets(clips, ("joy", "sad"), config)
    assert [task.outputs for task in targets.tasks] == [("joy", "sad"), ("v",), ("female", "male")]
    nan = np.nan
    expected = [[0, 1, 0.5, 0, 1], [1, 0, nan, 1, 0], [1, 0, nan, nan, nan]]
    np.testing.assert_array_equal(targets.values, np.float32(expected))


@pytest.mark.parametrize(
    ("clips", "config", "sentence"),
    [
        (
            [clip("a", x=8), clip("b", x=0)],
            {"kind": "dimensions", "dimensions": ("x=1:7",)},
            r"2 values are outside their ranges \(a: x 8, b: x 0\)",
        ),
        ([clip("a", y=1)], {"kind": "dimensions", "dimensions": ("x=1:7",)}, "no clip has one; name its columns"),
        (
            [clip("a", y=1, x=1)],
            {"kind": "dimensions", "dimensions": ("x=1:7", "z=0:1")},
            "no clip has z; the corpus has x, y",
        ),
        ([clip("a", votes={"sad": -1})], {"kind": "soft"}, "1 votes are negative"),
        ([clip("a", votes={"sad": 0})], {"kind": "soft"}, "the votes of 1 clips do not add up to more than 0"),
        (
            [clip("a", votes={"sad": 0.5, "joy": 0.3})],
            {"kind": "soft"},
            r"the shares of 1 clips do not add up to 1 \(a: 0.8\)",
        ),
        ([clip("a")], {"kind": "soft"}, "no clip has one; name the columns of the votes"),
        ([clip("a")], {"tasks": ("gender:class", "e:soft")}, "gender: no clip has one; the corpus does not say it"),
    ],
)
def test_what_cannot_be_a_target_is_named(clips, config, sentence):
    with pytest.raises(UserError, match=sentence):
        read_targets(clips, ("",), TargetConfig(**config))


def test_votes_for_no_class_are_refused():
    with pytest.raises(UserError, match="votes are for x, but the classes are joy, sad"):
        read_targets([clip("a", votes={"x": 1})], ("joy", "sad"), TargetConfig(kind="soft"))


def test_every_part_of_a_fold_has_a_target():
    clips = [clip("a", x=1), clip("b"), clip("c", x=2), clip("d", x=2)]
    targets = read_targets(clips, ("",), TargetConfig(kind="dimensions", dimensions=("x=1:7",)))
    check_targets(targets, [Fold(1, (0,), (2,), (3,))])
    with pytest.raises(UserError, match="no clip of fold 2's validation has one"):
        check_targets(targets, [Fold(1, (0,), (2,), (3,)), Fold(2, (0,), (1,), (3,))])
