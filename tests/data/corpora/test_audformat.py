"""Databases of audformat: small ones, written here by the package itself (extra `audformat`)."""

import numpy as np
import pytest
import soundfile

from serjax.data.config import DataConfig
from serjax.data.corpora.read import read_corpus
from serjax.runtime.errors import UserError

# audformat's own calls of pandas.
pytestmark = [pytest.mark.readers, pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")]
FILES = [f"wav/{speaker}_{number}.wav" for speaker in ("anna", "ben") for number in range(2)]
EMOTIONS = ["anger", "sad", "anger", "sad"]


@pytest.fixture
def audformat():
    return pytest.importorskip("audformat", reason="extra audformat")


@pytest.fixture
def database(audformat):
    """Return a database of four files, with speakers in a scheme and no emotion yet."""
    found = audformat.Database("tiny", usage="research")
    people = {"anna": {"gender": "female", "age": 31}, "ben": {"gender": "male", "age": 27}}
    found.schemes["speaker"] = audformat.Scheme("str", labels=people)
    found.schemes["emotion"] = audformat.Scheme("str", labels=["anger", "sad", "neutral"])
    found.schemes["arousal"] = audformat.Scheme("float", minimum=0, maximum=5)
    found.raters["gold"] = audformat.Rater("vote")
    for name in ("r1", "r2", "r3"):
        found.raters[name] = audformat.Rater("human")
    for split in ("train", "test"):
        found.splits[split] = audformat.Split(split)
    found["files"] = audformat.Table(audformat.filewise_index(FILES))
    add(found["files"], "speaker", [file[4:-6] for file in FILES], "speaker")
    return found


def add(table, name, values, scheme, rater=None):
    from audformat import Column

    table[name] = Column(scheme_id=scheme, rater_id=rater)
    table[name].set(values)


def save(database, folder, *, files=FILES):
    database.save(folder, storage_format="csv")
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / file, np.full(32_000, 0.1), 16_000)
    return folder


def read(root, **settings):
    return read_corpus(DataConfig(str(root), "audformat", **settings))


def test_labels_speakers_and_splits(audformat, database, tmp_path):
    for split, part in (("train", slice(0, 3)), ("test", slice(3, 4))):
        table = database[f"emotion.{split}"] = audformat.Table(audformat.filewise_index(FILES[part]), split_id=split)
        add(table, "emotion", EMOTIONS[part], "emotion", "gold")
        add(table, "arousal", [1.0, 2.0, np.nan, 4.0][part], "arousal", "gold")
    root = save(database, tmp_path)
    corpus = read(root)
    assert corpus.name == "tiny"
    assert [(clip.id, clip.label, clip.speaker, clip.values) for clip in corpus.utterances] == [
        ("wav/ben_1", "sad", "ben", (("arousal", 4.0),)),  # tables are sorted by their names
        ("wav/anna_0", "anger", "anna", (("arousal", 1.0),)),
        ("wav/anna_1", "sad", "anna", (("arousal", 2.0),)),
        ("wav/ben_0", "anger", "ben", ()),
    ]
    assert corpus.utterances[1].path == root / FILES[0]
    assert corpus.utterances[1].attributes == (("gender", "female"), ("age", "30-39"))
    assert "emotion.test.emotion, emotion.train.emotion are the label" in " ".join(corpus.notes)
    assert "Clips of all splits are read (test, train)" in " ".join(corpus.notes)
    trained = read(root, split="train", labels=("anger", "sad"))
    assert [clip.id for clip in trained.utterances] == ["wav/anna_0", "wav/anna_1", "wav/ben_0"]
    with pytest.raises(UserError, match=r"--data\.split dev: .* has no such split; it has test, train\."):
        read(root, split="dev")


def test_segments_votes_and_a_table_of_speakers(audformat, database, tmp_path):
    database["people"] = audformat.MiscTable(
        __import__("pandas").Index(["anna", "ben"], dtype="string", name="speaker")
    )
    database["people"]["sex"] = audformat.Column()
    database["people"]["sex"].set(["f", "m"])
    database.schemes["speaker"].replace_labels("people")
    index = audformat.segmented_index([FILES[0]] * 2 + [FILES[2]] * 2, ["0s", "0.5s"] * 2, ["0.5s", "1.25s"] * 2)
    table = database["turns"] = audformat.Table(index)
    for rater, labels, numbers in (
        ("r1", ["anger", "sad", "sad", "anger"], [1, 2, 3, 4]),
        ("r2", ["anger", "sad", "sad", "sad"], [2, 2, 3, 4]),
        ("r3", ["neutral", None, "sad", None], [3, 2, np.nan, 4]),
    ):
        add(table, f"emotion.{rater}", labels, "emotion", rater)
        add(table, f"arousal.{rater}", numbers, "arousal", rater)
    corpus = read(save(database, tmp_path))
    assert [(clip.id, clip.start, clip.end, clip.label, clip.votes, clip.values) for clip in corpus.utterances] == [
        ("wav/anna_0[0-0.5]", 0.0, 0.5, "anger", (("anger", 2.0), ("neutral", 1.0)), (("arousal", 2.0),)),
        ("wav/anna_0[0.5-1.25]", 0.5, 1.25, "sad", (("sad", 2.0),), (("arousal", 2.0),)),
        ("wav/ben_0[0-0.5]", 0.0, 0.5, "sad", (("sad", 3.0),), (("arousal", 3.0),)),
    ]
    assert [(clip.speaker, clip.attributes) for clip in corpus.utterances[1:]] == [
        ("anna", (("gender", "female"),)),
        ("ben", (("gender", "male"),)),
    ]
    notes = " ".join(corpus.notes)
    assert "A clip's label is what most people gave." in notes
    assert "1 segments without a majority are left out." in notes


