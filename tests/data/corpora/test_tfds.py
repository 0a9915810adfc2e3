"""Sets of TensorFlow Datasets: small ones, prepared here by the package itself (extra `tfds`)."""

import numpy as np
import pytest

from serjax.audio.decode import decode
from serjax.data.config import DataConfig
from serjax.data.corpora.read import read_corpus
from serjax.data.corpora.tfds import flat
from serjax.runtime.errors import UserError

pytestmark = pytest.mark.readers
LABELS = ["NEU", "SAD"]
FORMATS = ["array_record", "tfrecord"]


def samples(number):
    return (3000 * np.sin(np.arange(1600) / (5 + number))).astype(np.int64)


def prepare(folder, splits, *, form="array_record", name="crema_tiny", dtype=np.int64, **features):
    """Prepare a set with the features of crema_d and savee, and others; return its folder."""
    tfds = pytest.importorskip("tensorflow_datasets", reason="extra tfds")
    usual = {
        "audio": tfds.features.Audio(file_format="wav", dtype=dtype, sample_rate=16_000),
        "label": tfds.features.ClassLabel(names=LABELS),
        "speaker_id": np.str_,
    }
    spec = {key: kind(tfds.features) if callable(kind) and kind not in (np.str_, np.float32) else kind
            for key, kind in (usual | features).items() if kind is not None}  # fmt: skip

    def examples(numbers):
        for number in numbers:
            example = {"audio": samples(number).astype(dtype), "label": LABELS[number % 2]}
            example |= {"speaker_id": f"{1001 + number // 2}", "arousal": number / 2, "tags": ["x", "y"]}
            example |= {"other": samples(number).astype(dtype), "votes": {"SAD": number}, "values": {"tension": 1.5}}
            yield number, {key: value for key, value in example.items() if key in spec}

    builder = tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        features=tfds.features.FeaturesDict(spec),
        split_datasets={split: examples(numbers) for split, numbers in splits.items()},
        data_dir=folder,
        file_format=form,
        disable_shuffling=True,
    )
    return builder.data_path


def read(root, cache, **settings):
    return read_corpus(DataConfig(str(root), "tfds", cache=str(cache), **settings))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return one set in both formats."""
    folder = tmp_path_factory.mktemp("sets")
    splits = {"train": range(6), "test": range(6, 8)}
    return {form: prepare(folder / form, splits, form=form, arousal=np.float32) for form in FORMATS}


@pytest.mark.parametrize("form", FORMATS)
def test_a_prepared_set(prepared, tmp_path, form):
    corpus = read(prepared[form], tmp_path)
    assert [clip.id for clip in corpus.utterances] == [
        *(f"train/{number:06d}" for number in range(6)),
        "test/000000",
        "test/000001",
    ]
    for number, clip in enumerate(corpus.utterances):
        assert np.array_equal(decode(clip.path), samples(number).astype(np.float32) / 32768)
        assert (clip.label, clip.speaker) == (LABELS[number % 2], str(1001 + number // 2))
        assert clip.values == (("arousal", number / 2),)
    assert corpus.name == "crema_tiny"
    assert "speaker_id is the speaker" in " ".join(corpus.notes)


def test_one_split_and_the_folder_above(prepared, tmp_path):
    corpus = read(prepared["array_record"].parent, tmp_path, split="test")
    assert [clip.id for clip in corpus.utterances] == ["test/000000", "test/000001"]
    with pytest.raises(UserError, match=r"--data.split dev: .* has no such split; it has .*train"):
        read(prepared["array_record"], tmp_path, split="dev")


def test_a_set_by_its_name(prepared, tmp_path, monkeypatch):
    """The sound of savee must be fetched by hand, and crema_d is fetched: both need the network, here is none."""
    from tensorflow_datasets.core import constants

    monkeypatch.setattr(constants, "DATA_DIR", str(tmp_path / "sets"))
    with pytest.raises(
        UserError, match=r"--data\.root savee: TensorFlow Datasets could not prepare it .*catalog/savee"
    ):
        read("savee", tmp_path)
    with pytest.raises(UserError, match=r"makes no set of this name .*; did you mean crema_d\?"):
        read("cremad", tmp_path)


def test_votes_and_values_in_dictionaries(tmp_path):
    root = prepare(
        tmp_path / "sets", {"train": range(2)}, votes={"SAD": np.float32}, values=dict(tension=np.float32), tags=None
    )
    last = read(root, tmp_path).utterances[-1]
    assert (last.values, last.votes) == ((("tension", 1.5),), (("SAD", 1.0),))


@pytest.mark.parametrize(
    ("features", "settings", "message"),
    [
        ({"audio": None}, {}, "no feature holds sound; found label, speaker_id"),
        ({"label": None}, {}, "no column holds the label; found audio, speaker_id"),
        ({"other": lambda f: f.Audio(sample_rate=16_000)}, {}, "the sound may be in any of audio, other; say which"),
        ({"audio": lambda f: f.Audio()}, {}, "its feature audio names no rate"),
        ({"tags": lambda f: f.Sequence(np.str_)}, {"columns": ("text=tags",)}, "its feature tags holds several values"),
        ({}, {"columns": ("label=mood",)}, "has no column mood"),
    ],
    ids=["no sound", "no label", "two sounds", "no rate", "several values", "absent"],
)
def test_sets_that_cannot_be_read(tmp_path, features, settings, message):
    root = prepare(tmp_path / "sets", {"train": range(2)}, **features)
    with pytest.raises(UserError, match=message) as told:
        read(root, tmp_path, **settings)
    assert "\n" not in str(told.value)


def test_records_that_are_damaged(tmp_path):
    root = prepare(tmp_path / "sets", {"train": range(2)})
    file = next(root.glob("*.array_record*"))
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"the split train cannot be read \(.*\); prepare the set anew") as told:
        read(root, tmp_path)
    assert "\n" not in str(told.value)


def test_folders_without_a_set_or_with_several(prepared, tmp_path):
    with pytest.raises(UserError, match=r"there is no prepared set in it, which would have a file dataset_info\.json"):
        read(tmp_path, tmp_path)
    with pytest.raises(UserError, match=r"there are several sets in it \(array_record/crema_tiny/1\.0\.0, tfrecord"):
        read(prepared["tfrecord"].parents[2], tmp_path)


def test_records_in_a_bucket_are_read_from_a_disk(prepared, tmp_path, monkeypatch):
    from serjax.data.corpora import tfds as reader

    monkeypatch.setattr(reader, "is_remote", lambda root: True)
    with pytest.raises(UserError, match=r"array_record are read from a disk; mount the bucket"):
        read(prepared["array_record"], tmp_path)
    assert len(read(prepared["tfrecord"], tmp_path).utterances) == 8


def test_names_of_nested_features():
    assert flat({"a": 1, "b": {"c": 2, "d": {"e": 3}}}) == {"a": 1, "b.c": 2, "b.d.e": 3}
