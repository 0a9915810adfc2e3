"""Frame labels come back by clip, and what does not fit a corpus or an encoder is one sentence."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.data.store.frame_labels import FrameGrid, FrameLabels, split_labels, write_labels
from serjax.runtime.errors import UserError

GRID = FrameGrid()


@given(st.integers(0, 10**6))
def test_the_grid_counts_frames_that_fit(samples):
    count = GRID.frames(samples)
    assert count == sum(1 for i in range(count + 2) if 320 * i + 400 <= samples)
    assert GRID.samples(count) <= samples
    assert GRID.frames(GRID.samples(count)) == count


@settings(max_examples=20)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(1, 2**16))
def test_labels_come_back(tmp_path_factory, counts, clusters):
    rng = np.random.default_rng(clusters)
    labels = {f"Actor_{i}/clip.wav": rng.integers(0, clusters, count) for i, count in enumerate(counts)}
    folder = tmp_path_factory.mktemp("labels") / "new"
    written = write_labels(folder, labels, clusters, GRID, {"layer": 9})
    assert (folder / "labels.npy").stat().st_size == 128 + 2 * sum(counts)
    for found in (written, FrameLabels(folder)):
        assert (found.clusters, found.grid, found.source, len(found)) == (clusters, GRID, {"layer": 9}, len(labels))
        for clip, values in labels.items():
            assert found.of(clip).dtype == np.uint16
            np.testing.assert_array_equal(found.of(clip), values)
    assert "Actor_0/clip.wav" in written
    assert "other.wav" not in written


@pytest.fixture
def labels(tmp_path):
    return write_labels(tmp_path / "labels", {"a": np.arange(3), "b": np.arange(5)}, 7, GRID)


def test_labels_that_fit_are_accepted(labels):
    labels.check({"a": 400 + 2 * 320, "b": 400 + 4 * 320 + 319}, GRID)


@pytest.mark.parametrize(
    ("lengths", "grid", "message"),
    [
        ({"a": 1040}, FrameGrid(160, 400), r"frames every 20 ms of 400 samples, but .* every 10 ms"),
        ({"a": 1040}, FrameGrid(320, 500), r"every 20 ms of 500 samples"),
        ({"a": 1040, "c": 5000, "d": 1}, GRID, r"2 clips have no labels \(c, d\)"),
        ({"a": 1040 + 320}, GRID, r"a has 3 labels, but its 1360 samples make 4 frames"),
        ({"a": 1039}, GRID, r"a has 3 labels, but its 1039 samples make 2 frames"),
    ],
)
def test_labels_that_do_not_fit_get_a_sentence(labels, lengths, grid, message):
    with pytest.raises(UserError, match=message) as raised:
        labels.check(lengths, grid)
    assert "\n" not in str(raised.value)


def test_what_cannot_be_written_gets_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"b: a label is 4, but labels go from 0 to 3"):
        write_labels(tmp_path / "x", {"a": np.arange(3), "b": np.arange(5)}, 4, GRID)
    with pytest.raises(UserError, match="labels go from 0"):
        write_labels(tmp_path / "x", {"b": np.array([-1])}, 4, GRID)
    with pytest.raises(UserError, match="from 1 to 65536"):
        write_labels(tmp_path / "x", {"b": np.zeros(1, int)}, 2**16 + 1, GRID)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_labels(tmp_path / "file" / "x", {"b": np.zeros(1, int)}, 3, GRID)
    assert not (tmp_path / "x").exists()


def test_damage_is_one_sentence(labels):
    with pytest.raises(UserError, match="there are no labels of c"):
        labels.of("c")
    index = json.loads((labels.folder / "index.json").read_text())
    facts = index["facts"]
    for change in (
        {"format": 9},
        {"lengths": [3, 4]},
        {"facts": facts | {"grid": {"tick": 1}}},
        {"facts": facts | {"clips": ["a"]}},
    ):
        (labels.folder / "index.json").write_text(json.dumps(index | change))
        with pytest.raises(UserError, match="no frame labels, or they are damaged"):
            FrameLabels(labels.folder)
    (labels.folder / "index.json").unlink()
    with pytest.raises(UserError, match="no frame labels, or they are damaged"):
        FrameLabels(labels.folder)


def test_labels_of_all_frames_are_split_by_clip():
    parts = split_labels(np.arange(6), ["a", "b", "c"], np.array([2, 0, 4]))
    assert {clip: part.tolist() for clip, part in parts.items()} == {"a": [0, 1], "b": [], "c": [2, 3, 4, 5]}
    with pytest.raises(UserError, match="There are 5 labels for 6 frames"):
        split_labels(np.arange(5), ["a", "b"], np.array([2, 4]))
    with pytest.raises(UserError, match=r"1 clips share their name with another \(a\)"):
        split_labels(np.arange(6), ["a", "a"], np.array([2, 4]))
