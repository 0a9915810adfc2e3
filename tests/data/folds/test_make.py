from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from clip_lists import FOLD_KINDS, clip, corpora, corpus, speakers
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from serjax.data.config import FoldsConfig
from serjax.data.folds.fold import save_folds
from serjax.data.folds.make import fewer_folds, fold_kind, make_folds
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError

DATA = Path(__file__).parents[3] / "../shared/data"


few = settings(max_examples=40)


@few
@given(corpora(), FOLD_KINDS, st.integers(2, 4), st.integers(0, 9))
def test_every_clip_is_tested_once_and_no_fold_uses_one_twice(clips, kind, count, seed):
    try:
        folds = make_folds(clips, FoldsConfig(kind=kind, count=count), seed)
    except UserError as error:
        # A stratified half may leave two speakers of one class each: then nothing can be held out, and that is said.
        assume(kind != "stratified" or "its train part has no clip of" not in str(error))
        raise
    assert sorted(i for fold in folds for i in fold.test) == list(range(len(clips)))
    assert [fold.number for fold in folds] == list(range(1, len(folds) + 1))
    for fold in folds:
        used = fold.train + fold.validation + fold.test
        assert sorted(used) == list(range(len(clips)))
        assert all(list(part) == sorted(part) for part in (fold.train, fold.validation, fold.test))
        assert fold.train
        assert fold.validation
        assert fold.test
        assert {clips[i].label for i in fold.train} == {clip.label for clip in clips}


@few
@given(corpora(), st.sampled_from(["auto", "speaker", "leave_speaker_out", "leave_session_out"]), st.integers(0, 9))
def test_parts_share_no_speaker(clips, kind, seed):
    for fold in make_folds(clips, FoldsConfig(kind=kind, count=3), seed):
        train, validation, test = (speakers(clips, part) for part in (fold.train, fold.validation, fold.test))
        assert not train & test
        assert not validation & test
        assert not train & validation


@few
@given(corpora(), FOLD_KINDS, st.integers(0, 9))
def test_the_same_seed_gives_the_same_folds_whatever_is_trained(clips, kind, seed):
    folds = make_folds(clips, FoldsConfig(kind=kind, count=3), seed)
    assert folds == make_folds(clips, FoldsConfig(kind=kind, count=3, only=(2,)), seed)


@pytest.mark.parametrize("kind", ["stratified", "speaker"])
def test_another_seed_gives_other_folds(kind):
    clips = corpus([[2, 2]] * 8)
    found = {make_folds(clips, FoldsConfig(kind=kind, count=4), seed) for seed in range(5)}
    assert len(found) == 5


def test_auto_kind_is_by_speaker_only_where_every_clip_names_one():
    clips = corpus([[2, 2]] * 3)
    assert fold_kind(clips, FoldsConfig()) == "speaker"
    clips[3] = replace(clips[3], speaker=None)
    assert fold_kind(clips, FoldsConfig()) == "stratified"
    assert fold_kind(clips, FoldsConfig(kind="files")) == "files"


@few
@given(corpora(), FOLD_KINDS)
def test_validation_on_the_test_part_leaves_all_else_for_training(clips, kind):
    for fold in make_folds(clips, FoldsConfig(kind=kind, count=3, validation="test"), 0):
        assert fold.validation == fold.test
        assert sorted(fold.train + fold.test) == list(range(len(clips)))


@few
@given(corpora(), st.integers(0, 5))
def test_folds_of_an_earlier_run_are_used_again(tmp_path_factory, clips, seed):
    path = tmp_path_factory.mktemp("run") / "folds.json"
    folds = make_folds(clips, FoldsConfig(kind="speaker", count=3), 1)
    save_folds(path, folds, clips, kind="speaker", seed=1)
    assert make_folds(clips, FoldsConfig(kind="files", path=str(path)), seed) == folds
    whole = make_folds(clips, FoldsConfig(kind="files", path=str(path), validation="test"), seed)
    assert whole == make_folds(clips, FoldsConfig(kind="speaker", count=3, validation="test"), 1)
    # And back: where the file watches the test part, validation clips are held out anew.
    save_folds(path, whole, clips, kind="speaker", seed=1)
    assert make_folds(clips, FoldsConfig(kind="files", path=str(path)), 1) == folds


BOTH = [[2, 2]]


