"""`python -m serjax.compare` tells two runs' scores and their difference."""

import json
from pathlib import Path

import numpy as np
import pytest

from serjax.compare import main
from serjax.evaluation.comparison_files import FILES
from serjax.evaluation.out_of_fold import OutOfFold, write_oof_csv
from serjax.runtime.errors import UserError


def write(folder, right, clips=range(40)):
    """A run that answers rightly the clips in `right`."""
    folder.mkdir()
    clips = np.array(clips, int)
    label = clips % 2
    answer = np.where(np.isin(clips, right), label, 1 - label)
    write_oof_csv(
        folder / "oof.csv",
        OutOfFold(
            tuple(f"{clip}.wav" for clip in clips),
            clips % 4 + 1,
            label,
            np.eye(2, dtype=np.float32)[answer],
            tuple(f"{clip // 5}" for clip in clips),
            ("sad", "glad"),
        ),
    )
    return str(folder)


def test_both_scores_and_the_difference_are_printed(tmp_path, capsys):
    good = [write(tmp_path / "first", range(30), range(20)), write(tmp_path / "second", range(30), range(20, 40))]
    name = "a_name_that_tells_at_its_end_which_run_of_many_it_was_17"
    bad = write(tmp_path / name, range(10), range(36))
    assert main([*good, "--to", f"{bad}/oof.csv"]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert next(row for row in rows if row and row[0] == "difference")[:3] == ["difference", "55.6", "55.6"]
    assert "4 clips that" in out
    assert "".join(row[0] for row in rows if row).count(name) == 1
    assert "With 8 speakers the intervals are rough" in out
    assert "Of 8 speakers 4 have a higher UA, 4 the same, 0 a lower one." in out


def test_a_corpus_on_two_machines_is_one(tmp_path, capsys):
    here, there = write(tmp_path / "here", range(30)), write(tmp_path / "there", range(10))
    text = (tmp_path / "there/oof.csv").read_text()
    (tmp_path / "there/oof.csv").write_text(
        "".join(f"/mnt/{line}" if line[0].isdigit() else line for line in text.splitlines(True))
    )
    with pytest.raises(UserError, match=r"have tested no clip in common \(such as 0.wav, and /mnt/0.wav\)"):
        main([here, "--to", there])
    for folder, prefix in (("here", ""), ("there", "/mnt/")):
        hashes = {f"{prefix}{clip}.wav": f"{clip:02x}" for clip in range(40)}
        (tmp_path / folder / "folds.json").write_text(json.dumps({"hashes": hashes}))
    assert main([here, "--to", there]) == 0
    out = capsys.readouterr().out
    assert f"40 clips have other names in {there}, and are matched by their samples." in out
    assert "are left out" not in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gone", "--to", "run"], "gone: cannot be read"),
        (["~nobody-of-this-name/run", "--to", "run"], "nobody-of-this-name/run: cannot be read"),
        (["x" * 300, "--to", "run"], "xxx: cannot be read"),
        (["empty", "--to", "run"], "empty: there is no oof.csv in this folder; give the folder of a finished run"),
        (["run", "--to", "run", "--seed", "-1"], "--seed: got -1; give a whole number from 0"),
        (["run", "run", "--to", "run"], "run: named twice"),
        (["run", "--to", "run", "run"], "0.wav: tested by run and by run"),
        (["run"], "there is one run and no --to; name two runs or more"),
        (["run", "other"], r"run \+ other have tested no clip in common"),
        (["none", "--to", "run"], "none: its oof.csv has no clip"),
    ],
)
def test_wrong_arguments_get_a_sentence(tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "run", range(30))
    write(tmp_path / "other", [], range(40, 50))
    write(tmp_path / "none", [], [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=sentence):
        main(arguments)


@pytest.fixture
def three(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return [write(Path(name), range(right)) for name, right in (("a", 40), ("b", 30), ("c", 10))]


def compared(out):
    """Return the names above each "difference" of what was printed."""
    rows = [line.split() for line in out.splitlines() if line.strip()]
    names = [row[0] for row in rows if row[0] in ("a", "b", "c")]
    return list(zip(names[::2], names[1::2], strict=True))


def test_each_run_is_compared_with_one(three, capsys):
    assert main(["a", "b", "--to", "c"]) == 0
    out = capsys.readouterr().out
    assert compared(out) == [("a", "c"), ("b", "c")]
    assert "2 pairs: each interval is for its own difference" in out


def test_without_to_all_pairs_are_compared(three, capsys):
    assert main(["a", "b", "c"]) == 0
    assert compared(capsys.readouterr().out) == [("a", "b"), ("a", "c"), ("b", "c")]


def test_files_are_written_and_not_written_over(three, capsys):
    assert main(["a", "b", "--to", "c", "--out", "x/y"]) == 0
    assert "Written to x/y: comparison.json, comparison.csv, " in capsys.readouterr().out
    assert {path.name for path in Path("x/y").iterdir()} == set(FILES)
    with pytest.raises(UserError, match=r"x/y: an earlier comparison is there; give another --out, or --overwrite"):
        main(["a", "--to", "c", "--out", "x/y"])
    assert main(["a", "--to", "c", "--out", "x/y", "--overwrite"]) == 0
    assert len(json.loads(Path("x/y/comparison.json").read_text(encoding="utf-8"))["comparisons"]) == 1
