"""Archives of face features: rows found by file name, hashes, and archives that do not fit."""

from pathlib import Path

import numpy as np
import pytest

from serjax.data.store.face_features import read_archive, read_face_features
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError


def test_archives_that_do_not_fit_are_refused(tmp_path):
    clips = [clip("x")]
    np.savez(tmp_path / "short.npz", ids=np.array(["y"]), au=np.zeros((2, 3)))
    np.savez(tmp_path / "other.npz", ids=np.array(["y"]), au=np.zeros((1, 3)))
    (tmp_path / "text.npz").write_text("no archive")
    for name, message in (
        ("none.npz", "cannot be read"),
        ("text.npz", "cannot be read"),
        ("short.npz", r"au is \[2, 3\] for 1 ids"),
        ("other.npz", "it has no row for x"),
    ):
        with pytest.raises(UserError, match=message):
            read_face_features(str(tmp_path / name), clips)


def clip(name):
    return Utterance(name, Path(f"clips/{name}.wav"), "sad")


@pytest.fixture
def archive(tmp_path):
    """Three rows, one named in RAVDESS's manner by its video."""
    ids = np.array(["b", "01-01-03-01-02-01-12", "a"])
    np.savez(tmp_path / "features.npz", ids=ids, au=np.arange(6.0).reshape(3, 2))
    return str(tmp_path / "features.npz")


def test_rows_are_found_by_the_name_of_the_file(archive):
    found = read_face_features(archive, [clip("a"), clip("b"), clip("a")])
    assert found.values.dtype == np.float32
    np.testing.assert_array_equal(found.values, [[[4, 5]], [[0, 1]], [[4, 5]]])
    assert found.hashes[0] == found.hashes[2] != found.hashes[1]


def test_sound_of_ravdess_finds_the_row_of_its_video(archive):
    found = read_face_features(archive, [clip("03-01-03-01-02-01-12")])
    np.testing.assert_array_equal(found.values, [[[2, 3]]])
    with pytest.raises(UserError, match="it has no row for 03-01-04-01-02-01-12; give one for each clip"):
        read_face_features(archive, [clip("03-01-04-01-02-01-12")])


def test_rows_of_batches_keep_their_shape(archive):
    found = read_face_features(archive, [clip("a"), clip("b")])
    values, counts = found.rows(np.array([[0, 1, 1], [1, 0, 0]]))
    assert values.shape == (2, 3, 1, 2)
    np.testing.assert_array_equal(values[0, 2, 0], found.values[1, 0])
    assert counts.dtype == np.int32
    assert (counts == 1).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    np.savez(tmp_path / "features.npz", ids=np.array(["a"]), au=np.array([[0.0, value]]))
    with pytest.raises(UserError, match="give finite rows, one an id"):
        read_archive(str(tmp_path / "features.npz"))


def test_archive_without_its_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "features.npz", ids=np.array(["a"]))
    with pytest.raises(UserError, match=r"it has no array au\); give an \.npz of ids and au"):
        read_archive(str(tmp_path / "features.npz"))
