"""Scores of groups of speakers: those of their clips alone, a gap with its interval, and what is not comparable."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from serjax.evaluation.groups import group_notes, score_groups
from serjax.evaluation.out_of_fold import OutOfFold


def answers(speakers=12, clips=24, better=0.9, worse=0.4):
    """Women are answered rightly more often than men."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(speakers), clips)
    label = np.tile(np.arange(4), speakers * clips // 4)
    right = rng.random(len(who)) < np.where(who % 2 == 0, better, worse)
    said = np.where(right, label, (label + rng.integers(1, 4, len(who))) % 4)
    gender = tuple("female" if one % 2 == 0 else "male" for one in who)
    names = tuple(f"s{one}" for one in who)
    ids = tuple(map(str, range(len(who))))
    return OutOfFold(
        ids, who % 3 + 1, label, np.eye(4, dtype=np.float32)[said], names, tuple("abcd"), {"gender": gender}
    )


def scored(oof, level=0.95):
    return score_groups(oof, 0, draws=500, level=level)


def test_each_group_is_scored_by_its_own_clips():
    oof = answers()
    (one,) = scored(oof)
    assert one["attribute"] == "gender"
    assert one["unknown"] == 0
    for row in one["groups"]:
        mine = np.array(oof.attributes["gender"]) == row["group"]
        assert row["ua"] == pytest.approx(balanced_accuracy_score(oof.label[mine], oof.prediction[mine]))
        assert (row["clips"], row["speakers"], row["classes"]) == (mine.sum(), 6, 4)
        assert row["low"] <= row["ua"] <= row["high"]
    female, male = one["groups"]
    gap = one["gap"]
    assert (gap["best"], gap["worst"]) == ("female", "male")
    assert gap["ua"] == pytest.approx(female["ua"] - male["ua"])
    assert 0 < gap["low"] < gap["ua"] < gap["high"]


def test_where_there_is_no_difference_the_gap_may_be_negative():
    (one,) = scored(answers(better=0.6, worse=0.6))
    assert one["gap"]["ua"] >= 0 > one["gap"]["low"]


def test_the_gap_of_equal_groups_is_between_two():
    oof = answers()
    (one,) = scored(replace(oof, probability=np.eye(4, dtype=np.float32)[oof.label]))
    assert (one["gap"]["best"], one["gap"]["worst"], one["gap"]["ua"]) == ("female", "male", 0)


def test_speakers_are_drawn_whole():
    # Speakers who are always right or always wrong: drawing clips would find a narrow interval.
    oof = answers()
    wrong = np.array([int(name[1:]) % 4 < 2 for name in oof.speaker])
    said = np.where(wrong, (oof.label + 1) % 4, oof.label)
    oof = replace(oof, probability=np.eye(4, dtype=np.float32)[said])
    (whole,), (single,) = scored(oof), scored(replace(oof, speaker=(None,) * len(oof.ids)))
    widths = [[row["high"] - row["low"] for row in one["groups"]] for one in (whole, single)]
    assert all(one > 2 * other for one, other in zip(*widths, strict=True))
    assert [row["speakers"] for row in single["groups"]] == [None, None]


def test_a_single_speaker_has_no_interval_and_unknown_clips_are_left_out():
    oof = answers()
    gender = [None if name == "s0" else "male" if name == "s1" else "female" for name in oof.speaker]
    (one,) = scored(replace(oof, attributes={"gender": tuple(gender)}))
    assert one["unknown"] == 24
    female, male = one["groups"]
    assert (female["speakers"], male["speakers"]) == (10, 1)
    assert female["low"] is not None
    assert [male["low"], male["high"], one["gap"]["low"]] == [None] * 3
    assert group_notes([one], 4) == ["By gender: 24 clips whose group is unknown are left out."]


def test_one_group_or_free_text_has_no_rows():
    oof = answers()
    assert scored(replace(oof, attributes={"gender": ("male",) * len(oof.ids)})) == []
    assert scored(replace(oof, attributes={"gender": oof.ids})) == []
    assert scored(replace(oof, attributes={})) == []


def test_groups_without_all_classes_are_told_and_bands_are_sorted():
    oof = answers()
    ages = tuple("100-109" if label == 0 else "20-29" if label == 1 else "teens" for label in oof.label)
    (one,) = scored(replace(oof, attributes={"age": ages}))
    assert [row["group"] for row in one["groups"]] == ["20-29", "100-109", "teens"]
    assert group_notes([one], 4)[0].startswith("By age: 20-29, 100-109, teens without clips of some classes")
