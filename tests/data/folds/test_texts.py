"""Sentences kept apart: none that a fold tests is trained on, and every clip is tested once all the same."""

from dataclasses import replace

import pytest
from clip_lists import corpora, corpus, speakers
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from serjax.data.config import FoldsConfig
from serjax.data.folds.fold import Fold
from serjax.data.folds.leakage import check_folds
from serjax.data.folds.make import make_folds
from serjax.data.folds.texts import check_texts, keep_texts_apart
from serjax.runtime.errors import UserError


def with_texts(clips, texts):
    return [replace(clip, text=text) for clip, text in zip(clips, texts, strict=True)]


def acted(people=6, sentences=4, classes=3):
    """Everybody says every sentence in every emotion."""
    clips = corpus([[sentences] * classes] * people)
    return with_texts(clips, [clip.id.rpartition("-")[2] for clip in clips])


def texts(clips, part):
    return {clips[i].text for i in part}


def disjoint(clips, **fields):
    return make_folds(clips, FoldsConfig(disjoint="text", **fields), 0)


@settings(max_examples=40)
@given(corpora(), st.data(), st.sampled_from(["speaker", "stratified"]), st.sampled_from([None, 1, 2, 3]))
def test_no_fold_trains_on_a_sentence_that_it_tests(clips, data, kind, groups):
    names = st.lists(st.sampled_from("abcdefgh"), min_size=len(clips), max_size=len(clips))
    clips = with_texts(clips, data.draw(names))
    try:
        folds = disjoint(clips, kind=kind, count=2, text_groups=groups)
    except UserError as error:
        said = str(error)
        assume(
            not any(text in said for text in ("part has no clip", "nothing is left", "groups of", "validation needs"))
        )
        raise
    assert sorted(i for fold in folds for i in fold.test) == list(range(len(clips)))
    assert [fold.number for fold in folds] == list(range(1, len(folds) + 1))
    for fold in folds:
        assert not texts(clips, fold.test) & texts(clips, fold.train + fold.validation)
        assert not set(fold.train) & set(fold.validation)
        if kind == "speaker":
            assert not speakers(clips, fold.test) & speakers(clips, fold.train + fold.validation)
    assert folds == disjoint(clips, kind=kind, count=2, text_groups=groups)
    check_texts(folds, clips)


def test_where_all_say_the_same_each_fold_becomes_two():
    clips = acted()
    folds = disjoint(clips, count=3)
    assert len(folds) == 6
    for one, other in zip(folds[::2], folds[1::2], strict=True):
        assert speakers(clips, one.test) == speakers(clips, other.test)
        assert len(texts(clips, one.test)) == len(texts(clips, other.test)) == 2
        # Of four other speakers the other two sentences.
        assert len(one.train + one.validation) == 4 * 2 * 3
    assert len(disjoint(clips, count=3, text_groups=4)) == 12
    with pytest.raises(
        UserError, match="nothing is left that fold 1 could train on without its own sentences; give more"
    ):
        disjoint(clips, count=3, text_groups=1)


def test_where_few_sentences_recur_folds_stay_as_they_are():
    clips = corpus([[6, 6]] * 6)
    clips = with_texts(clips, ["yes" if i % 12 == 0 else clip.id for i, clip in enumerate(clips)])
    plain, apart = make_folds(clips, FoldsConfig(count=3), 0), disjoint(clips, count=3)
    assert [fold.test for fold in apart] == [fold.test for fold in plain]
    # Of four other speakers each says yes once.
    assert [len(fold.train + fold.validation) for fold in apart] == [48 - 4] * 3


def test_a_test_part_that_validates_stays_so():
    folds = disjoint(acted(), count=3, validation="test")
    assert all(fold.validation == fold.test for fold in folds)
    drafts = [Fold(1, (2, 3), (0, 1), (0, 1)), Fold(2, (0, 1), (2,), (3,))]
    clips = with_texts(corpus([[2, 2]]), "aabb")
    one, two = keep_texts_apart(drafts, clips, 1, 0)
    assert one.validation == one.test == (0, 1)
    assert (two.train, two.validation) == ((0, 1), ())


def test_what_is_left_out_is_told_by_the_leakage_check():
    clips = acted()
    hashes = list(map(str, range(len(clips))))
    _, notes = check_folds(disjoint(clips, count=3), clips, hashes, allow_speaker_overlap=False, disjoint="text")
    assert notes == (
        "No sentence that a fold tests is in its training: each of 6 folds leaves out 36 of 72 clips, since their "
        "sentence or speaker is tested.",
    )
    with pytest.raises(
        UserError, match=r"fold 1: 4 sentences \(0, 1, 2, 3\) are in its train part and in its test part"
    ):
        check_folds(
            make_folds(clips, FoldsConfig(count=3), 0), clips, hashes, allow_speaker_overlap=False, disjoint="text"
        )


def test_clips_without_a_sentence_are_refused():
    clips = acted()
    with pytest.raises(
        UserError, match=r"--folds\.disjoint text: 1 of 72 clips have no sentence \(s0/c0-0\); give a list"
    ):
        disjoint([replace(clips[0], text=None), *clips[1:]])
    with pytest.raises(UserError, match=r"5 groups of sentences are to be kept apart, but all clips are of 4"):
        disjoint(clips, count=3, text_groups=5)
    with pytest.raises(UserError, match=r"all clips are of 1; leave it out\.$"):
        disjoint([replace(clip, text="a") for clip in clips])
