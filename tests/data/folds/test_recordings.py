"""Clips of one recording are found, and folds that are made do not divide them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.data.config import FoldsConfig
from serjax.data.folds.make import make_folds
from serjax.data.folds.recordings import ALIKE, OVERLAP, VERSIONS, Kept, describe, kept_together, recordings
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError


def clip(name, path, label="A", start=0.0, end=None, speaker=None):
    return Utterance(name, Path(path), label, speaker, start=start, end=end)


def test_a_whole_file_and_its_stretches_are_kept_together():
    clips = [clip("a", "x.wav", start=5, end=6), clip("b", "x.wav"), clip("c", "y.wav"), clip("d", "x.wav", start=9)]
    assert kept_together(clips) == [Kept((0, 1, 3), OVERLAP)]
    assert recordings(clips) == [0, 0, 2, 0]


def test_stretches_that_follow_one_another_do_not_overlap_but_are_one_recording():
    clips = [clip(str(i), "x.wav", start=i, end=i + 1) for i in range(3)]
    assert kept_together(clips) == []
    assert recordings(clips) == [0, 0, 0]


def test_files_of_one_recording_are_known_by_their_names():
    paths = [
        *("01-01-03-01-01-01-05.mp4", "a/03-01-03-01-01-01-05.wav", "03-02-03-01-01-01-05.wav"),
        *("clean/03a01Wa.wav", "loud/03a01Wa.wav", "one/take_1.wav", "two/take_1.wav"),
    ]
    clips = [clip(path, path) for path in paths]
    assert kept_together(clips) == [Kept((0, 1), VERSIONS), Kept((3, 4), VERSIONS)]
    assert recordings(clips, kept_together(clips, [[1, 5]])) == [0, 0, 2, 3, 3, 0, 6]


def test_reasons_are_told_with_what_is_left_out():
    clips = [clip(name, name, label) for name, label in zip("abcd", "AABC", strict=True)]
    kept = kept_together(clips, [[0, 1], [2, 3]])
    note = "4 clips in 2 groups sound alike"
    (said,) = describe(kept, clips, Counter({0: 2}))
    assert said.startswith(note)
    assert "(a = b, c = d); 1 of them are left out" in said
    assert said.endswith("1 of the groups have several labels.")
    assert "each group stands on one side of every fold." in describe(kept, clips, Counter())[0]
    assert kept[0].why == ALIKE


@settings(max_examples=25)
@given(
    data=st.data(),
    kind=st.sampled_from(["stratified", "split", "every_tenth"]),
    sizes=st.lists(st.integers(1, 4), min_size=24, max_size=40),
    seed=st.integers(0, 9),
)
def test_folds_never_divide_a_recording(data, kind, sizes, seed):
    places = [(r, i) for r, size in enumerate(sizes) for i in range(size)]
    clips = [clip(f"{r}-{i}", f"{r}.wav", "AB"[r % 2], float(i), i + 1.0) for r, i in places]
    one, other = data.draw(st.sampled_from(range(len(clips)))), data.draw(st.sampled_from(range(len(clips))))
    kept = kept_together(clips, [sorted({one, other})] if one != other else [])
    groups = np.array(recordings(clips, kept))
    folds = make_folds(clips, FoldsConfig(kind=kind, count=3), seed, kept)
    tested = [i for fold in folds for i in fold.test]
    assert len(set(tested)) == len(tested)
    if kind == "stratified":
        assert len(tested) == len(clips)
    for fold in folds:
        parts = [set(groups[list(part)]) for part in (fold.train, fold.validation, fold.test)]
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert len(fold.train) + len(fold.validation) + len(fold.test) == len(clips)


def test_a_class_of_fewer_recordings_than_folds_is_told():
    clips = [clip(f"{r}-{i}", f"{r}.wav", "AB"[r > 1], float(i)) for r in range(8) for i in range(6)]
    with pytest.raises(UserError, match="The clips of class A are of 2 recordings, fewer than the 5 folds"):
        make_folds(clips, FoldsConfig(), 0)


def test_a_file_is_one_however_its_path_is_written(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "x.wav").write_bytes(b"one")
    (tmp_path / "other.wav").write_bytes(b"two")
    (tmp_path / "copy.wav").write_bytes(b"one")
    (tmp_path / "link.wav").symlink_to(tmp_path / "x.wav")
    (tmp_path / "hard.wav").hardlink_to(tmp_path / "x.wav")
    names = ["x.wav", "b/../x.wav", "link.wav", "hard.wav", "copy.wav", "other.wav", "gone.wav"]
    clips = [clip(str(i), tmp_path / name, start=i / 2, end=i / 2 + 1) for i, name in enumerate(names)]
    assert recordings(clips) == [0, 0, 0, 0, 0, 5, 6]
    assert kept_together(clips) == [Kept((0, 1, 2, 3, 4), OVERLAP)]
    whole = [clip(str(i), tmp_path / name) for i, name in enumerate(names)]
    assert recordings(whole) == [0, 0, 0, 0, 4, 5, 6]  # equal samples of whole files are found elsewhere