def test_votes_beside_a_label(audformat, database, tmp_path):
    table = database["emotion"] = audformat.Table(audformat.filewise_index(FILES))
    add(table, "emotion", [*EMOTIONS[:3], None], "emotion", "gold")
    add(table, "first", ["anger", "anger", "sad", "sad"], "emotion", "r1")
    corpus = read(save(database, tmp_path))
    assert [(clip.label, clip.votes) for clip in corpus.utterances] == [
        ("anger", (("anger", 1.0),)),
        ("sad", (("anger", 1.0),)),
        ("anger", (("sad", 1.0),)),
    ]
    assert "1 segments without a label are left out." in corpus.notes


def test_columns_are_named(audformat, database, tmp_path):
    for name, labels in (("raw", EMOTIONS[::-1]), ("gold.a", EMOTIONS[:2]), ("gold.b", EMOTIONS[2:])):
        files = FILES if name == "raw" else FILES[:2] if name == "gold.a" else FILES[2:]
        database[name] = audformat.Table(audformat.filewise_index(files))
        add(database[name], "emotion", labels, "emotion")
    root = save(database, tmp_path)
    with pytest.raises(UserError, match=r"the label of wav/anna_0 is anger in gold\.a\.emotion, sad in raw\.emotion"):
        read(root)
    assert [clip.label for clip in read(root, columns=("label=raw.emotion",)).utterances] == EMOTIONS[::-1]
    assert [clip.label for clip in read(root, columns=("label=gold.*",)).utterances] == EMOTIONS
    with pytest.raises(UserError, match=r"--data\.columns label=mood: .* has no such column; it has files\.speaker"):
        read(root, columns=("label=mood",))
    with pytest.raises(UserError, match="a database's segments say that"):
        read(root, columns=("start=raw.emotion",))


def test_databases_that_cannot_be_read(audformat, database, tmp_path):
    root = save(database, tmp_path / "a")
    with pytest.raises(UserError, match=r"no column holds the label; found files\.speaker\. Name it"):
        read(root)
    table = database["emotion"] = audformat.Table(audformat.filewise_index(FILES))
    add(table, "emotion", EMOTIONS, "emotion")
    add(table, "category", EMOTIONS, "emotion")
    with pytest.raises(UserError, match=r"the label may be in any of emotion\.emotion, emotion\.category; say which"):
        read(save(database, tmp_path / "b"))
    table.drop_columns("category", inplace=True)
    root = save(database, tmp_path / "c", files=FILES[1:])
    with pytest.raises(UserError, match=r"files of 1 of its 4 segments do not exist \(wav/anna_0\.wav\)"):
        read(root)
    assert len(read(root, skip_bad=True).utterances) == 4
    (root / "db.emotion.csv").write_text("file,emotion\nwav/anna_0.wav\n\n\x00")
    with pytest.raises(UserError, match=r"the database cannot be read \(.*\); get it again\.") as told:
        read(root)
    assert "\n" not in str(told.value)
    (root / "db.yaml").write_text("name: [")
    with pytest.raises(UserError, match=r"the database cannot be read \(.*\); get it again\."):
        read(root)
    with pytest.raises(UserError, match=r"there is no db\.yaml in it"):
        read(tmp_path)


def test_a_database_by_its_name(audformat, database, tmp_path, monkeypatch):
    """audb's own repository on a disk stands for that on the network."""
    audb = pytest.importorskip("audb", reason="extra audformat")
    table = database["emotion"] = audformat.Table(audformat.filewise_index(FILES))
    add(table, "emotion", EMOTIONS, "emotion")
    root = save(database, tmp_path / "build")
    (tmp_path / "host" / "repo").mkdir(parents=True)
    repository = audb.Repository("repo", str(tmp_path / "host"), "file-system")
    monkeypatch.setattr(audb.config, "REPOSITORIES", [repository])
    monkeypatch.setattr(audb.config, "CACHE_ROOT", str(tmp_path / "cache"))
    audb.publish(root, "1.0.0", repository, previous_version=None, verbose=False)
    corpus = read("tiny==1.0.0")
    assert [(clip.id, clip.label) for clip in corpus.utterances] == [
        (file.removesuffix(".wav"), label) for file, label in zip(FILES, EMOTIONS, strict=True)
    ]
    with pytest.raises(UserError, match=r"--data\.root small: there is no such folder, and audb gave no database"):
        read("small")
