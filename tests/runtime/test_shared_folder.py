"""Folders that all processes see, or some do not."""

import threading
from pathlib import Path

import pytest

from serjax.runtime import distributed
from serjax.runtime.errors import UserError
from serjax.runtime.shared_folder import blind_processes, wait_for


def test_a_process_alone_sees_what_it_writes(tmp_path):
    assert blind_processes(tmp_path / "new") == []
    assert not (tmp_path / "new").exists()


def as_process(monkeypatch, index, answers):
    """Make this process one of two; the other's answer is `no` where it must be given."""
    monkeypatch.setattr(distributed, "several", lambda: True)
    monkeypatch.setattr(distributed, "first", lambda: index == 0)
    monkeypatch.setattr(distributed, "from_first", lambda what, make: make() if index == 0 else "of-another-machine")
    monkeypatch.setattr(distributed, "exchange", lambda what, text: answers.append(text) or [text, "no"])


def test_processes_that_see_nothing_are_named_and_nothing_stays(monkeypatch, tmp_path):
    answers = []
    as_process(monkeypatch, 0, answers)
    assert blind_processes(tmp_path) == [1]
    assert answers == ["yes"]
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_sees_nothing_says_so(monkeypatch, tmp_path):
    answers = []
    as_process(monkeypatch, 1, answers)
    assert blind_processes(Path(tmp_path), within=0.0) == [0, 1]
    assert answers == ["no"]


def test_a_folder_that_cannot_be_written_is_told_with_its_option(monkeypatch, tmp_path):
    as_process(monkeypatch, 0, [])
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written .*--data\.cache DIR"):
        blind_processes(tmp_path / "file", option="--data.cache")


def test_a_file_is_waited_for(tmp_path):
    assert not wait_for(tmp_path / "never", 0.0)
    threading.Timer(0.3, (tmp_path / "late").touch).start()
    assert wait_for(tmp_path / "late")


def test_a_folder_is_looked_into_once(monkeypatch, tmp_path):
    answers = []
    as_process(monkeypatch, 0, answers)
    assert [blind_processes(tmp_path, 1.0) for _ in range(3)] == [[1]] * 3
    assert answers == ["yes"]
    blind_processes(tmp_path / "other", 1.0)
    # Whoever waits longer may see more.
    blind_processes(tmp_path, 60.0)
    assert answers == ["yes"] * 3
    # The others do as the first says, whatever they remember.
    as_process(monkeypatch, 1, answers)
    blind_processes(tmp_path, 0.0)
    monkeypatch.setattr(distributed, "from_first", lambda what, make: [1])
    assert blind_processes(tmp_path / "new") == [1]
    assert answers == ["yes"] * 3 + ["no"]
