import json
from pathlib import Path

import pytest

from serjax.data.config import FoldsConfig
from serjax.data.folds.emobox import read_emobox
from serjax.data.folds.make import make_folds
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError


def clips(names: str) -> list[Utterance]:
    return [Utterance(f"Actor/{name}", Path(f"/x/{name}.flac"), "AB"[i % 2], f"s{i}") for i, name in enumerate(names)]


def write(path: Path, names: str, *, key: str = "corpus-{}", wav: str = "downloads/audio/{}.wav") -> None:
    """Write a list as EmoBox has them, keys with the corpus in front."""
    path.parent.mkdir(exist_ok=True, parents=True)
    rows = [{"key": key.format(name), "dataset": "corpus", "wav": wav.format(name), "emo": "Sad"} for name in names]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "\n", encoding="utf-8")


def test_clips_are_found_by_the_names_of_their_files(tmp_path):
    write(tmp_path / "fold_1/corpus_train_fold_1.jsonl", "dcb")
    write(tmp_path / "fold_1/corpus_test_fold_1.jsonl", "a")
    write(tmp_path / "fold_10/corpus_train_fold_10.jsonl", "ab")
    write(tmp_path / "fold_10/corpus_valid_fold_10.jsonl", "c")
    write(tmp_path / "fold_10/corpus_test_fold_10.jsonl", "d")
    (tmp_path / "fold_1/corpus_train_fold_1.json").write_text("the same in another format")
    (tmp_path / "fold_1/notes.jsonl").write_text("of no part")
    (tmp_path / "label_map.json").write_text("{}")
    assert read_emobox(tmp_path, clips("abcd")) == {
        1: {"train": (1, 2, 3), "test": (0,)},
        10: {"train": (0, 1), "validation": (2,), "test": (3,)},
    }


def test_a_key_that_is_an_id_wins_over_the_file_name(tmp_path):
    write(tmp_path / "fold1/test_train.jsonl", "ab", key="Actor/{}", wav="c")
    write(tmp_path / "fold1/test_test.jsonl", "c", key="Actor/{}", wav="a")
    assert read_emobox(tmp_path, clips("abc")) == {1: {"train": (0, 1), "test": (2,)}}


def test_a_file_name_that_two_clips_have_names_neither(tmp_path):
    write(tmp_path / "fold_1/train.jsonl", "a")
    with pytest.raises(UserError, match=r"train.jsonl: 1 clips of the list are not among the recordings \(corpus-a\)"):
        read_emobox(tmp_path, [Utterance(name, Path(f"{name}/a.wav"), "A") for name in "xy"])


@pytest.mark.parametrize("above", ["", "casia/", "/data/casia/"])
def test_folders_tell_clips_of_one_name_apart(tmp_path, above):
    paths = [f"{above}{who}/{label}/201.wav" for who in ("wangzhe", "liuchanhg") for label in ("angry", "sad")]
    clips = [Utterance(path, Path(path).with_suffix(".flac"), path.split("/")[-2]) for path in paths]
    write(
        tmp_path / "fold_1/casia_train_fold_1.jsonl", ["wangzhe/sad", "liuchanhg/sad"], wav="downloads/casia/{}/201.wav"
    )
    write(tmp_path / "fold_1/casia_test_fold_1.jsonl", ["liuchanhg/angry"], wav="downloads/casia/{}/201.wav")
    assert read_emobox(tmp_path, clips) == {1: {"train": (1, 3), "test": (2,)}}


def test_of_two_lists_the_one_that_is_called_as_published_wins(tmp_path):
    write(tmp_path / "fold_1/mer2023_train_fold_1.jsonl", "ab")
    write(tmp_path / "fold_1/mer2023_train_fold1.jsonl", "abcdefgh")
    write(tmp_path / "fold_1/mer2023_test_fold_1.jsonl", "c")
    write(tmp_path / "fold_1/mer2023_test2_fold_1.jsonl", "xyz")
    assert read_emobox(tmp_path, clips("abcde")) == {1: {"train": (0, 1), "test": (2,)}}


def layout(folder: Path, folds: dict[int, tuple[str, str]]) -> Path:
    for number, (train, test) in folds.items():
        write(folder / f"fold_{number}/c_train_fold_{number}.jsonl", train)
        write(folder / f"fold_{number}/c_test_fold_{number}.jsonl", test)
    return folder


