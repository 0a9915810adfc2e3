"""Runs of several processes, each with CPU devices of its own: the numbers of one process, and ends that all share."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from serjax.evaluation.out_of_fold import read_oof_csv

NETWORK = ["--exp", "bilstm_kfold", "--data.corpus", "synthetic"]
ENCODER = ["--exp", "quickstart"]
SMALL = ["--name", "run", "--train.epochs", "3", "--data.max-clips", "40", "--folds.together", "yes"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("processes")


class Processes:
    """Processes of one run, and what they printed."""

    def __init__(self, folder, out, count, devices, arguments, *, own=None, scheduler=False, door="train"):
        with socket.create_server(("", 0)) as server:
            port = server.getsockname()[1]
        self.run_dir, self.processes = folder / out / "run", []
        for i in range(count):
            environment = os.environ | {
                "SERJAX_SAVE_SECONDS": "0",
                "JAX_NUM_CPU_DEVICES": str(devices),
                "JAX_PLATFORMS": "cpu",
                "SERJAX_CACHE": str(folder / "programs"),
                # Programs are compared with each other.
                "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            }
            options = []
            if scheduler:
                environment |= {
                    "SLURM_JOB_ID": str(os.getpid()),
                    "SLURM_STEP_ID": str(port),
                    "SLURM_STEP_NUM_TASKS": str(count),
                    "SLURM_TASKS_PER_NODE": str(count),
                    "SLURM_PROCID": str(i),
                    "SLURM_LOCALID": str(i),
                    "SLURM_STEP_NODELIST": "localhost",
                }
            elif count > 1:
                options = ["--hosts.coordinator", f"localhost:{port}", "--hosts.count", str(count)]
                options += ["--hosts.index", str(i), "--hosts.patience", "60"]
            command = [sys.executable, "-m", f"serjax.{door}", "--out", str(folder / out)]
            command += ["--data.cache", str(folder / "cache"), *arguments, *(own or {}).get(i, ()), *options]
            self.processes.append(
                subprocess.Popen(
                    command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder
                )
            )

    def end(self, seconds=400):
        """Return exit statuses, standard outputs and standard errors."""
        told = [process.communicate(timeout=seconds) for process in self.processes]
        return [process.returncode for process in self.processes], *zip(*told, strict=True)

    def after_an_epoch(self):
        """Wait until the state after the first epoch is saved."""
        until = time.monotonic() + 300
        while not (self.run_dir / "resume" / "1").is_dir() and time.monotonic() < until:
            assert all(process.poll() is None for process in self.processes), self.end()
            time.sleep(0.05)
        return self


def trained(*given, **settings):
    run = Processes(*given, **settings)
    statuses, out, error = run.end()
    assert statuses == [0] * len(statuses), (out, error)
    # One process speaks; gloo's own lines come from all of them.
    for text in out[1:]:
        assert not [line for line in text.splitlines() if not line.startswith("[Gloo]")]
    return run.run_dir, out[0]


def assert_equal(found, wanted):
    ours, theirs = read_oof_csv(found / "oof.csv"), read_oof_csv(wanted / "oof.csv")
    assert ours.ids == theirs.ids
    np.testing.assert_allclose(ours.probability, theirs.probability, atol=1e-5, rtol=0)
    epochs = [
        [fold["kept_epoch"] for fold in json.loads((run / "report.json").read_text())["folds"]]
        for run in (found, wanted)
    ]
    assert epochs[0] == epochs[1]


@pytest.mark.slow
def test_two_tasks_of_a_scheduler_train_as_one_process(folder):
    settings = [*NETWORK, *SMALL, "--folds.count", "2"]
    one, _ = trained(folder, "network 1", 1, 1, settings)
    two, out = trained(folder, "network 2", 2, 1, settings, scheduler=True)
    assert "devices: 2 x 1 (fold x data) of 2 processes." in out
    assert_equal(two, one)
    assert "2 x cpu of 2 processes" in (two / "README.md").read_text()


@pytest.mark.slow
def test_processes_share_the_clips_of_an_evaluation(folder, whole):
    corpus = folder / "cache" / "synthetic-speech-seed0-speakers20"
    settings = [str(whole), "--data.root", str(corpus), "--data.max-clips", "300"]
    one, two = (Processes(folder, f"scores {n}", n, 1, settings, door="evaluate") for n in (1, 2))
    for run in (one, two):
        statuses, out, error = run.end()
        assert not any(statuses), (out, error)
    ours, theirs = (read_oof_csv(run.run_dir.parent / "predictions.csv") for run in (two, one))
    assert len(ours.ids) == 300
    assert ours.ids == theirs.ids
    np.testing.assert_allclose(ours.probability, theirs.probability, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_settings_that_differ_are_named_before_training(folder):
    settings = [*NETWORK, *SMALL, "--folds.count", "2"]
    run = Processes(folder, "differ", 2, 1, settings, own={1: ["--optimizer.weight-decay", "0.5"]})
    statuses, _, error = run.end()
    assert statuses == [2, 2]
    assert "process 1 was given another optimizer.weight_decay than process 0" in error[0]
    assert "Traceback" not in "".join(error)
    assert not run.run_dir.exists()


@pytest.mark.slow
def test_folds_that_processes_cannot_share_are_refused(folder):
    settings = [*NETWORK, *SMALL, "--folds.count", "2", "--folds.only", "1", "--train.batch-size", "7"]
    statuses, _, error = Processes(folder, "uneven", 2, 1, settings).end()
    assert statuses == [2, 2]
    assert "1 fold at once in batches of 7 clips cannot be shared evenly by 2 processes" in error[0]


@pytest.fixture(scope="module")
def whole(folder):
    """A run of two folds of an encoder by one process."""
    return trained(folder, "one process", 1, 1, [*ENCODER, *SMALL, "--folds.count", "2"])[0]


@pytest.mark.slow
@pytest.mark.parametrize(("count", "devices", "mesh"), [(2, 2, "2 x 2"), (4, 1, "2 x 2")])
def test_processes_train_an_encoder_as_one_does(folder, whole, count, devices, mesh):
    settings = [*ENCODER, *SMALL, "--folds.count", "2"]
    found, out = trained(folder, f"encoder {count} {devices}", count, devices, settings)
    assert f"devices: {mesh} (fold x data) of {count} processes." in out
    assert_equal(found, whole)


@pytest.mark.slow
def test_folds_that_only_fill_up_the_mesh_change_nothing(folder):
    settings = [*NETWORK, *SMALL, "--folds.count", "3", "--train.batch-size", "7"]
    one, _ = trained(folder, "filled 1", 1, 1, settings)
    two, out = trained(folder, "filled 2", 2, 2, settings)
    assert "devices: 2 x 1 (fold x data) of 2 processes; 2 of 4 are idle" in out
    assert_equal(two, one)


@pytest.mark.slow
@pytest.mark.parametrize("more", [["--model.freeze", "encoder"], ["--folds.together", "no"]], ids=["frozen", "data"])
def test_heads_and_single_folds_are_shared_too(folder, more):
    settings = [*ENCODER, *SMALL, "--folds.count", "2", *more]
    one, _ = trained(folder, f"{more[1]} 1", 1, 1, settings)
    # The others keep an index of the clips alone, which decides no number.
    two, _ = trained(folder, f"{more[1]} 2", 2, 1, [*settings, "--data.no-keep-decoded"])
    assert any(path.stat().st_size == 128 for path in (folder / "cache" / "clips").glob("*/samples.npy"))
    assert_equal(two, one)


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_run_stopped_by_sigterm_goes_on_with_other_processes(folder, whole, before, after):
    settings, out = [*ENCODER, *SMALL, "--folds.count", "2"], f"stopped {before} {after}"
    run = Processes(folder, out, before, 1, settings).after_an_epoch()
    run.processes[-1].send_signal(signal.SIGTERM)
    statuses, _, error = run.end()
    assert statuses == [143] * before, error
    assert "the same command goes on from the last state that was saved" in error[0]
    assert_equal(trained(folder, out, after, 1, settings)[0], whole)


@pytest.mark.slow
def test_sigterm_ends_an_evaluation_of_several_processes(folder, whole):
    settings = [str(whole), "--data.root", str(folder / "cache" / "synthetic-speech-seed0-speakers20")]
    run = Processes(folder, "stopped scores", 2, 1, settings, door="evaluate")
    assert run.processes[0].stdout.readline()
    run.processes[1].send_signal(signal.SIGTERM)
    statuses, _, error = run.end(100)
    assert statuses == [143, 143], error
    assert "process 1: stopped." in error[0]
    assert not (run.run_dir.parent / "report.json").exists()


@pytest.mark.slow
def test_sigterm_while_features_are_computed_ends_all_and_they_go_on(folder, tmp_path):
    settings = [*ENCODER, *SMALL, "--folds.count", "2", "--model.freeze", "encoder", "--data.cache", str(tmp_path)]
    run = Processes(folder, "stopped features", 2, 1, settings)
    until = time.monotonic() + 300
    while not [*tmp_path.glob("features/*")] and time.monotonic() < until:
        assert all(process.poll() is None for process in run.processes), run.end()
        time.sleep(0.01)
    run.processes[0].send_signal(signal.SIGTERM)
    statuses, _, error = run.end(100)
    assert statuses == [143, 143], error
    assert "the same command goes on from the last state that was saved" in error[0]
    trained(folder, "stopped features", 2, 1, settings)


@pytest.mark.slow
def test_a_process_that_dies_ends_the_other_and_the_run_goes_on_bit_for_bit(folder):
    settings = [*ENCODER, *SMALL, "--folds.count", "2"]
    wanted, _ = trained(folder, "unbroken", 2, 1, settings)
    run = Processes(folder, "broken", 2, 1, settings).after_an_epoch()
    run.processes[1].kill()
    statuses, _, error = run.end(60)
    assert statuses[0] not in (0, -signal.SIGABRT)
    assert "another process of this run died, or the connection to it was lost" in error[0]
    found, out = trained(folder, "broken", 2, 1, settings)
    assert "Resuming after epoch" in out
    assert (found / "oof.csv").read_bytes() == (wanted / "oof.csv").read_bytes()
