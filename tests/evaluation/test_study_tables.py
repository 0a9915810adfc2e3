"""The tables of a study on a terminal."""

import io

from little_report import make_report
from rich.console import Console

from serjax.evaluation.study_tables import study_tables


def test_tables_have_scores_and_notes():
    console = Console(width=140, file=io.StringIO())
    console.print(study_tables(make_report(failed=[("a", "x")])))
    text = console.file.getvalue()
    assert "macro-F1" in text
    assert "**" not in text
    assert "1 of 6 cells have no scores" in text
    assert "It | failed & fell." in text
