"""Sets of Hugging Face: the files that `datasets` writes, made here by pyarrow in the same layout."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from serjax.audio.decode import decode
from serjax.data.config import DataConfig
from serjax.data.corpora.read import read_corpus
from serjax.data.store.clips import open_store
from serjax.runtime.errors import UserError

CLASSES = ["sad", "angry"]
FEATURES = {"audio": {"sampling_rate": 16_000, "_type": "Audio"}, "emotion": {"names": CLASSES, "_type": "ClassLabel"}}
NOTED = {b"huggingface": json.dumps({"info": {"features": FEATURES}}).encode()}


def samples(number):
    return (3000 * np.sin(np.arange(1600) / (5 + number))).astype(np.int16)


def sound(number):
    file = io.BytesIO()
    soundfile.write(file, samples(number), 16_000, format="FLAC")
    return file.getvalue()


def table(numbers, *, noted=True, **columns):
    """Return rows as `Audio` and `ClassLabel` are stored: sound as a struct, classes as numbers."""
    fixed = {
        "audio": [{"bytes": sound(number), "path": f"clip{number}.flac"} for number in numbers],
        "emotion": [number % 2 for number in numbers],
        "speaker_id": [f"s{number // 2}" for number in numbers],
        "act": [number / 2 for number in numbers],
    }
    found = pa.table(fixed | columns)
    return found.replace_schema_metadata(NOTED) if noted else found


def write(folder, name, rows):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path)
    return path


def read(root, cache, **settings):
    return read_corpus(DataConfig(str(root), "hf", cache=str(cache), **settings))


@pytest.fixture
def shards(tmp_path):
    """Return a set as the hub keeps one: two splits, one of them in two shards."""
    for at, numbers in enumerate((range(3), range(3, 6))):
        write(tmp_path, f"set/data/train-{at:05d}-of-00002.parquet", table(numbers))
    write(tmp_path, "set/data/test-00000-of-00001.parquet", table(range(6, 8)))
    return tmp_path / "set"


def save_to_disk(folder, numbers):
    """Write a split as `save_to_disk` does."""
    folder.mkdir(parents=True)
    rows = table(numbers)
    with (folder / "data-00000-of-00001.arrow").open("wb") as file, pa.ipc.new_stream(file, rows.schema) as writer:
        writer.write_table(rows)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))


def check(corpus, numbers):
    assert [clip.id for clip in corpus.utterances] == [f"clip{number}" for number in numbers]
    for clip, number in zip(corpus.utterances, numbers, strict=True):
        assert np.array_equal(decode(clip.path), samples(number) / np.float32(32768))
        assert (clip.label, clip.speaker) == (CLASSES[number % 2], f"s{number // 2}")
        assert clip.values == (("arousal", number / 2),)


def test_parquet_with_shards_and_splits(shards, tmp_path):
    whole = read(shards, tmp_path / "cache")
    check(whole, [6, 7, *range(6)])
    assert whole.labels == ("sad", "angry")
    assert "Clips of all splits are read (test, train)" in " ".join(whole.notes)
    assert "speaker_id is the speaker, act is the arousal" in " ".join(whole.notes)
    check(read(shards, tmp_path / "cache", split="train"), range(6))
    check(read(shards / "data" / "test-00000-of-00001.parquet", tmp_path / "cache"), [6, 7])


def test_a_second_reading_writes_nothing(shards, tmp_path):
    first = read(shards, tmp_path / "cache")
    there = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    assert read(shards, tmp_path / "cache").utterances == first.utterances
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")} == there


def test_save_to_disk(tmp_path):
    save_to_disk(tmp_path / "one", range(4))
    check(read(tmp_path / "one", tmp_path / "cache"), range(4))
    save_to_disk(tmp_path / "two" / "train", range(4))
    save_to_disk(tmp_path / "two" / "test", range(4, 6))
    (tmp_path / "two" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    check(read(tmp_path / "two", tmp_path / "cache"), range(6))
    check(read(tmp_path / "two", tmp_path / "cache", split="test"), [4, 5])


def test_tables_of_other_writers(tmp_path):
    rows = table(range(4), noted=False, audio=[sound(number) for number in range(4)])
    corpus = read(write(tmp_path, "clips.parquet", rows), tmp_path / "cache")
    assert [clip.id for clip in corpus.utterances] == [f"clips/{number:06d}" for number in range(4)]
    assert corpus.labels == ("0", "1")


def test_paths_in_place_of_bytes(tmp_path):
    for number in range(4):
        (tmp_path / f"clip{number}.flac").write_bytes(sound(number))
    cells = [{"bytes": None, "path": f"clip{number}.flac"} for number in range(4)]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    root = write(tmp_path, "clips.parquet", table(range(4), audio=pa.array(cells, kind)))
    check(read(root, tmp_path / "cache"), range(4))
    (tmp_path / "clip2.flac").unlink()
    with pytest.raises(UserError, match=r"1 of its 4 rows name sound files that do not exist \(row 2 of clips: clip2"):
        read(root, tmp_path / "cache")
    assert len(read(root, tmp_path / "cache", skip_bad=True).utterances) == 4


def test_a_configuration_is_chosen(tmp_path):
    for name in ("en", "de"):
        write(tmp_path, f"set/{name}/train/0000.parquet", table(range(2)))
    with pytest.raises(UserError, match=r"it has the configurations de, en; choose one, as in --data.root .*set/en"):
        read(tmp_path / "set", tmp_path / "cache")
    check(read(tmp_path / "set" / "en", tmp_path / "cache"), range(2))


def test_a_set_on_the_hub(shards, tmp_path, monkeypatch):
    """The hub's own function is replaced, as there is no network; what it is asked for is held."""
    import huggingface_hub
    from huggingface_hub import errors

    asked = []

    def snapshot_download(repository, *, repo_type, revision, allow_patterns):
        asked.append((repository, repo_type, revision, allow_patterns))
        (tmp_path / "none").mkdir(exist_ok=True)
        return str(tmp_path / "none" if revision is None else shards)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    corpus = read("owner/emotions", tmp_path / "cache")
    check(corpus, [6, 7, *range(6)])
    assert corpus.name == "owner/emotions"
    assert asked == [("owner/emotions", "dataset", None, "*.parquet"),
                     ("owner/emotions", "dataset", "refs/convert/parquet", "*.parquet")]  # fmt: skip

    def refuse(*_, **__):
        raise errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(UserError, match=r"--data.root owner/emotions: there is no such folder, and the hub is out of"):
        read("owner/emotions", tmp_path / "cache")


