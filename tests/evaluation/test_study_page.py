"""The page of a study in all its forms: the same numbers, nothing loaded, special characters kept."""

import base64
import csv
import io
import json
import re

import pytest
from little_report import make_report

from serjax.evaluation.metrics import METRICS
from serjax.evaluation.study_page import page, page_html, scores_csv, sections, tables_latex, write_study
from serjax.evaluation.study_report import score_of

PUBLISHED = {
    "source": "table 4.",
    "scores": {"x": {"a": {"ua": 54.33, "wa": 55.4, "macro_f1": 53.99}}},
    "others": {"x": {"wavlm": {"ua": 72.0, "wa": 72.22, "macro_f1": 71.42}}},
}


def test_all_files_are_written_and_the_html_needs_no_other(tmp_path):
    report = make_report("cross")
    names = write_study(tmp_path, report)
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    text = (tmp_path / "index.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', text)
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert [base64.b64decode(one) for one in pictures] == [
        (tmp_path / name).read_bytes() for name in ("scores.png", "ranks.png")
    ]
    assert json.loads((tmp_path / "report.json").read_text()) == report


def test_a_study_without_scores_has_a_page_without_pictures(tmp_path):
    (tmp_path / "scores.png").touch()
    report = make_report(encoders=("a",), corpora=("x",), failed=[("a", "x")])
    write_study(tmp_path, report)
    assert not (tmp_path / "scores.png").exists()
    assert "scores.png" not in (tmp_path / "README.md").read_text()


def test_the_best_of_a_column_is_marked_in_each_form():
    report = make_report()
    best = f"{100 * score_of(report, 'a', 'x', 'x')['scores']['ua']['score']:.1f}"
    heading, _, headings, rows = sections(report)[0]
    assert (heading, headings) == ("UA", ["encoder", "x", "y"])
    assert rows[0][1].startswith(f"**{best}** (")
    assert not rows[1][1].startswith("**")
    assert f"<b>{best}</b> <small>(" in page_html(report, {"ranks.png": b""})
    assert rf"\textbf{{{best}}} (" in tables_latex(report)
    assert f"**{best}** (" in page(report, [])


def test_csv_has_a_row_a_cell_and_metric():
    report = make_report("cross", failed=[("b", "y")])
    rows = list(csv.DictReader(io.StringIO(scores_csv(report))))
    known = [row for row in rows if not row["sentence"]]
    assert len(known) == len(METRICS) * 10
    first = known[0]
    expected = score_of(report, "a", "x", "x")["scores"]["wa"]
    assert (first["encoder"], first["train"], first["test"], first["metric"]) == ("a", "x", "x", "wa")
    assert float(first["score"]) == pytest.approx(expected["score"], abs=1e-6)
    one, two = expected["each_seed"]
    assert float(first["std_over_seeds"]) == pytest.approx(abs(one - two) / 2**0.5, abs=1e-6)
    assert {row["sentence"] for row in rows if row["sentence"]} == {"It | failed & fell."}


def test_sentences_of_failed_cells_keep_their_characters():
    report = make_report(encoders=("a_1", "b"), failed=[("a_1", "x")])
    assert "It | failed &amp; fell." in page_html(report, {"ranks.png": b"", "scores.png": b""})
    assert "It / failed & fell." in page(report, [])
    assert r"a\_1" in tables_latex(report)


def test_published_scores_stand_beside_ours():
    report = make_report(published=PUBLISHED)
    heading, text, headings, rows = next(one for one in sections(report) if "published" in one[0])
    ours = score_of(report, "a", "x", "x")["scores"]["ua"]["mean_over_folds"]
    place = headings.index("UA published")
    assert heading == "x, beside what was published"
    assert "table 4." in text
    assert rows[0][place : place + 2] == ["54.33", f"{100 * ours:.1f}"]
    assert rows[1][place] == "-"
    assert rows[-1][0] == "wavlm"
    assert rows[-1][place : place + 2] == ["72.00", "-"]
    assert not any(one[0].startswith("y, beside") for one in sections(report))


def test_means_within_and_across_are_over_all_corpora_or_none():
    report = make_report("cross", failed=[("b", "y")])
    _, _, headings, rows = next(one for one in sections(report) if one[0] == "Means over corpora")
    cells = [score_of(report, "a", one, one)["scores"]["ua"]["score"] for one in ("x", "y")]
    assert rows[0][headings.index("UA within")] == f"{100 * sum(cells) / 2:.1f}"
    assert rows[1][headings.index("UA within")] == "-"
