"""Markdown of the pages in a run folder."""

from collections.abc import Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column is aligned to the left and the others to the right; bars become slashes."""
    aligned = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in [headings, aligned, *rows])


def bullets(lines: Sequence[str]) -> str:
    """Return a list of lines."""
    return "\n".join(f"- {line}" for line in lines)
