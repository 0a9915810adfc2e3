"""Kinds of division: one split, groups of speakers, dealing of speakers, and validation clips."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from clip_lists import clip, corpora, corpus, speakers
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.data.config import FoldsConfig
from serjax.data.folds.make import make_folds
from serjax.data.folds.splits import deal_speakers
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError

few = settings(max_examples=40)


@few
@given(st.integers(2, 12), st.integers(2, 6), st.integers(0, 9))
def test_deal_speakers_gives_folds_equal_numbers_of_speakers(people, count, seed):
    clips = corpus([[2, 1, 3]] * (people + count))
    sizes = [len(speakers(clips, f.test)) for f in make_folds(clips, FoldsConfig(kind="speaker", count=count), seed)]
    assert max(sizes) - min(sizes) <= 1


@few
@given(st.permutations([[8, 0, 1], [0, 8, 1], [8, 0, 1], [0, 8, 1], [8, 0, 1], [0, 8, 1]]), st.integers(0, 20))
def test_deal_speakers_balances_classes_across_folds(counts, seed):
    clips = corpus(counts)
    for fold in make_folds(clips, FoldsConfig(kind="speaker", count=3, validation="test"), seed):
        assert Counter(clips[i].label for i in fold.test) == {"c0": 8, "c1": 8, "c2": 2}


@few
@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=3, max_size=9), st.integers(0, 9))
def test_deal_speakers_leaves_no_fold_empty(counts, seed):
    clips = corpus([*counts, [1, 0, 0], [0, 9, 0], [9, 0, 0], [0, 1, 0], [0, 0, 2], [0, 1, 0], [0, 0, 2], [9, 0, 9]])
    tests = deal_speakers(clips, 3, seed)
    assert all(tests)
    assert sorted(i for test in tests for i in test) == list(range(len(clips)))


@few
@given(corpora(), st.integers(2, 4), st.integers(0, 9))
def test_stratified_folds_hold_an_even_share_of_every_class(clips, count, seed):
    folds = make_folds(clips, FoldsConfig(kind="stratified", count=count), seed)
    for label in {one.label for one in clips}:
        sizes = [sum(clips[i].label == label for i in fold.test) for fold in folds]
        assert max(sizes) - min(sizes) <= 1


def test_leave_out_makes_one_fold_per_speaker_or_session():
    clips = corpus([[1, 2]] * 6)
    by_speaker = make_folds(clips, FoldsConfig(kind="leave_speaker_out"), 0)
    assert [speakers(clips, fold.test) for fold in by_speaker] == [{f"s{n}"} for n in range(6)]
    by_session = make_folds(clips, FoldsConfig(kind="leave_session_out"), 0)
    assert [{clips[i].session for i in fold.test} for fold in by_session] == [{f"session{n}"} for n in range(3)]


def test_sessions_are_held_out_for_validation_where_speakers_are_not_known():
    clips = corpus([[1, 2]] * 6, named=False)
    for fold in make_folds(clips, FoldsConfig(kind="leave_session_out"), 0):
        sessions = [{clips[i].session for i in part} for part in (fold.train, fold.validation, fold.test)]
        assert [len(part) for part in sessions] == [1, 1, 1]
        assert len(set.union(*sessions)) == 3


@few
@given(corpora(), st.floats(0.05, 0.6), st.integers(0, 9))
def test_validation_holds_its_share_of_the_training_speakers(clips, share, seed):
    config = FoldsConfig(kind="speaker", count=3, validation_share=share)
    for fold in make_folds(clips, config, seed):
        held, left = speakers(clips, fold.validation), speakers(clips, fold.train)
        together = len(held) + len(left)
        assert len(held) == min(max(1, round(share * together)), together - 1)


def test_validation_speakers_are_chosen_for_their_balance():
    # Of those left for training, s1 alone has class c1 besides the speakers that are tested.
    clips = corpus([[4, 4], [4, 4], *[[4, 0]] * 6])
    for fold in make_folds(clips, FoldsConfig(kind="leave_speaker_out"), 3)[2:]:
        assert {clips[i].label for i in fold.train} == {"c0", "c1"}
        assert {clips[i].label for i in fold.validation} == {"c0", "c1"}


@few
@given(corpora(), st.floats(0.05, 0.6), st.integers(0, 9))
def test_validation_holds_its_share_of_every_class_where_speakers_are_not_known(clips, share, seed):
    clips = [replace(clip, speaker=None) for clip in clips]
    for fold in make_folds(clips, FoldsConfig(count=2, validation_share=share), seed):
        held, left = (Counter(clips[i].label for i in part) for part in (fold.validation, fold.train))
        for label in held.keys() | left.keys():
            together = held[label] + left[label]
            assert held[label] == min(max(1, round(share * together)), together - 1)


def test_validation_of_a_single_speaker_is_stratified_by_class():
    clips = corpus([[6, 6]])
    for fold in make_folds(clips, FoldsConfig(kind="stratified", count=3), 0):
        assert Counter(clips[i].label for i in fold.validation) == {"c0": 1, "c1": 1}


BOTH = [[2, 2]]


def test_split_by_shares_has_the_reported_sizes():
    counts = {"neutral": 96, **{f"e{i}": 192 for i in range(7)}}
    clips = [clip(f"{label}/{i}", label, f"s{i % 24}") for label, count in counts.items() for i in range(count)]
    for split, sizes in {(0.7, 0.15): (1005, 210, 225), (0.75, 0.15): (1080, 210, 150)}.items():
        [fold] = make_folds(clips, FoldsConfig(kind="split", split=split), 42)
        assert (len(fold.train), len(fold.validation), len(fold.test)) == sizes
        assert sorted(fold.train + fold.validation + fold.test) == list(range(len(clips)))
        assert make_folds(clips, FoldsConfig(kind="split", split=split), 42) == (fold,)
        assert make_folds(clips, FoldsConfig(kind="split", split=split), 43) != (fold,)


def test_split_by_named_speakers():
    clips = [clip(f"{label}{who}", label, who) for who in "abcde" for label in ("sad", "happy")]
    config = FoldsConfig(kind="split_speakers", validation_speakers=("d",), test_speakers=("a", "e"))
    [fold] = make_folds(clips, config, 0)
    assert [sorted(speakers(clips, part)) for part in (fold.train, fold.validation, fold.test)] == [
        ["b", "c"], ["d"], ["a", "e"]]  # fmt: skip
    [drawn] = make_folds(clips, FoldsConfig(kind="split_speakers", test_speakers=("a",)), 0)
    assert drawn.validation
    assert not speakers(clips, drawn.validation) & speakers(clips, drawn.train + drawn.test)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (FoldsConfig(kind="split", split=(0.8, 0.2)), "1 not reached"),
        (FoldsConfig(kind="split_speakers"), "name who is tested"),
        (FoldsConfig(kind="split_speakers", test_speakers=("a",), validation_speakers=("a",)), "both name a"),
        (FoldsConfig(kind="split_speakers", test_speakers=("z",)), "no clip is of speaker z"),
    ],
)
def test_impossible_splits_are_refused(config, message):
    clips = [clip(f"{label}{who}", label, who) for who in "abc" for label in ("sad", "happy")]
    with pytest.raises(UserError, match=message):
        make_folds(clips, config, 0)


def test_every_tenth_clip_of_a_class_is_tested():
    clips = corpus([[12, 20], [9, 1]])
    (fold,) = make_folds(clips, FoldsConfig(kind="every_tenth"), 0)
    tested = [clips[i].id for i in fold.test]
    assert tested == ["s0/c0-0", "s0/c0-10", "s0/c1-0", "s0/c1-10", "s1/c0-8", "s1/c1-0"]
    assert sorted(fold.train + fold.validation + fold.test) == list(range(len(clips)))


def test_speaker_groups_are_tested_together():
    clips = corpus([[2, 2]] * 5)
    folds = make_folds(clips, FoldsConfig(kind="speaker_groups", groups=("s0,s3", "s1, s4", "s2")), 0)
    assert [speakers(clips, fold.test) for fold in folds] == [{"s0", "s3"}, {"s1", "s4"}, {"s2"}]


@pytest.mark.parametrize("groups", [(), ("s0,s1,s2",), ("s0,s1", "s1,s2"), ("s0", "s1"), ("s0,s1", "s2,s9")])
def test_speaker_groups_must_cover_every_speaker_once(groups):
    with pytest.raises(UserError, match=r"^--folds\.groups"):
        make_folds(corpus([[2, 2]] * 3), FoldsConfig(kind="speaker_groups", groups=groups), 0)


def test_published_parts_are_kept():
    names = ["Train", "Development", "Test1", "train", "Test2"]
    clips = [Utterance(str(i), Path(), "ab"[i % 2], f"s{i}", session=name) for i, name in enumerate(names)]
    (fold,) = make_folds(clips, FoldsConfig(kind="parts"), 0)
    assert (fold.train, fold.validation, fold.test) == ((0, 3), (1,), (2, 4))
    with pytest.raises(UserError, match=r"--folds\.kind parts: .* found session1 1\."):
        make_folds([*clips, Utterance("x", Path(), "a", "s", session="session1")], FoldsConfig(kind="parts"), 0)
    # Some call so what validates, others what is tested.
    with pytest.raises(UserError, match=r"found eval 1\."):
        make_folds([*clips, Utterance("x", Path(), "a", "s", session="eval")], FoldsConfig(kind="parts"), 0)


def test_clips_without_labels_are_divided_by_speaker():
    clips = [Utterance(str(i), Path(), "", f"s{i % 4}") for i in range(16)]
    folds = make_folds(clips, FoldsConfig(kind="speaker", count=2), 0)
    assert sorted(clip for fold in folds for clip in fold.test) == list(range(16))
