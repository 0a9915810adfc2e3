"""metrics.jsonl survives kills and resumes, and TensorBoard's events say the same."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboardX.proto.event_pb2 import Event

from serjax.runtime.errors import UserError
from serjax.training.metric_log import MetricLog, read_history


def row(fold, epoch, **values):
    return {"fold": fold, "epoch": epoch, "train_loss": 1 / epoch, "validation_macro_f1": 0.1 * fold, **values}


def events(folder):
    """Return (step, tag, value) of every scalar in a sub-run, from the records' bytes: length, crc, data, crc."""
    found = []
    for path in folder.glob("events.out.tfevents.*"):
        data = path.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + length])
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            data = data[16 + length :]
    return found


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = [row(fold, epoch, seconds=0.25) for epoch in (1, 2) for fold in (1, 2)]
    with MetricLog(tmp_path) as log:
        log.write(rows[:2])
        assert read_history(tmp_path) == rows[:2], "a row must be readable at once"
        log.write(rows[2:])
    assert read_history(tmp_path) == rows


def test_no_log_is_no_history(tmp_path):
    assert read_history(tmp_path) == []


@settings(max_examples=25)
@given(epochs=st.integers(1, 5), restored=st.integers(0, 6), torn=st.integers(0, 60))
def test_resume_keeps_exactly_the_restored_epochs(tmp_path_factory, epochs, restored, torn):
    folder = tmp_path_factory.mktemp("run")
    rows = [row(fold, epoch) for epoch in range(1, epochs + 1) for fold in (1, 2, 3)]
    with MetricLog(folder) as log:
        log.write(rows)
    path = folder / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:torn])  # what a kill in the middle of a line leaves
    later = [row(fold, restored + 1, again=True) for fold in (1, 2, 3)]
    with MetricLog(folder, resume_after=restored) as log:
        log.write(later)
    kept = [entry for entry in rows if entry["epoch"] <= restored]
    assert read_history(folder) == kept + later
    told = {(step, tag) for step, tag, _ in events(folder / "tensorboard" / "fold_2")}
    assert {step for step, _ in told} == {*range(1, min(epochs, restored) + 1), restored + 1}


def test_tensorboard_mirrors_every_value_in_a_run_a_fold(tmp_path):
    with MetricLog(tmp_path) as log:
        log.write([row(1, 1, lr=0.5), row(2, 1), row(1, 2)])
    assert events(tmp_path / "tensorboard" / "fold_1") == [
        (1, "train/loss", 1.0),
        (1, "validation/macro_f1", pytest.approx(0.1)),
        (1, "train/lr", 0.5),
        (2, "train/loss", 0.5),
        (2, "validation/macro_f1", pytest.approx(0.1)),
    ]
    assert {tag for _, tag, _ in events(tmp_path / "tensorboard" / "fold_2")} == {"train/loss", "validation/macro_f1"}


def test_seeds_and_learning_rates_are_told_apart(tmp_path):
    grid = [row(1, 1, seed=seed, learning_rate=rate) for seed in (0, 1) for rate in (0.001, 0.01)]
    with MetricLog(tmp_path) as log:
        log.write(grid)
    assert read_history(tmp_path) == grid
    tags = [tag for _, tag, _ in events(tmp_path / "tensorboard" / "fold_1")]
    assert len(set(tags)) == len(tags) == 8
    assert "validation/macro_f1/seed_1/learning_rate_0.01" in tags


def test_array_scalars_are_numbers_and_what_is_not_finite_is_null(tmp_path):
    with MetricLog(tmp_path) as log:
        log.write([{"fold": np.int64(1), "epoch": 1, "train_loss": np.float32("nan"), "lr": np.float32(0.5)}])
    assert read_history(tmp_path) == [{"fold": 1, "epoch": 1, "train_loss": None, "lr": 0.5}]
    assert [tag for _, tag, _ in events(tmp_path / "tensorboard" / "fold_1")] == ["train/lr"]


@pytest.mark.parametrize("line", ["{", "[]", "3", '{"fold": 1}', '{"fold": 1, "epoch": "two"}', ""])
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(json.dumps(row(1, 1)) + f"\n{line}\n" + json.dumps(row(1, 2)) + "\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2: "):
        read_history(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full to write to")
def test_a_full_disk_is_a_sentence(tmp_path):
    log = MetricLog(tmp_path)
    with Path("/dev/full").open("a", encoding="utf-8") as full:
        log._file = log._open_files.enter_context(full)
        for attempt in (lambda: log.write([row(1, 1)]), log.close):
            with pytest.raises(UserError, match=r"metrics\.jsonl: the disk is full"):
                attempt()


def test_no_thread_is_left_to_hang_on(tmp_path):
    before = set(threading.enumerate())
    log = MetricLog(tmp_path)
    log.write([row(1, 1)])
    assert set(threading.enumerate()) == before
    log.close()
