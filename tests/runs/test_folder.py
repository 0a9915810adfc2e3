"""A run's folder: claimed by one process; new, resumed, finished, or of another experiment."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from serjax.config.experiment import Experiment
from serjax.config.pretraining import PretrainExperiment, StartConfig
from serjax.evaluation.config import CardConfig
from serjax.runs.folder import RESUME, begin_run, begun_at_once, claim, end_run, find_run, is_finished
from serjax.runtime.constraints import from_json
from serjax.runtime.errors import UserError
from serjax.training.config import MeshConfig, OptimizerConfig, TrainConfig


@pytest.fixture(params=["training", "pretraining"])
def experiment(request, tmp_path):
    kind = Experiment if request.param == "training" else PretrainExperiment
    options = {} if kind is Experiment else {"model": StartConfig(size="tiny")}
    return kind("run", out=str(tmp_path / "runs"), **options)


def save_epoch(experiment):
    (experiment.run_dir / RESUME / "1").mkdir(parents=True)


def finish(experiment):
    name = "report.json" if isinstance(experiment, Experiment) else "pretrained.json"
    (experiment.run_dir / name).write_text("{}")


def test_a_run_keeps_how_many_folds_train_at_once_and_says_when_devices_change(tmp_path, caplog):
    caplog.set_level("INFO")
    experiment = replace(Experiment("run"), out=str(tmp_path))
    assert begun_at_once(experiment) is None
    begin_run(experiment, False, "made from", "devices: 1 x 1.", 2)
    assert begun_at_once(experiment) == 2
    assert begin_run(experiment, True, "made from", "devices: 1 x 1.", 2)
    assert not caplog.messages
    assert begin_run(experiment, True, "made from", "devices: 2 x 1.", 2)
    assert "This run was begun on devices: 1 x 1." in caplog.messages[0]
    begin_run(replace(experiment, overwrite=True), False, "made from")
    assert begun_at_once(experiment) is None


def test_model_card_and_upload_decide_no_number(tmp_path):
    experiment = Experiment("run", out=str(tmp_path))
    begin_run(experiment, False, "made from")
    save_epoch(experiment)
    other = replace(experiment, card=CardConfig(license="mit", language=("de",)), push_to_hub="me/x")
    assert find_run(other)
    finish(experiment)
    assert is_finished(other)
    with pytest.raises(UserError, match="another experiment was run here, with other seed;"):
        find_run(replace(other, seed=1))


def constant(tmp_path, epochs, **changes):
    schedule = OptimizerConfig(schedule="constant")
    return Experiment("run", out=str(tmp_path), optimizer=schedule, train=TrainConfig(epochs=epochs), **changes)


def log_epochs(experiment, *last):
    rows = [{"fold": fold, "epoch": epoch} for fold, most in enumerate(last, 1) for epoch in range(1, most + 1)]
    (experiment.run_dir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_finished_run_at_a_constant_rate_is_extended(tmp_path, caplog):
    caplog.set_level("INFO")
    short, longer = constant(tmp_path, 2), constant(tmp_path, 5)
    begin_run(short, False, "made from", "devices.", 2)
    for epoch in (1, 2):
        (short.run_dir / RESUME / "trials_1" / str(epoch)).mkdir(parents=True)
    log_epochs(short, 2, 1)
    finish(short)
    end_run(short)
    # The last states stay, and what they were made from.
    assert [path.name for path in (short.run_dir / RESUME / "trials_1").iterdir()] == ["2"]
    with pytest.raises(UserError, match=r"is finished, .* choose a larger --train\.epochs to extend it, another"):
        find_run(short)
    assert find_run(longer)
    assert begun_at_once(longer) == 2
    assert begin_run(longer, True, "made from", "devices.", 2)
    assert "The run is extended to 5 epochs." in caplog.text
    assert not is_finished(longer)
    assert find_run(longer)


def test_run_that_cannot_be_extended_says_why(tmp_path):
    planned = Experiment("run", out=str(tmp_path), train=TrainConfig(epochs=2))
    begin_run(planned, False, "made from")
    save_epoch(planned)
    finish(planned)
    with pytest.raises(UserError, match=r"optimizer\.schedule onecycle is laid out over them, so that 5 epochs are"):
        find_run(replace(planned, train=TrainConfig(epochs=5)))

    short = constant(tmp_path / "other", 4)
    begin_run(short, False, "made from")
    log_epochs(short, 4, 3)
    finish(short)
    longer = constant(tmp_path / "other", 9)
    (short.run_dir / RESUME / "4").mkdir(parents=True)
    with pytest.raises(UserError, match="4 epochs are trained already, 3 are asked for"):
        find_run(constant(tmp_path / "other", 3))
    log_epochs(short, 2, 3)
    with pytest.raises(UserError, match=r"every fold has stopped by train\.patience before epoch 4"):
        find_run(longer)
    log_epochs(short, 4, 3)
    (short.run_dir / RESUME / "4").rmdir()
    (short.run_dir / RESUME).rmdir()
    with pytest.raises(UserError, match="is not there, as in runs that were gathered from jobs or searched"):
        find_run(longer)


def test_two_claims_of_one_run_exclude_each_other(experiment):
    with claim(experiment), pytest.raises(UserError, match="another process is training this run"), claim(experiment):
        pytest.fail("claimed twice")
    with claim(experiment):
        pass


def test_claim_excludes_other_processes(tmp_path):
    code = (
        "import sys; from serjax.config.experiment import Experiment; from serjax.runs.folder import claim\n"
        "with claim(Experiment('run', out=sys.argv[1])): pass"
    )
    with claim(Experiment("run", out=str(tmp_path))):
        done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "another process is training this run; wait for it, or give a --name." in done.stderr


def test_runs_of_other_names_are_claimed_side_by_side(experiment):
    with claim(experiment), claim(replace(experiment, name="other")):
        pass


def test_life_of_a_run(experiment):
    assert not find_run(experiment)
    assert not experiment.run_dir.exists()
    begin_run(experiment, False, "made from a")
    assert not find_run(experiment)  # no epoch is saved yet
    save_epoch(experiment)
    assert find_run(experiment)
    begin_run(experiment, True, "made from a")
    assert (experiment.run_dir / RESUME / "1").is_dir()
    assert not is_finished(experiment)
    finish(experiment)
    end_run(experiment)
    assert is_finished(experiment)
    assert not (experiment.run_dir / RESUME).exists()
    with pytest.raises(UserError, match=r"this run is finished, its results are in README\.md"):
        find_run(experiment)


def test_experiment_json_comes_back_without_the_place(experiment):
    begin_run(experiment, False, "")
    text = (experiment.run_dir / "experiment.json").read_text()
    stored = from_json(type(experiment), text, "experiment.json")
    assert replace(stored, out=experiment.out) == experiment
    assert stored.out == "checkpoints"


def test_a_run_goes_on_with_parameters_split_otherwise(experiment):
    begin_run(replace(experiment, mesh=MeshConfig(shard=4)), False, "")
    save_epoch(experiment)
    assert find_run(experiment)


def test_a_run_goes_on_with_decoded_clips_kept_or_not(experiment):
    begin_run(experiment, False, "")
    save_epoch(experiment)
    assert find_run(replace(experiment, data=replace(experiment.data, keep_decoded=False)))


def test_moved_run_is_still_the_same_experiment(experiment, tmp_path):
    begin_run(experiment, False, "")
    save_epoch(experiment)
    experiment.run_dir.parent.rename(tmp_path / "moved")
    assert find_run(replace(experiment, out=str(tmp_path / "moved")))


def test_another_experiment_is_refused_with_the_fields_that_differ(experiment):
    begin_run(experiment, False, "")
    other = replace(experiment, seed=3, data=replace(experiment.data, max_seconds=1.0))
    assert not find_run(other)  # nothing is lost before the first epoch
    save_epoch(experiment)
    with pytest.raises(UserError, match=r"with other data\.max_seconds, seed; choose another --name, or --overwrite"):
        find_run(other)
    assert not find_run(replace(other, overwrite=True))
    assert is_finished(other) is False


def test_changed_recordings_stop_a_run_that_was_begun(experiment):
    begin_run(experiment, False, "made from a")
    save_epoch(experiment)
    with pytest.raises(UserError, match="its recordings, folds or pretrained weights changed"):
        begin_run(experiment, True, "made from b")
    assert (experiment.run_dir / RESUME / "1").is_dir()
    begin_run(replace(experiment, overwrite=True), True, "made from b")
    assert not (experiment.run_dir / RESUME).exists()


def test_overwrite_begins_a_finished_run_anew(experiment):
    begin_run(experiment, False, "")
    finish(experiment)
    again = replace(experiment, overwrite=True)
    assert not find_run(again)
    assert is_finished(again)  # until the new run begins
    begin_run(again, False, "")
    assert not is_finished(again)
    assert {path.name for path in experiment.run_dir.iterdir()} == {"experiment.json", "made_from.txt"}


def test_folder_of_something_else_is_refused(experiment):
    experiment.run_dir.mkdir(parents=True)
    assert not find_run(experiment)
    (experiment.run_dir / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="the folder is not empty and holds no run"):
        find_run(replace(experiment, overwrite=True))


def test_damaged_experiment_json_is_told(experiment):
    begin_run(experiment, False, "")
    save_epoch(experiment)
    (experiment.run_dir / "experiment.json").write_text("{")
    with pytest.raises(UserError, match=r"with other contents \(experiment\.json is damaged\)"):
        find_run(experiment)


def test_settings_that_this_version_does_not_know_count_as_a_difference(experiment):
    begin_run(experiment, False, "")
    save_epoch(experiment)
    path = experiment.run_dir / "experiment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"old": 1}))
    with pytest.raises(UserError, match="with other old;"):
        find_run(experiment)
