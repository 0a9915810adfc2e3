"""Jobs that train some folds each: what is wrong with them is told, a line each, before anything is put together."""

import json
from dataclasses import replace

import numpy as np
import pytest

from serjax.config.experiment import Experiment
from serjax.data.config import FoldsConfig
from serjax.evaluation.out_of_fold import OutOfFold, write_oof_csv
from serjax.runs.folder import experiment_json
from serjax.runs.jobs import Results, find_jobs, read_results, save_results
from serjax.runtime.errors import UserError

SOURCES = {"recordings": "a", "labels": "b", "folds": "c", "pretrained weights": "d"}
FACTS = {"versions": {"jax": "1"}, "corpus": "x", "seconds": 1.0, "command": "x", "device": "cpu"}


def write_job(run, *folds, finished=True, missing=(), folder=None, **changes):
    """Write the records of a job of a run of three folds."""
    sources, facts = SOURCES | changes.pop("sources", {}), FACTS | changes.pop("facts", {})
    one = Experiment("run", job=True, folds=FoldsConfig(only=folds), **changes)
    folder = run / "jobs" / (folder or one.run_dir.name)
    folder.mkdir(parents=True)
    (folder / "experiment.json").write_text(experiment_json(one))
    (folder / "job.json").write_text(json.dumps(sources))
    (folder / "folds.json").write_text(json.dumps({"folds": [{"number": number} for number in (1, 2, 3)]}))
    for name in ("model.json", "metrics.jsonl", "oof.csv", "answers.safetensors"):
        (folder / name).touch()
    for name in missing:
        (folder / name).unlink()
    if finished:
        report = {"folds": [{"fold": fold} for fold in folds], "facts": facts}
        (folder / "report.json").write_text(json.dumps(report))
    return folder


def test_jobs_come_in_the_order_of_their_folds(tmp_path):
    write_job(tmp_path, 2, facts={"seconds": 9.0, "command": "y", "device": "gpu"})
    write_job(tmp_path, 1, 3)
    (tmp_path / "jobs" / ".folds_2.lock").touch()
    assert [job.folds for job in find_jobs(tmp_path)] == [(1, 3), (2,)]


@pytest.mark.parametrize(
    ("jobs", "lines"),
    [
        ([((1,), {})], ["fold 2 is missing; train it with --folds.only 2 --job.", "fold 3 is missing; train"]),
        ([((1, 2), {}), ((3,), {"finished": False})], ["jobs/folds_3: the job is not finished; enter its command"]),
        (
            [((1, 2), {}), ((3,), {"missing": ("job.json", "oof.csv")})],
            [r"folds_3: it has no oof\.csv, job\.json; copy"],
        ),
        ([((1, 2), {}), ((2, 3), {})], ["fold 2 is in folds_1_2 and in folds_2_3; remove one of these folders."]),
        ([((1, 2), {}), ((3,), {"seed": 3})], ["jobs/folds_3: it differs from folds_1_2 in seed; train one of them"]),
        (
            [((1, 2), {}), ((3,), {"sources": {"folds": "x", "labels": "y"}})],
            ["folds_3: it differs .* in labels, folds;"],
        ),
        (
            [((1, 2), {}), ((3,), {"sources": {"recordings": "x"}})],
            ["folds_3: it differs from folds_1_2 in recordings;"],
        ),
        ([((1, 2), {}), ((3,), {"facts": {"versions": {"jax": "2"}}})], [r"folds_3: it differs .* in versions\.jax;"]),
        (
            [((1,), {}), ((2,), {"finished": False}), ((1,), {"folder": "again", "seed": 1})],
            [
                "folds_2: the job is not",
                "folds_1: it differs from again in seed",
                "fold 1 is in again and in folds_1",
                "3",
            ],
        ),
    ],
    ids=["missing", "unfinished", "incomplete", "twice", "settings", "data", "recordings", "versions", "all at once"],
)
def test_jobs_that_do_not_make_one_run_are_told_a_line_each(tmp_path, jobs, lines):
    for folds, changes in jobs:
        write_job(tmp_path, *folds, **changes)
    with pytest.raises(UserError, match="its jobs do not make one run yet:\n.*" + ".*\n.*".join(lines)) as told:
        find_jobs(tmp_path)
    assert len(str(told.value).splitlines()) == 1 + len(lines)


def test_run_without_jobs_is_told(tmp_path):
    for run in (tmp_path, tmp_path / "gone"):
        with pytest.raises(UserError, match=r"there are no jobs in it; give the run folder of trainings with --folds"):
            find_jobs(run)


def answers(*probabilities):
    oof = OutOfFold(
        ("a", "b"), np.array([1, 1]), np.array([0, 1]), np.eye(2, dtype=np.float32), ("s", None), ("x", "y")
    )
    return [replace(oof, probability=np.array(one, np.float32)) for one in probabilities]


def test_answers_of_all_seeds_come_back_exactly(tmp_path):
    one, two, last, sound = answers(*np.random.default_rng(0).dirichlet((1, 1), (4, 2)))
    write_oof_csv(tmp_path / "oof.csv", one)
    save_results(tmp_path, Results([one, two], last, {"sound": sound}))
    found = read_results(tmp_path)
    for a, b in zip([*found.seeds, found.last, found.alone["sound"]], [one, two, last, sound], strict=True):
        np.testing.assert_array_equal(a.probability, b.probability)
        assert (a.ids, a.speaker, a.labels) == (b.ids, b.speaker, b.labels)
    save_results(tmp_path, Results([one], None, {}))
    assert read_results(tmp_path).last is None


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [("torn", "it is truncated"), ("other", r"it is not of the clips of oof\.csv")],
)
def test_damaged_answers_are_told(tmp_path, damage, sentence):
    one, two = answers([[0.1, 0.9], [0.5, 0.5]], [[0.2, 0.8], [0.5, 0.5]])
    write_oof_csv(tmp_path / "oof.csv", one)
    path = tmp_path / "answers.safetensors"
    save_results(tmp_path, Results([two if damage == "other" else one], None, {}))
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match=f"answers.safetensors: {sentence}"):
        read_results(tmp_path)