def test_a_fold_does_not_depend_on_the_others(tmp_path):
    several = layout(tmp_path / "several", {1: ("efghijkl", "abcd"), 2: ("abcdijkl", "efgh"), 3: ("abcdefgh", "ijkl")})
    one = layout(tmp_path / "one", {2: ("abcdijkl", "efgh")})
    for seed in range(5):
        folds = make_folds(clips("abcdefghijkl"), FoldsConfig(kind="files", path=str(several)), seed)
        alone = make_folds(clips("abcdefghijkl"), FoldsConfig(kind="files", path=str(one)), seed)
        assert alone == folds[1:2]
        assert all(fold.validation for fold in folds)
    assert len({make_folds(clips("abcdefghijkl"), FoldsConfig(kind="files", path=str(one)), s) for s in range(9)}) > 1


def test_an_official_validation_part_is_kept_or_trained_on(tmp_path):
    layout(tmp_path, {1: ("abcd", "gh")})
    write(tmp_path / "fold_1/c_valid_fold_1.jsonl", "ef")
    (fold,) = make_folds(clips("abcdefgh"), FoldsConfig(kind="files", path=str(tmp_path)), 0)
    assert (fold.train, fold.validation, fold.test) == ((0, 1, 2, 3), (4, 5), (6, 7))
    (fold,) = make_folds(clips("abcdefgh"), FoldsConfig(kind="files", path=str(tmp_path), validation="test"), 0)
    assert (fold.train, fold.validation, fold.test) == ((0, 1, 2, 3, 4, 5), (6, 7), (6, 7))


def test_what_does_not_fit_is_named(tmp_path):
    known = clips("ab")
    with pytest.raises(UserError, match=r"neither a folds.json nor a folder that holds fold_1, fold_2"):
        read_emobox(tmp_path / "nowhere", known)
    write(tmp_path / "fold_1/c_train_fold_1.jsonl", "a")
    with pytest.raises(UserError, match=r"fold_1: no .jsonl file has the word test in its name; add the fold's test"):
        read_emobox(tmp_path, known)
    write(tmp_path / "fold_1/c_test_fold_1.jsonl", "b")
    write(tmp_path / "fold_1/old_train_fold_1.jsonl", "a")
    with pytest.raises(
        UserError, match=r"two files hold its train part, one is old_train_fold_1.jsonl; leave only one"
    ):
        read_emobox(tmp_path, known)
    (tmp_path / "fold_1/old_train_fold_1.jsonl").unlink()
    write(tmp_path / "fold_1/c_test_fold_1.jsonl", "bxy")
    with pytest.raises(UserError, match=r"2 clips of the list are not among the recordings \(corpus-x, corpus-y\)"):
        read_emobox(tmp_path, known)


@pytest.mark.parametrize("line", ["{", "[]", "3", '{"wav": "a.wav"}'])
def test_a_broken_line_is_named(tmp_path, line):
    write(tmp_path / "fold_1/train.jsonl", "a")
    with (tmp_path / "fold_1/train.jsonl").open("a") as file:
        file.write(line)
    with pytest.raises(
        UserError,
        match=r"train.jsonl:3: (each line must be a JSON|it cannot be read)",
    ):
        read_emobox(tmp_path, clips("a"))


def test_a_list_that_is_not_text_is_named(tmp_path):
    (tmp_path / "fold_1").mkdir()
    (tmp_path / "fold_1/train.jsonl").write_bytes(b'{"key": "a"}\n\xe4')
    with pytest.raises(UserError, match=r"train.jsonl:2: the list is not UTF-8 text"):
        read_emobox(tmp_path, clips("a"))


FAULTS = Path(__file__).parents[3] / "../shared/faults/55_emobox_folds"


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the inputs that failed are not here")
@pytest.mark.parametrize("kind", ["bom", "crlf", "u2028"])
def test_marks_and_separators_of_unicode_do_not_break_folds(kind):
    root = FAULTS / "corpus"
    found = [Utterance(path.relative_to(root).with_suffix("").as_posix(), path, "") for path in root.rglob("*.wav")]
    assert read_emobox(FAULTS / kind, found) == read_emobox(FAULTS / "plain", found)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_folds_with_a_byte_order_mark(tmp_path, encoding):
    for part, name in (("train", "a"), ("test", "b")):
        write(tmp_path / f"fold_1/{part}.jsonl", name)
        text = json.dumps({"key": name, "wav": f"{name}.wav", "text": "one\u2028two\x85"}, ensure_ascii=False)
        (tmp_path / f"fold_1/{part}.jsonl").write_text(f"{text}\r\n", encoding=encoding, newline="")
    assert read_emobox(tmp_path, clips("ab")) == {1: {"train": (0,), "test": (1,)}}
