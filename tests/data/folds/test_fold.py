"""Files of folds: written, read again, and refused where they do not fit the recordings."""

import json
import random
from pathlib import Path

import pytest
from clip_lists import FOLD_KINDS, clip, corpora, corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.data.config import FoldsConfig
from serjax.data.folds.fold import Fold, load_folds, read_hashes, read_parts, save_folds
from serjax.data.folds.make import make_folds
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError

few = settings(max_examples=40)


@few
@given(corpora(), FOLD_KINDS, st.sampled_from(["train", "test"]), st.randoms())
def test_folds_json_round_trip_in_any_order_of_clips(
    tmp_path_factory, clips, kind, validation, shuffler: random.Random
):
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


def test_folds_json_has_a_line_per_clip_and_a_summary_per_fold(tmp_path):
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


def test_folds_json_keeps_hashes_and_is_read_with_them(tmp_path):
    clips = corpus([[1, 1]] * 4)
    folds = make_folds(clips, FoldsConfig(count=3), 0)
    hashes = [f"{number:032x}" for number in range(len(clips))]
    save_folds(tmp_path / "folds.json", folds, clips, kind="speaker", seed=0, hashes=hashes)
    content = json.loads((tmp_path / "folds.json").read_text(encoding="utf-8"))
    assert content["hashes"] == dict(zip((clip.id for clip in clips), hashes, strict=True))
    assert load_folds(tmp_path / "folds.json", clips) == folds


def written(tmp_path: Path, clips: list[Utterance]) -> Path:
    path = tmp_path / "folds.json"
    save_folds(path, make_folds(clips, FoldsConfig(count=3), 0), clips, kind="speaker", seed=0)
    return path


def test_folds_json_of_other_clips_is_refused_by_name(tmp_path):
    clips = corpus([[1, 1]] * 4)
    path = written(tmp_path, clips)
    with pytest.raises(UserError, match=r"1 clips of the file are not among the recordings \(s0/c0-0\); use the rec"):
        load_folds(path, clips[1:])
    with pytest.raises(UserError, match=r"the file lacks 1 clips that are among the recordings \(new\)"):
        load_folds(path, [*clips, clip("new", "c0")])


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"validation": "train", "folds": [{}], "clips": {}}', '{"folds": [], "clips": []}']
)
def test_invalid_folds_json_is_refused(tmp_path, text):
    path = tmp_path / "folds.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"folds.json: .+ a folds.json that a run of serjax has written"):
        load_folds(path, [])


@pytest.mark.parametrize("parts", ["test train", "test train trian", ""])
def test_wrong_part_words_in_folds_json_are_refused(tmp_path, parts):
    clips = corpus([[1, 1]] * 4)
    path = written(tmp_path, clips)
    content = json.loads(path.read_text())
    content["clips"]["s1/c0-0"] = parts
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"clip s1/c0-0 has the parts .*, where 3 words out of train, validation, test"):
        load_folds(path, clips)


def test_missing_folds_json_or_duplicate_fold_numbers_are_refused(tmp_path):
    path = tmp_path / "folds.json"
    with pytest.raises(UserError, match=r"folds.json: there is no such file"):
        load_folds(path, [])
    save_folds(path, [Fold(1, (1,), (2,), (0,)), Fold(1, (0,), (2,), (1,))], clips_of(3), kind="files", seed=0)
    with pytest.raises(UserError, match="two folds have the same number"):
        load_folds(path, clips_of(3))


def clips_of(count):
    return [clip(f"c{i}", "sad", f"s{i}") for i in range(count)]


def test_clip_tested_by_two_folds_is_refused(tmp_path):
    clips = corpus([[1, 1]] * 4)
    path = written(tmp_path, clips)
    content = json.loads(path.read_text())
    content["clips"]["s1/c0-0"] = "test test train"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"several folds test s1/c0-0; a clip may be in the test part of one fold only"):
        make_folds(clips, FoldsConfig(kind="files", path=str(path)), 0)


@few
@given(corpora(), st.integers(0, 5))
def test_read_parts_agrees_with_load_folds(tmp_path_factory, clips, seed):
    path = tmp_path_factory.mktemp("run") / "folds.json"
    folds = make_folds(clips, FoldsConfig(kind="speaker", count=3), seed)
    save_folds(path, folds, clips, kind="speaker", seed=seed)
    parts = read_parts(path)
    for fold in load_folds(path, clips):
        for name in ("train", "validation", "test"):
            found = {id for id, row in parts.items() if row[fold.number] == name}
            assert found == {clips[i].id for i in getattr(fold, name)}


def test_read_parts_refuses_an_unfinished_run(tmp_path):
    with pytest.raises(UserError, match=r"folds\.json: there is no such file"):
        read_parts(tmp_path / "folds.json")
    (tmp_path / "folds.json").write_text('{"folds": [{"number": 1}], "clips": {"a": "train test"}}')
    with pytest.raises(UserError, match=r"a clip has more or fewer parts than there are folds; .*complete\.$"):
        read_parts(tmp_path / "folds.json")


def test_hashes_are_read_where_they_are(tmp_path):
    path = tmp_path / "folds.json"
    assert read_hashes(path) == {}
    for text, found in (('{"clips": {}}', {}), ("[", {}), ('{"hashes": {"a": "01"}}', {"a": "01"})):
        path.write_text(text)
        assert read_hashes(path) == found
