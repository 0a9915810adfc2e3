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