@pytest.mark.parametrize("clips", [corpus(BOTH * 4), corpus([[3, 1], [2, 0], [9, 1], [4, 1]])])
def test_fewer_speakers_than_folds_make_one_fold_each(clips):
    folds = make_folds(clips, FoldsConfig(), 0)
    assert [speakers(clips, fold.test) for fold in folds] == [{"s0"}, {"s1"}, {"s2"}, {"s3"}]
    assert fewer_folds(clips, FoldsConfig()) == (
        "4 speakers make 4 folds that test one of them each, not the 5 of --folds.count."
    )
    assert fewer_folds(clips, FoldsConfig(count=4)) is None
    assert fewer_folds(clips, FoldsConfig(kind="stratified")) is None
    assert len(make_folds(clips, FoldsConfig(count=4), 0)) == 4


@pytest.mark.parametrize(
    ("clips", "config", "message"),
    [
        ([clip("a", "sad"), clip("b", "sad")], {}, "All 2 clips have the label sad; training needs two classes"),
        ([], {}, "All 0 clips have the label (none)"),
        (corpus(BOTH * 3), {"count": 1}, "--folds.count 1: cross-validation needs two folds"),
        (corpus(BOTH * 3), {"kind": "stratified", "count": 0}, "--folds.count 0: cross-validation needs two folds"),
        (
            corpus(BOTH),
            {"kind": "speaker"},
            "All clips are of speaker s0, and folds by speaker need two; use --folds.kind",
        ),
        (corpus([[2, 1], [2, 1], [2, 0], [2, 0]]), {"count": 3}, "Class c1 has 2 speakers, fewer than the 3 folds"),
        (corpus([[9, 2]]), {"kind": "stratified", "count": 3}, "Class c1 has 2 clips, fewer than the 3 folds"),
        (
            [*corpus(BOTH * 3), clip("odd", "c0"), clip("odder", "c1")],
            {"kind": "speaker"},
            "--folds.kind speaker: 2 of 14 clips have no speaker (odd, odder); name speakers with",
        ),
        (
            [*corpus(BOTH * 3), clip("odd", "c0")],
            {"kind": "leave_speaker_out"},
            "--folds.kind leave_speaker_out: 1 of 13 clips have no speaker (odd)",
        ),
        (
            [clip("a", "sad", "x"), clip("b", "happy", "y")],
            {"kind": "leave_session_out"},
            "--folds.kind leave_session_out: 2 of 2 clips have no session (a, b); name sessions in a list",
        ),
        (corpus(BOTH * 2), {"kind": "leave_session_out"}, "all clips are of session session0; two sessions are needed"),
        (corpus(BOTH), {"kind": "leave_speaker_out"}, "all clips are of speaker s0; two speakers are needed"),
        (
            corpus(BOTH * 2),
            {"count": 2},
            "validation needs a speaker or session of its own; use --folds.validation test",
        ),
        (
            corpus([[2, 2], [2, 0], [2, 0]]),
            {"kind": "leave_speaker_out"},
            "fold 1: its train part has no clip of c1; use another --folds.kind",
        ),
        (corpus(BOTH * 3), {"count": 3, "validation_share": 1.0}, "--folds.validation-share 1: give a share between"),
        (
            corpus([[2, 2]], named=False),
            {"count": 2},
            "fold 1: its validation part has no clip; use other --folds.kind",
        ),
        (corpus(BOTH * 3), {"kind": "files"}, "--folds.kind files needs --folds.path"),
    ],
)
def test_undividable_clips_are_refused(clips, config, message):
    with pytest.raises(UserError) as error:
        make_folds(clips, FoldsConfig(**config), 0)
    assert message in str(error.value)


@pytest.mark.skipif(not (DATA / "ravdess").is_dir(), reason="the RAVDESS recordings are not here")
def test_ravdess_actors_are_dealt_evenly():
    names = sorted((DATA / "ravdess").glob("Actor_*/*.flac"))
    clips = [Utterance(path.stem, path, path.stem.split("-")[2], path.stem.split("-")[6]) for path in names]
    folds = make_folds(clips, FoldsConfig(), 0)
    assert [len(fold.test) for fold in folds] == [300, 300, 300, 300, 240]
    for fold in folds:
        assert len(speakers(clips, fold.validation)) == 4
        for part in (fold.train, fold.validation, fold.test):
            counts = Counter(clips[i].label for i in part)
            assert set(counts.values()) == {counts["01"], 2 * counts["01"]}
