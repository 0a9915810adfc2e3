import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from serjax.data.config import FoldsConfig
from serjax.data.folds.fold import Fold, load_folds, save_folds
from serjax.data.folds.make import fold_kind, make_folds
from serjax.data.folds.splits import deal_speakers
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError

DATA = Path(__file__).parents[3] / "../shared/data"


def clip(name: str, label: str, speaker: str | None = None, session: str | None = None) -> Utterance:
    return Utterance(name, Path(f"{name}.wav"), label, speaker, session)


def corpus(counts: list[list[int]], *, named: bool = True) -> list[Utterance]:
    """Return counts[s][c] clips of class c by speaker s, two speakers a session."""
    return [
        clip(f"s{s}/c{c}-{n}", f"c{c}", f"s{s}" if named else None, f"session{s // 2}")
        for s, row in enumerate(counts)
        for c, count in enumerate(row)
        for n in range(count)
    ]


@st.composite
def corpora(draw: st.DrawFn) -> list[Utterance]:
    classes = draw(st.integers(2, 4))
    rows = st.lists(st.integers(1, 4), min_size=classes, max_size=classes)
    clips = corpus(draw(st.lists(rows, min_size=4, max_size=9)))
    return draw(st.permutations(clips))


kinds = st.sampled_from(["stratified", "speaker", "leave_speaker_out", "leave_session_out"])
few = settings(max_examples=40)


def speakers(clips: list[Utterance], part: tuple[int, ...]) -> set[str | None]:
    return {clips[i].speaker for i in part}


@few
@given(corpora(), kinds, st.integers(2, 4), st.integers(0, 9))
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
@given(corpora(), kinds, st.integers(0, 9))
def test_the_same_seed_gives_the_same_folds_whatever_is_trained(clips, kind, seed):
    folds = make_folds(clips, FoldsConfig(kind=kind, count=3), seed)
    assert folds == make_folds(clips, FoldsConfig(kind=kind, count=3, only=(2,)), seed)


@pytest.mark.parametrize("kind", ["stratified", "speaker"])
def test_another_seed_gives_other_folds(kind):
    clips = corpus([[2, 2]] * 8)
    found = {make_folds(clips, FoldsConfig(kind=kind, count=4), seed) for seed in range(5)}
    assert len(found) == 5


@few
@given(st.integers(2, 12), st.integers(2, 6), st.integers(0, 9))
def test_equal_speakers_are_dealt_evenly(people, count, seed):
    clips = corpus([[2, 1, 3]] * (people + count))
    sizes = [len(speakers(clips, f.test)) for f in make_folds(clips, FoldsConfig(kind="speaker", count=count), seed)]
    assert max(sizes) - min(sizes) <= 1


@few
@given(st.permutations([[8, 0, 1], [0, 8, 1], [8, 0, 1], [0, 8, 1], [8, 0, 1], [0, 8, 1]]), st.integers(0, 20))
def test_speakers_who_complement_each_other_meet_in_a_fold(counts, seed):
    clips = corpus(counts)
    for fold in make_folds(clips, FoldsConfig(kind="speaker", count=3, validation="test"), seed):
        assert Counter(clips[i].label for i in fold.test) == {"c0": 8, "c1": 8, "c2": 2}


@few
@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=3, max_size=9), st.integers(0, 9))
def test_no_fold_stays_empty_where_speakers_lack_classes(counts, seed):
    clips = corpus([*counts, [1, 0, 0], [0, 9, 0], [9, 0, 0], [0, 1, 0], [0, 0, 2], [0, 1, 0], [0, 0, 2], [9, 0, 9]])
    tests = deal_speakers(clips, 3, seed)
    assert all(tests)
    assert sorted(i for test in tests for i in test) == list(range(len(clips)))


@few
@given(corpora(), st.integers(2, 4), st.integers(0, 9))
def test_stratified_folds_hold_an_even_share_of_every_class(clips, count, seed):
    folds = make_folds(clips, FoldsConfig(kind="stratified", count=count), seed)
    for label in {clip.label for clip in clips}:
        sizes = [sum(clips[i].label == label for i in fold.test) for fold in folds]
        assert max(sizes) - min(sizes) <= 1


def test_leaving_one_out_gives_a_fold_to_each_name():
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


def test_auto_goes_by_speaker_only_where_every_clip_names_one():
    clips = corpus([[2, 2]] * 3)
    assert fold_kind(clips, FoldsConfig()) == "speaker"
    clips[3] = replace(clips[3], speaker=None)
    assert fold_kind(clips, FoldsConfig()) == "stratified"
    assert fold_kind(clips, FoldsConfig(kind="files")) == "files"


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


