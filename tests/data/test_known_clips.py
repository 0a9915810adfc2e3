"""Clips that a run has trained on are known by their hashes, with the folds that have."""

from pathlib import Path

import pytest

from serjax.data.folds.fold import Fold, save_folds
from serjax.data.known_clips import Known, read_adapted, read_known, write_adapted
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError

CLIPS = [Utterance(f"clip {i} ä", Path(f"{i}.wav"), "sad") for i in range(4)]


@pytest.fixture
def run(tmp_path):
    folds = (Fold(1, (0, 1), (2,), (3,)), Fold(2, (3,), (1,), (0,)))
    save_folds(tmp_path / "folds.json", folds, CLIPS, kind="files", seed=0, hashes="abcd")
    return tmp_path


def test_training_and_validation_count_and_the_test_part_does_not(run):
    everything = read_known(run, (1, 2))
    assert everything["a"] == Known("clip 0 ä", (1,))
    assert everything["b"] == Known("clip 1 ä", (1, 2))
    assert {digest: one.folds for digest, one in everything.items()} == {"a": (1,), "b": (1, 2), "c": (1,), "d": (2,)}
    assert read_known(run, (2,)).keys() == {"b", "d"}


def test_a_run_without_hashes_knows_no_clip(tmp_path):
    assert read_known(tmp_path, (1,)) == {}
    save_folds(tmp_path / "folds.json", (Fold(1, (0, 1), (2,), (3,)),), CLIPS, kind="files", seed=0)
    assert read_known(tmp_path, (1,)) == {}


def test_clips_that_a_run_adapts_to_are_kept_by_their_hashes(tmp_path):
    assert read_adapted(tmp_path) == frozenset()
    write_adapted(tmp_path, ["a", "b"])
    assert read_adapted(tmp_path) == {"a", "b"}
    (tmp_path / "adapted_to.json").write_text("[]")
    with pytest.raises(UserError, match=r"adapted_to\.json: the file does not fit"):
        read_adapted(tmp_path)
