"""Tables of tasks: within 100 columns, shares in % and other scores as numbers."""

import pytest
from answered_tasks import AVD, LABELS, SOFT, answers
from rich.console import Console

from serjax.evaluation.task_report import task_section
from serjax.evaluation.task_tables import shown, target_tables


@pytest.mark.parametrize("task", [AVD, SOFT, LABELS])
def test_tables_hold_all_scores(task):
    section = task_section([answers(task)], 0)
    report = {"experiment": {"name": "run"}, "tasks": [section], "notes": ["A note."]}
    console = Console(width=80, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    console.print(target_tables(report))
    console.file.close()
    text = console.export_text()
    assert f"run, {task.name} ({task.kind})" in text
    assert "out-of-fold" in text
    assert "A note." in text
    assert "…" not in text
    assert all(name in text for name in task.outputs)


def test_scores_are_shown_by_their_kind():
    assert shown("ua", 0.5) == "50.0"
    assert shown("ccc", 0.61234) == "0.612"
    assert shown("ccc", None) == "-"