@few
@given(corpora(), kinds)
def test_validation_on_the_test_part_leaves_all_else_for_training(clips, kind):
    for fold in make_folds(clips, FoldsConfig(kind=kind, count=3, validation="test"), 0):
        assert fold.validation == fold.test
        assert sorted(fold.train + fold.test) == list(range(len(clips)))


def test_one_speaker_alone_is_divided_by_class():
    clips = corpus([[6, 6]])
    for fold in make_folds(clips, FoldsConfig(kind="stratified", count=3), 0):
        assert Counter(clips[i].label for i in fold.validation) == {"c0": 1, "c1": 1}


@few
@given(corpora(), kinds, st.sampled_from(["train", "test"]), st.randoms())
def test_folds_come_back_from_their_file(tmp_path_factory, clips, kind, validation, shuffler: random.Random):
    path = tmp_path_factory.mktemp("run") / "folds.json"
    folds = make_folds(clips, FoldsConfig(kind=kind, count=3, validation=validation), 0)
    first = folds[0]
    folds = (Fold(70, first.train[1:], first.validation, first.test), *folds[1:])
    save_folds(path, folds, clips, kind=kind, seed=0)
    assert load_folds(path, clips) == folds
    # Positions are of this list alone: in another order the same ids are found.
    order = list(range(len(clips)))
    shuffler.shuffle(order)
    loaded = load_folds(path, [clips[i] for i in order])
    assert [sorted(order[i] for i in fold.train) for fold in loaded] == [list(fold.train) for fold in folds]


def test_the_file_reads_like_a_table(tmp_path):
    path = tmp_path / "folds.json"
    clips = [clip("grüß/a", "sad", "x"), clip("b", "sad", "y"), clip("c", "happy", "z"), clip("d", "happy", "z")]
    folds = (Fold(1, (1,), (2,), (0,)), Fold(2, (0,), (1,), (2, 3)))
    save_folds(path, folds, clips, kind="speaker", seed=3)
    lines = [line.strip().rstrip(",") for line in path.read_text(encoding="utf-8").splitlines()]
    assert '"grüß/a": "test train"' in lines
    assert '"d": "- test"' in lines
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["kind"] == "speaker"
    assert content["seed"] == 3
    assert content["folds"][1] == {
        "number": 2,
        "test_speakers": ["z"],
        "train": {"sad": 1},
        "validation": {"sad": 1},
        "test": {"happy": 2},
    }


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


@pytest.mark.parametrize(
    ("clips", "config", "message"),
    [
        ([clip("a", "sad"), clip("b", "sad")], {}, "All 2 clips have the label sad; training needs two classes"),
        ([], {}, "All 0 clips have the label (none)"),
        (corpus(BOTH * 3), {"count": 1}, "--folds.count 1: cross-validation needs two folds"),
        (corpus(BOTH * 3), {"kind": "stratified", "count": 0}, "--folds.count 0: cross-validation needs two folds"),
        (corpus(BOTH * 3), {"count": 4}, "The clips have 3 speakers, fewer than the 4 folds; lower --folds.count"),
        (corpus([[2, 1], [2, 1], [2, 0]]), {"count": 3}, "Class c1 has 2 speakers, fewer than the 3 folds"),
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
        (corpus(BOTH * 2), {"count": 2}, "fold 1: all its train clips are of s"),
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
def test_clips_that_cannot_be_divided_so(clips, config, message):
    with pytest.raises(UserError) as error:
        make_folds(clips, FoldsConfig(**config), 0)
    assert message in str(error.value)


def written(tmp_path: Path, clips: list[Utterance]) -> Path:
    path = tmp_path / "folds.json"
    save_folds(path, make_folds(clips, FoldsConfig(count=3), 0), clips, kind="speaker", seed=0)
    return path


def test_a_file_of_other_clips_is_refused_by_name(tmp_path):
    clips = corpus([[1, 1]] * 4)
    path = written(tmp_path, clips)
    with pytest.raises(UserError, match=r"1 clips of the file are not among the recordings \(s0/c0-0\); use the rec"):
        load_folds(path, clips[1:])
    with pytest.raises(UserError, match=r"the file lacks 1 clips that are among the recordings \(new\)"):
        load_folds(path, [*clips, clip("new", "c0")])


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"validation": "train", "folds": [{}], "clips": {}}', '{"folds": [], "clips": []}']
)
def test_a_file_that_holds_no_folds_is_refused(tmp_path, text):
    path = tmp_path / "folds.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"folds.json: not a folds.json of serjax \(.+\); give one that a run"):
        load_folds(path, [])


