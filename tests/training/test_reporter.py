"""Progress of training: a line and a row of metrics when an epoch ends."""

import logging

import pytest

from serjax.training.metric_log import MetricLog, read_history
from serjax.training.reporter import Reporter


def row(fold, score):
    return {"fold": fold, "epoch": 1, "train_loss": 1.0, "validation_loss": 2.0, "validation_macro_f1": score}


@pytest.fixture
def reporter(tmp_path, caplog):
    caplog.set_level(logging.INFO, "serjax")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with Reporter([MetricLog(tmp_path / "a"), MetricLog(tmp_path / "b")], 30) as reporter:
        yield reporter


def test_end_of_an_epoch_is_a_line_of_means_and_a_row_in_the_log_of_each_run(reporter, caplog, tmp_path):
    tick = reporter.begin(1, 8)
    tick(8)
    reporter.end(1, [(0, row(1, 0.2)), (1, row(2, 0.6))], [])
    assert "epoch   1/30  loss 1.000  validation loss 2.000  macro-F1 0.400 (0.200 to 0.600)  2 training" in caplog.text
    for metrics in reporter._metrics:
        metrics.close()
    assert [[one["fold"] for one in read_history(tmp_path / name)] for name in ("a", "b")] == [[1], [2]]


def test_notes_are_warnings_and_an_epoch_without_rows_has_no_line(reporter, caplog):
    reporter.begin(1, 8)
    reporter.end(1, [], ["fold 1: that rate is given up."])
    assert [(one.levelname, one.message) for one in caplog.records] == [("WARNING", "fold 1: that rate is given up.")]
