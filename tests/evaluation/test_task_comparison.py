"""Two runs with other targets: matched by their clips, and refused where nothing is in common."""

import json

import pytest
from answered_tasks import AVD, SOFT, answers

from serjax.evaluation.task_answers import write_task_csv
from serjax.evaluation.task_comparison import compare_tasks, read_tasks, rows
from serjax.runtime.errors import UserError


def write(folder, *tasks):
    folder.mkdir()
    sections = []
    for own in tasks:
        task = own.task
        sections.append({"name": task.name, "kind": task.kind, "outputs": task.outputs, "ranges": task.ranges})
        write_task_csv(folder / f"oof_{task.name}.csv", own)
    (folder / "report.json").write_text(json.dumps({"tasks": sections}))


def test_common_clips_are_compared(tmp_path):
    write(tmp_path / "a", answers(AVD, 0.1), answers(SOFT))
    write(tmp_path / "b", rows(answers(AVD, 0.8), range(40, 8, -1)))
    ours, theirs = read_tasks(tmp_path / "a"), read_tasks(tmp_path / "b")
    ((name, clips, first, second, difference),) = compare_tasks(ours, theirs, 0)
    assert (name, clips) == ("avd", 32)
    both = [one["scores"]["ccc"]["score"] for one in (first, second)]
    assert difference["ccc"]["score"] == pytest.approx(both[0] - both[1])
    assert difference["ccc"]["low"] > 0


def test_nothing_in_common_is_said(tmp_path):
    (tmp_path / "none").mkdir()
    assert read_tasks(tmp_path / "none") is None
    with pytest.raises(UserError, match="no task in common"):
        compare_tasks({"avd": answers(AVD)}, {"emotion": answers(SOFT)}, 0)
    with pytest.raises(UserError, match="tested no clip in common"):
        compare_tasks({"avd": rows(answers(AVD), range(4))}, {"avd": rows(answers(AVD), range(4, 8))}, 0)