@pytest.mark.readers
@pytest.mark.parametrize("form", ["disk", "dictionary", "parquet"])
def test_sets_that_the_package_writes(tmp_path, form):
    datasets = pytest.importorskip("datasets", reason="extra test-readers")
    kinds = {"audio": datasets.Audio(decode=False), "emotion": datasets.ClassLabel(names=CLASSES)}
    kinds |= {"speaker_id": datasets.Value("string"), "act": datasets.Value("float32")}
    made = datasets.Dataset.from_dict(table(range(5)).to_pydict()).cast(datasets.Features(kinds))
    if form == "disk":
        made.save_to_disk(tmp_path / "set", num_shards=2)
    elif form == "dictionary":
        datasets.DatasetDict({"train": made}).save_to_disk(tmp_path / "set")
    else:
        (tmp_path / "set").mkdir()
        made.to_parquet(tmp_path / "set" / "train.parquet")
    check(read(tmp_path / "set", tmp_path / "cache"), range(5))


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({}, {"split": "dev"}, "--data.split dev: .* has no such split; it has clips"),
        ({"emotion": [0, 1, 0, 2]}, {}, r"row 3 of clips: the emotion is 2, but the set names 2 classes"),
        ({"emotion": [0, 1, 0, -1]}, {}, r"row 3 of clips: the label is empty"),
        ({"emotion": [[0], [1], [0], [1]]}, {}, "row 0 of clips: its column emotion holds several values"),
        ({"audio": ["a", "b", "c", "d"]}, {"columns": ("path=act",)}, "row 0 of clips: its column act holds no sound"),
        ({}, {"columns": ("label=mood",)}, "has no column mood"),
        ({"subject": ["a"] * 4}, {}, "the speaker may be in any of the columns speaker_id, subject"),
    ],
)
def test_sets_that_cannot_be_read(tmp_path, columns, settings, message):
    root = write(tmp_path, "clips.parquet", table(range(4), **columns))
    with pytest.raises(UserError, match=message) as told:
        read(root, tmp_path / "cache", **settings)
    assert "\n" not in str(told.value)


def test_a_set_without_sound_or_labels(tmp_path):
    (empty := tmp_path / "empty").mkdir()
    root = write(tmp_path, "a.parquet", pa.table({"label": ["x", "y"]}))
    with pytest.raises(UserError, match="no column holds sound; found label"):
        read(root, tmp_path / "cache")
    root = write(tmp_path, "b.parquet", table(range(2)).drop_columns("emotion"))
    with pytest.raises(UserError, match="no column holds the label; found audio, speaker_id, act"):
        read(root, tmp_path / "cache")
    with pytest.raises(UserError, match="it is no folder of save_to_disk; give one of these"):
        read(empty, tmp_path / "other")
    with pytest.raises(UserError, match="no such folder or file, and it is no id of the hub either"):
        read(tmp_path / "absent", tmp_path / "other")


def test_sound_that_does_not_decode_is_told_by_its_row(tmp_path):
    cells = [{"bytes": sound(number) if number else b"nothing", "path": None} for number in range(3)]
    corpus = read(write(tmp_path, "clips.parquet", table(range(3), audio=cells)), tmp_path / "cache")
    with pytest.raises(UserError, match=r"-clips_000000\.wav: it is not a sound file or is damaged"):
        open_store(corpus.utterances, tmp_path / "store", skip_bad=False)
    assert len(open_store(corpus.utterances, tmp_path / "store", skip_bad=True)) == 2


@pytest.mark.parametrize("keep", [0.0, 0.6])
def test_a_damaged_file_is_named(tmp_path, keep):
    root = write(tmp_path, "clips.parquet", table(range(4)))
    whole = root.read_bytes()
    root.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(UserError, match=r"clips\.parquet: it cannot be read \(.*\); get the file again\.") as told:
        read(root, tmp_path / "cache")
    assert "\n" not in str(told.value)
    save_to_disk(tmp_path / "disk", range(4))
    path = tmp_path / "disk" / "data-00000-of-00001.arrow"
    path.write_bytes(path.read_bytes()[: 3000 if keep else 10])
    with pytest.raises(UserError, match=r"\.arrow: it cannot be read \(.*\); get the file again\."):
        read(tmp_path / "disk", tmp_path / "cache")