@pytest.mark.parametrize("parts", ["test train", "test train trian", ""])
def test_a_line_that_was_edited_wrongly_is_refused(tmp_path, parts):
    clips = corpus([[1, 1]] * 4)
    path = written(tmp_path, clips)
    content = json.loads(path.read_text())
    content["clips"]["s1/c0-0"] = parts
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"clip s1/c0-0 has the parts .*, where 3 words out of train, validation, test"):
        load_folds(path, clips)


def test_a_clip_that_two_folds_test_is_refused(tmp_path):
    clips = corpus([[1, 1]] * 4)
    path = written(tmp_path, clips)
    content = json.loads(path.read_text())
    content["clips"]["s1/c0-0"] = "test test train"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"several folds test s1/c0-0; a clip may be in the test part of one fold only"):
        make_folds(clips, FoldsConfig(kind="files", path=str(path)), 0)


@pytest.mark.skipif(not (DATA / "ravdess").is_dir(), reason="the RAVDESS recordings are not here")
def test_the_actors_of_ravdess_are_dealt_evenly():
    names = sorted((DATA / "ravdess").glob("Actor_*/*.flac"))
    clips = [Utterance(path.stem, path, path.stem.split("-")[2], path.stem.split("-")[6]) for path in names]
    folds = make_folds(clips, FoldsConfig(), 0)
    assert [len(fold.test) for fold in folds] == [300, 300, 300, 300, 240]
    for fold in folds:
        assert len(speakers(clips, fold.validation)) == 4
        for part in (fold.train, fold.validation, fold.test):
            counts = Counter(clips[i].label for i in part)
            assert set(counts.values()) == {counts["01"], 2 * counts["01"]}


def test_a_file_that_is_missing_or_numbers_folds_twice_is_refused(tmp_path):
    path = tmp_path / "folds.json"
    with pytest.raises(UserError, match=r"cannot be read \(No such file or directory\); correct --folds\.path"):
        load_folds(path, [])
    save_folds(path, [Fold(1, (1,), (2,), (0,)), Fold(1, (0,), (2,), (1,))], clips_of(3), kind="files", seed=0)
    with pytest.raises(UserError, match="two folds have the same number"):
        load_folds(path, clips_of(3))


def clips_of(count):
    return [clip(f"c{i}", "sad", f"s{i}") for i in range(count)]


def test_one_split_by_shares_has_the_sizes_that_the_seed_reports():
    counts = {"neutral": 96, **{f"e{i}": 192 for i in range(7)}}
    clips = [clip(f"{label}/{i}", label, f"s{i % 24}") for label, count in counts.items() for i in range(count)]
    for split, sizes in {(0.7, 0.15): (1005, 210, 225), (0.75, 0.15): (1080, 210, 150)}.items():
        [fold] = make_folds(clips, FoldsConfig(kind="split", split=split), 42)
        assert (len(fold.train), len(fold.validation), len(fold.test)) == sizes
        assert sorted(fold.train + fold.validation + fold.test) == list(range(len(clips)))
        assert make_folds(clips, FoldsConfig(kind="split", split=split), 42) == (fold,)
        assert make_folds(clips, FoldsConfig(kind="split", split=split), 43) != (fold,)


def test_one_split_by_named_speakers():
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
def test_splits_that_cannot_be_made_get_a_sentence(config, message):
    clips = [clip(f"{label}{who}", label, who) for who in "abc" for label in ("sad", "happy")]
    with pytest.raises(UserError, match=message):
        make_folds(clips, config, 0)


def test_every_tenth_clip_of_a_class_is_tested():
    clips = corpus([[12, 20], [9, 1]])
    (fold,) = make_folds(clips, FoldsConfig(kind="every_tenth"), 0)
    tested = [clips[i].id for i in fold.test]
    assert tested == ["s0/c0-0", "s0/c0-10", "s0/c1-0", "s0/c1-10", "s1/c0-8", "s1/c1-0"]
    assert sorted(fold.train + fold.validation + fold.test) == list(range(len(clips)))


def test_groups_of_speakers_are_tested_together():
    clips = corpus([[2, 2]] * 5)
    folds = make_folds(clips, FoldsConfig(kind="speaker_groups", groups=("s0,s3", "s1, s4", "s2")), 0)
    assert [speakers(clips, fold.test) for fold in folds] == [{"s0", "s3"}, {"s1", "s4"}, {"s2"}]


@pytest.mark.parametrize("groups", [(), ("s0,s1,s2",), ("s0,s1", "s1,s2"), ("s0", "s1"), ("s0,s1", "s2,s9")])
def test_groups_that_do_not_divide_the_speakers_are_named(groups):
    with pytest.raises(UserError, match=r"^--folds\.groups"):
        make_folds(corpus([[2, 2]] * 3), FoldsConfig(kind="speaker_groups", groups=groups), 0)
