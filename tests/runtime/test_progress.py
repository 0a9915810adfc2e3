"""Progress bars: on a terminal where a command line asks for them, nowhere else."""

import io

import pytest
from rich.console import Console

from serjax.runtime import progress


@pytest.fixture
def shown(monkeypatch):
    """A function that runs a bar and returns what it printed."""

    def run(terminal, asked):
        monkeypatch.setattr(progress, "_shown", False)
        console = Console(file=io.StringIO(), force_terminal=terminal, width=120, color_system=None)
        monkeypatch.setattr(progress, "console", console)
        if asked:
            progress.show_progress()
        with progress.progress_bar("clips") as bar:
            task = bar.add_task("Decoding", total=3, rate="7 clips/s")
            bar.advance(task, 2)
            bar.refresh()
        return console.file.getvalue()

    return run


def test_terminal_shows_task_count_and_rate(shown):
    text = shown(terminal=True, asked=True)
    assert "Decoding" in text
    assert "2/3" in text
    assert "clips 7 clips/s" in text


@pytest.mark.parametrize(("terminal", "asked"), [(False, True), (True, False)])
def test_files_and_callers_of_the_library_get_no_bar(shown, terminal, asked):
    assert shown(terminal, asked).strip() == ""


@pytest.fixture
def told(monkeypatch):
    """A function that tells a bar of recordings and returns what it printed."""

    def run(terminal, shown=True, calls=(("a[b].wav", 65.0, 3_600.0),)):
        errors = Console(file=io.StringIO(), force_terminal=terminal, width=120, color_system=None)
        monkeypatch.setattr(progress, "Console", lambda **_: errors)
        with progress.recording_bar(shown) as tell:
            for call in calls:
                tell(*call)
        return errors.file.getvalue()

    return run


def test_a_recording_shows_its_seconds_and_its_speed(told):
    text = told(True)
    assert "a[b].wav" in text
    assert "0:01:05 of 1:00:00" in text
    assert "x real time" in text


def test_of_two_recordings_the_one_that_is_read_is_shown(told):
    text = told(True, calls=(("a.wav", 5.0, 10.0), ("b.wav", 1.0, None)))
    assert text.index("a.wav") < text.index("b.wav")
    assert "a.wav" not in text[text.index("b.wav") :]
    assert "0:00:01, " in text


@pytest.mark.parametrize(("terminal", "shown"), [(False, True), (True, False)])
def test_no_bar_of_a_recording_is_shown_elsewhere(told, terminal, shown):
    assert told(terminal, shown).strip() == ""


def test_no_bar_is_shown_where_nothing_takes_long(told):
    assert told(True, calls=()).strip() == ""
