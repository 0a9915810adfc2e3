"""A run folder ends up with all files, or with a sentence."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from serjax.evaluation.files import write_all
from serjax.evaluation.out_of_fold import mean_of, read_oof_csv, read_seeds
from serjax.runtime.errors import UserError

DPI = 160


def test_all_files_are_written_and_agree(make_run, tmp_path):
    run = make_run()
    write_all(tmp_path, run.report, run.seeds, run.history)
    assert {path.name for path in tmp_path.iterdir()} == {
        "oof.csv",
        "report.json",
        "confusion.png",
        "curves.png",
        "reliability.png",
        "README.md",
    }
    assert json.loads((tmp_path / "report.json").read_text()) == run.report
    assert read_oof_csv(tmp_path / "oof.csv").ids == run.seeds[0].ids
    sizes = {path.name: imread(path).shape[:2] for path in tmp_path.glob("*.png")}
    # Height and width in pixels: 3.6 by 10.5 inches, and a cell of 0.95 inches a class with its margins.
    assert sizes["curves.png"] == pytest.approx((3.6 * DPI, 10.5 * DPI), abs=1)
    assert sizes["confusion.png"] == pytest.approx(((0.95 * 4 + 1.4) * DPI, (0.95 * 4 + 1.7) * DPI), abs=1)


def test_answers_of_all_seeds_are_kept(make_run, tmp_path):
    run = make_run(seeds=3)
    write_all(tmp_path, run.report, run.seeds, run.history)
    found = read_seeds(tmp_path / "oof.csv")
    assert len(found) == 3
    for one, other in zip(found, run.seeds, strict=True):
        assert (one.ids, one.speaker) == (other.ids, other.speaker)
        np.testing.assert_array_equal(one.probability, other.probability)
    assert run.report["seeds"]["together"]["wa"] == np.mean(mean_of(found).prediction == found[0].label)


def test_writing_again_changes_nothing(make_run, tmp_path):
    run = make_run()
    contents = []
    for _ in range(2):
        write_all(tmp_path, run.report, run.seeds, run.history)
        contents.append({path.name: path.read_bytes() for path in tmp_path.iterdir()})
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    "name", ["oof.csv", "confusion.png", "curves.png", "reliability.png", "README.md", "report.json"]
)
def test_a_full_disk_is_a_sentence_and_keeps_the_old_file(make_run, tmp_path, monkeypatch, name):
    run = make_run()
    (tmp_path / name).write_text("of an earlier run")
    real = os.replace

    def replace(source, target):
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(source, target)

    monkeypatch.setattr("os.replace", replace)
    with pytest.raises(UserError, match=rf"{name}: the disk is full"):
        write_all(tmp_path, run.report, run.seeds, run.history)
    assert (tmp_path / name).read_text() == "of an earlier run"
    assert not (tmp_path / "report.json").exists() or name == "report.json"
