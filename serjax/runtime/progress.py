"""Progress bars, for work that takes a while."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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
