"""Two runs are compared on the clips that both have tested, whatever the order and however folds were shared out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.evaluation.comparison import (
    compare,
    compare_pairs,
    join,
    match_by_content,
    read_each,
    read_runs,
)
from serjax.evaluation.metrics import METRICS, bootstrap_differences, bootstrap_intervals
from serjax.evaluation.out_of_fold import OutOfFold, write_oof_csv
from serjax.runtime.errors import UserError

LABELS = ("sad", "glad", "calm")


def answers(seed: int, count: int = 60) -> OutOfFold:
    """Answers of one run; clips, folds, speakers and labels are those of every other seed."""
    clips = np.arange(count)
    return OutOfFold(
        tuple(f"clip {clip}" for clip in clips),
        clips % 4 + 1,
        np.random.default_rng(99).integers(0, 3, count),
        np.random.default_rng(seed).dirichlet(np.ones(3), count).astype(np.float32),
        tuple(f"speaker {clip % 8}" for clip in clips),
        LABELS,
    )


def some(oof: OutOfFold, rows) -> OutOfFold:
    rows = list(rows)
    return replace(
        oof,
        ids=tuple(oof.ids[row] for row in rows),
        fold=oof.fold[rows],
        label=oof.label[rows],
        probability=oof.probability[rows],
        speaker=tuple(oof.speaker[row] for row in rows),
    )


def test_scores_and_differences_are_those_of_the_clips_in_both():
    one, two = answers(1), answers(2)
    found = compare(("one", some(one, range(50))), ("two", some(two, range(10, 60))), seed=3)
    rows = sorted(range(10, 50), key=lambda row: one.ids[row])
    labels, ours, theirs = one.label[rows], one.prediction[rows], two.prediction[rows]
    speakers = [one.speaker[row] for row in rows]
    assert found.clips == 40
    for scored, predictions in ((found.ours, ours), (found.theirs, theirs)):
        assert scored["wa"][0] == np.mean(predictions == labels)
        intervals = bootstrap_intervals(labels, predictions, speakers, 3, seed=3)
        assert {metric: scored[metric][1:] for metric in METRICS} == intervals
    differences = bootstrap_differences(labels, ours, theirs, speakers, 3, seed=3)
    for metric in METRICS:
        assert found.difference[metric][0] == pytest.approx(found.ours[metric][0] - found.theirs[metric][0])
        assert found.difference[metric][1:] == differences[metric]


def test_seeds_of_a_run_are_compared_together(tmp_path):
    seeds = [answers(seed) for seed in (1, 2, 3)]
    (tmp_path / "run").mkdir()
    write_oof_csv(tmp_path / "run" / "oof.csv", *seeds)
    name, found = read_runs([tmp_path / "run"])
    assert name == f"{tmp_path / 'run'} (3 seeds together)"
    np.testing.assert_allclose(found.probability, np.mean([one.probability for one in seeds], 0), atol=1e-6)


@settings(max_examples=20)
@given(st.permutations(range(60)), st.integers(1, 3))
def test_order_and_sharing_out_of_folds_change_nothing(order, last):
    one, two = answers(1), answers(2)
    halves = [some(two, np.flatnonzero(two.fold <= last)), some(two, np.flatnonzero(two.fold > last))]
    whole = join(list(zip("ab", halves, strict=True)))
    assert compare(("one", one), ("two", whole), seed=0) == compare(("one", one), ("two", two), seed=0)
    assert compare(("one", some(one, order)), ("two", two), seed=0) == compare(("one", one), ("two", two), seed=0)


def test_speakers_are_counted_by_their_own_ua():
    one = answers(1)
    right = replace(one, probability=np.eye(3, dtype=np.float32)[one.label])
    worse = right.probability.copy()
    worse[:3] = 1 - worse[:3]
    found = compare(("right", right), ("worse", replace(one, probability=worse)), seed=0)
    assert found.speakers == (3, 5, 0)
    assert found.difference["wa"][0] == pytest.approx(3 / 60)


def test_without_all_speakers_single_clips_are_drawn():
    one, two = answers(1), answers(2)
    rows = sorted(range(60), key=lambda row: one.ids[row])
    single = bootstrap_differences(one.label[rows], one.prediction[rows], two.prediction[rows], None, 3, seed=0)
    for speaker in ((None, *one.speaker[1:]), ("who",) * 60):
        found = compare(("one", replace(one, speaker=speaker)), ("two", two), seed=0)
        assert found.speakers is None
        assert found.difference["ua"][1:] == single["ua"]


def test_what_does_not_fit_is_named():
    one, two = answers(1), answers(2)
    with pytest.raises(UserError, match=r"^one tells sad, glad, calm apart, two calm, sad, glad; give runs with"):
        compare(("one", one), ("two", replace(two, labels=("calm", "sad", "glad"))), seed=0)
    with pytest.raises(
        UserError, match=r"^one and two have tested no clip in common \(such as clip 0, and clip 30\), by id or"
    ):
        compare(("one", some(one, range(30))), ("two", some(two, range(30, 60))), seed=0)
    other = two.label.copy()
    other[7] = (other[7] + 1) % 3
    with pytest.raises(UserError, match=r"^clip 7: labelled \w+ in one and \w+ in two; give runs on the same labels"):
        compare(("one", one), ("two", replace(two, label=other)), seed=0)
    with pytest.raises(UserError, match=r"^clip 20: tested by one and by two; give runs of different folds"):
        join([("one", some(one, range(30))), ("two", some(two, range(20, 60)))])
    with pytest.raises(UserError, match=r"^clip 3: tested by one and by one"):
        join([("one", some(one, [2, 3, 3]))])


def test_clips_of_other_names_are_known_by_their_samples():
    one, two = answers(1), answers(2)
    hashes = {clip: f"{number:04x}" for number, clip in enumerate(one.ids)}
    # On another machine the first 40 clips have other names; two of them are copies of one another, two have no hash.
    names = [f"/data/{clip}" if number < 40 else clip for number, clip in enumerate(two.ids)]
    theirs = {name: hashes[clip] for name, clip in zip(names[2:], two.ids[2:], strict=True)}
    theirs[names[2]] = theirs[names[3]]
    found, renamed = match_by_content(one, replace(two, ids=tuple(names)), hashes, theirs)
    assert renamed == 36
    assert found.ids[:4] == tuple(names[:4])
    assert found.ids[4:] == two.ids[4:]
    rows = range(4, 60)
    assert compare(("one", one), ("two", found), 0) == compare(("one", some(one, rows)), ("two", some(two, rows)), 0)
    assert match_by_content(one, two, {}, {}) == (two, 0)


def test_pairs_are_those_of_single_comparisons():
    runs = [(name, answers(seed)) for seed, name in enumerate("abc")]
    with_base = compare_pairs(runs[:2], runs[2], seed=3)
    assert [(pair.ours, pair.theirs) for pair in with_base] == [("a", "c"), ("b", "c")]
    every = compare_pairs(runs, None, seed=3)
    assert [(pair.ours, pair.theirs) for pair in every] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert every[1] == with_base[0]
    assert every[1].found == compare(runs[0], runs[2], seed=3)


def test_runs_that_share_no_clip_are_joined_and_others_are_not(tmp_path):
    whole = answers(1)
    paths = [tmp_path / f"{name}.csv" for name in "abc"]
    for path, rows in zip(paths, (range(30), range(30, 60), range(20, 60)), strict=True):
        write_oof_csv(path, some(whole, rows))
    ((name, joined),) = read_each(paths[:2])
    assert name == f"{paths[0]} + {paths[1]}"
    assert joined.ids == whole.ids
    assert [(name, len(one.ids)) for name, one in read_each([paths[0], paths[2]])] == [
        (str(paths[0]), 30),
        (str(paths[2]), 40),
    ]
    with pytest.raises(UserError, match=r"a\.csv: named twice"):
        read_each([paths[0], paths[1], paths[0]])
