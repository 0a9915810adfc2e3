"""Face features of an archive, found by the names of the clips."""

from pathlib import Path

import numpy as np
import pytest

from serjax.data.store.face_features import read_archive, read_face_features
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError


def clip(name):
    return Utterance(name, Path(f"{name}.wav"), "sad")


def write(path, ids, au):
    np.savez(path, ids=np.array(ids), au=np.array(au))
    return str(path)


def test_each_clip_has_the_row_of_its_name(tmp_path):
    path = write(tmp_path / "a.npz", ["one", "01-02-03-04-05-06-07", "two"], [[1.0, 2], [3, 4], [5, 6]])
    found = read_face_features(path, [clip("two"), clip("one"), clip("03-02-03-04-05-06-07"), clip("two")])
    np.testing.assert_array_equal(found.values[:, 0], [[5, 6], [1, 2], [3, 4], [5, 6]])
    assert found.hashes[0] == found.hashes[3] != found.hashes[1]
    rows, lengths = found.rows(np.array([[1, 0]]))
    np.testing.assert_array_equal(rows, [[[[1, 2]], [[5, 6]]]])
    np.testing.assert_array_equal(lengths, [[1, 1]])
    with pytest.raises(UserError, match="it has no row for three"):
        read_face_features(path, [clip("three")])


def test_an_archive_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_archive(str(tmp_path / "none.npz"))
    for au in ([[1.0]], [1.0, 2.0], [[1.0], [np.nan]]):
        with pytest.raises(UserError, match="for 2 ids; give finite rows, one an id"):
            read_archive(write(tmp_path / "a.npz", ["one", "two"], au))
