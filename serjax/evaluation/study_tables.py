"""The tables of a study for a terminal."""

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from serjax.evaluation.report import Report
from serjax.evaluation.study_page import sections


def study_tables(report: Report) -> Group:
    """Return a study's tables, and what is to be said of them."""
    parts: list[Table | Text] = []
    for heading, text, headings, rows in sections(report):
        table = Table(title=Text(heading), box=box.SIMPLE_HEAD, caption=Text(text) if text else None)
        for number, name in enumerate(headings):
            table.add_column(Text(name), justify="left" if number == 0 else "right")
        for row in rows:
            table.add_row(*(_cell(cell) for cell in row))
        parts.append(table)
    return Group(*parts, *(Text(f"- {note}") for note in report["notes"]))


def _cell(text: str) -> Text:
    if not text.startswith("**"):
        return Text(text)
    score, _, rest = text[2:].partition("**")
    return Text.assemble((score, "bold"), rest)
