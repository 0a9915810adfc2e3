"""Progress bars, for work that takes a while."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import control
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

# rich takes no more than a bell and the like out of texts; an escape in a file's name would reach the terminal.
control._CONTROL_STRIP_TRANSLATE.update({code: None for code in (*range(9), *range(14, 32), *range(127, 160))})

console = Console()
"""Standard output. Bars and what a command line prints share it, so that lines scroll past above a bar."""

_shown = False


def show_progress(shown: bool = True) -> None:
    """Show bars from now on, where standard output is a terminal; a library's caller sees none unless it asks."""
    global _shown
    _shown = shown


def progress_bar(what: str) -> Progress:
    """Return a bar that counts `what`, shows its tasks' `rate`, and goes when it ends."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{what} {{task.fields[rate]}}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (_shown and console.is_terminal),
    )


@contextmanager
def recording_bar(shown: bool = True) -> Iterator[Callable[[str, float, float | None], None]]:
    """Show on standard error how far a recording is answered, and give the function that is told of it.

    It takes the recording's name, how many seconds are done, and how long it is, None where that is not known. The bar
    comes with the first call and goes when the block ends, or when the recording is done.

    Args:
        shown: False for no bar; there is none either where standard error is no terminal.
    """
    errors = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[done]}"),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        # What is printed on standard output is the answer, and no line above the bar.
        redirect_stdout=False,
        disable=not (shown and errors.is_terminal),
    )
    begun: dict[str, tuple[TaskID, float]] = {}

    def tell(name: str, done: float, total: float | None) -> None:
        if name not in begun:
            for task, _ in begun.values():
                bar.remove_task(task)
            begun.clear()
            begun[name] = bar.add_task(escape(name), total=total, done=""), time.monotonic()
            bar.start()
        task, start = begun[name]
        speed = done / max(time.monotonic() - start, 1e-3)
        whole = "" if total is None else f" of {_clock(total)}"
        bar.update(task, completed=done, done=f"{_clock(done)}{whole}, {speed:.0f} x real time")

    try:
        yield tell
    finally:
        bar.stop()


def _clock(seconds: float) -> str:
    """Return seconds as 1:02:03."""
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"
