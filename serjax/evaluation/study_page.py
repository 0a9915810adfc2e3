"""The page of a study: Markdown, one HTML file that needs no other, LaTeX and CSV."""

import base64
import csv
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serjax.evaluation.comparison_files import LATEX
from serjax.evaluation.markdown import bullets, table
from serjax.evaluation.metrics import METRICS
from serjax.evaluation.plots import save_png
from serjax.evaluation.report import LEVEL, Report
from serjax.evaluation.study_plots import heat_figure, ranks_figure
from serjax.evaluation.study_report import score_of
from serjax.evaluation.tables import SCORES, percent
from serjax.runtime.disk import write_text

_TITLES = {
    "emobox": "EmoBox's set-up: a head on each frame of the last hidden state, EmoBox's folds",
    "speaker": "speaker-disjoint folds: a probe on the mean frame of all layers",
    "cross": "across corpora: a probe on the mean frame of all layers, trained on the row and tested on the column",
}
Section = tuple[str, str, list[str], list[list[str]]]
"""Heading, a sentence below it, headings of columns, and rows of text."""


def write_study(folder: Path, report: Report) -> list[str]:
    """Write README.md, index.html, the pictures, scores.csv, tables.tex and, last, report.json; return their names.

    Args:
        folder: of the study, which exists.
        report: what `study_report` returned.

    Raises:
        UserError: the disk is full, or the folder cannot be written to.
    """
    pictures = {}
    if any(cell["scores"] for cell in report["cells"]):
        pictures["scores.png"] = heat_figure(report)
    if report["ranks"] is not None:
        pictures["ranks.png"] = ranks_figure(report)
    for name, figure in pictures.items():
        save_png(folder / name, figure)
    for name in {"scores.png", "ranks.png"} - set(pictures):
        (folder / name).unlink(missing_ok=True)
    write_text(folder / "scores.csv", scores_csv(report))
    write_text(folder / "tables.tex", tables_latex(report))
    write_text(folder / "README.md", page(report, list(pictures)))
    write_text(folder / "index.html", page_html(report, {name: (folder / name).read_bytes() for name in pictures}))
    write_text(folder / "report.json", json.dumps(report, indent=2, allow_nan=False) + "\n")
    return ["README.md", "index.html", *pictures, "scores.csv", "tables.tex", "report.json"]


def sections(report: Report) -> list[Section]:
    """Return the tables of a study, with scores in %; the best of a column is marked."""
    main = report["metric"]
    if report["study"]["protocol"] == "cross":
        found = [*_across(report, main), _means(report)]
    else:
        found = [_matrix(report, metric) for metric in (main, *(other for other in METRICS if other != main))]
    if report["published"] is not None:
        found += _beside(report)
    failed = [cell for cell in report["cells"] if cell["scores"] is None]
    if failed:
        rows = [[cell["encoder"], cell["train"], cell["test"], cell["sentence"]] for cell in failed]
        found.append(("Cells without scores", "", ["encoder", "trained on", "tested on", "why"], rows))
    return found


def _matrix(report: Report, metric: str) -> Section:
    best = {}
    for name in report["corpora"]:
        known = [_score(report, encoder, name, name, metric) for encoder in report["encoders"]]
        best[name] = max((score for score in known if score is not None), default=None)
    rows = []
    for encoder in report["encoders"]:
        row = [encoder]
        for name in report["corpora"]:
            cell = score_of(report, encoder, name, name)
            row.append(_shown(cell, metric, marked=_score(report, encoder, name, name, metric) == best[name]))
        rows.append(row)
    text = _interval_sentence(report) if metric == report["metric"] else ""
    return (SCORES[metric], text, ["encoder", *report["corpora"]], rows)


def _across(report: Report, metric: str) -> list[Section]:
    made: list[Section] = []
    for encoder in report["encoders"]:
        rows = [
            [
                train,
                *(_shown(score_of(report, encoder, train, test), metric, marked=False) for test in report["corpora"]),
            ]
            for train in report["corpora"]
        ]
        made.append((f"{encoder}: {SCORES[metric]}", "", ["trained on", *report["corpora"]], rows))
    made[0] = (made[0][0], f"Rows: trained on. Columns: tested on. {_interval_sentence(report)}", *made[0][2:])
    return made


def _means(report: Report) -> Section:
    """Return the mean scores of each encoder within corpora and across."""
    rows = []
    for encoder in report["encoders"]:
        row = [encoder]
        for within in (True, False):
            cells = [c for c in report["cells"] if c["encoder"] == encoder and (c["train"] == c["test"]) == within]
            for metric in METRICS:
                known = [cell["scores"][metric]["score"] for cell in cells if cell["scores"]]
                row.append(percent(sum(known) / len(known)) if len(known) == len(cells) else "-")
        rows.append(row)
    heads = [f"{SCORES[metric]} {where}" for where in ("within", "across") for metric in METRICS]
    return ("Means over corpora", "Within a corpus, and across corpora.", ["encoder", *heads], rows)


def _beside(report: Report) -> list[Section]:
    """Return a table a corpus: published scores, and ours as means over folds, as a benchmark gives them."""
    published = report["published"]
    made: list[Section] = []
    for name in report["corpora"]:
        if name not in published["scores"]:
            continue
        rows = []
        for encoder in report["encoders"]:
            theirs = published["scores"][name].get(encoder)
            ours = score_of(report, encoder, name, name)["scores"]
            row = [encoder]
            for metric in METRICS:
                row.append("-" if theirs is None else f"{theirs[metric]:.2f}")
                row.append("-" if ours is None else percent(ours[metric]["mean_over_folds"]))
            rows.append(row)
        for encoder, theirs in published["others"][name].items():
            rows.append([encoder, *(cell for metric in METRICS for cell in (f"{theirs[metric]:.2f}", "-"))])
        heads = [f"{SCORES[metric]} {who}" for metric in METRICS for who in ("published", "here")]
        over = "folds and seeds" if report["study"]["seeds"] > 1 else "folds"
        text = f"Published: {published['source']} Here: the mean over {over}."
        made.append((f"{name}, beside what was published", text, ["encoder", *heads], rows))
    return made


def _score(report: Report, encoder: str, train: str, test: str, metric: str) -> float | None:
    found = score_of(report, encoder, train, test)["scores"]
    return None if found is None else found[metric]["score"]


def _shown(cell: Mapping[str, Any], metric: str, *, marked: bool) -> str:
    if cell["scores"] is None:
        return "failed"
    one = cell["scores"][metric]
    score = f"**{percent(one['score'])}**" if marked else percent(one["score"])
    return f"{score} ({percent(one['low'])} to {percent(one['high'])})"


def _interval_sentence(report: Report) -> str:
    seeds = report["study"]["seeds"]
    mean = f"The probabilities of {seeds} seeds are averaged. " if seeds > 1 else ""
    return f"{mean}In brackets the {100 * LEVEL:g} % interval of a bootstrap that draws speakers where they are known."


def _heading(report: Report) -> str:
    study = report["study"]
    rates = study["learning_rates"]
    tried = (
        f"{len(rates)} learning rates, of which validation chooses" if len(rates) > 1 else f"learning rate {rates[0]:g}"
    )
    encoders, corpora = len(report["encoders"]), len(report["corpora"])
    return (
        f"{encoders} encoder{'s' * (encoders > 1)} on {corpora} {'corpora' if corpora > 1 else 'corpus'}; "
        f"{_TITLES[study['protocol']]}. "
        f"Encoders are frozen; seeds: {study['seeds']}, {tried}, at most {study['epochs']} epochs of batches of "
        f"{study['batch_size']}."
    )


def _ranks_sentence(report: Report) -> str:
    ranks = report["ranks"]
    best = ", ".join(f"{name} {ranks['mean'][name]:.2f}" for name in ranks["order"])
    text = f"Mean ranks by {SCORES[report['metric']]} over {len(ranks['over'])} columns: {best}."
    if ranks["statistic"] is not None:
        text += f" Friedman's chi-square is {ranks['statistic']:.2f}, p = {ranks['p']:.3g}."
    if ranks["critical_difference"] is not None:
        text += f" Nemenyi's critical difference at {ranks['alpha']:g} is {ranks['critical_difference']:.2f}."
    return text


def page(report: Report, pictures: Sequence[str]) -> str:
    """Return the page as Markdown.

    Args:
        report: what `study_report` returned.
        pictures: names of the pictures beside the page.
    """
    parts = [f"# {report['study']['name']}", _heading(report)]
    if "scores.png" in pictures:
        parts.append("![Scores](scores.png)")
    for heading, text, headings, rows in sections(report):
        parts += [f"## {heading}", *([text] if text else []), table(headings, rows)]
    if report["ranks"] is not None:
        parts += ["## Ranks", _ranks_sentence(report), "![Critical-difference diagram](ranks.png)"]
    if report["notes"]:
        parts += ["## Before you quote these scores", bullets(report["notes"])]
    parts += ["## Command", f"    {report['command']}"]
    return "\n\n".join(parts) + "\n"


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
td.text { text-align: left; }
img { max-width: 100%; }
.wide { overflow-x: auto; }
small { color: #666; }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; white-space: pre-wrap; }
"""


def page_html(report: Report, pictures: dict[str, bytes]) -> str:
    """Return the page as one HTML file with the pictures in it, which loads nothing.

    Args:
        report: what `study_report` returned.
        pictures: PNG files by name.
    """

    def image(name: str, what: str) -> str:
        return f'<p><img alt="{what}" src="data:image/png;base64,{base64.b64encode(pictures[name]).decode()}"></p>'

    name = html.escape(report["study"]["name"])
    body = [f"<h1>{name}</h1>", f"<p>{html.escape(_heading(report))}</p>"]
    if "scores.png" in pictures:
        body.append(image("scores.png", "Scores"))
    for heading, text, headings, rows in sections(report):
        body += [f"<h2>{html.escape(heading)}</h2>", f"<p>{html.escape(text)}</p>" if text else ""]
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in headings)
        lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
        body.append(f'<div class="wide"><table><tr>{head}</tr>{lines}</table></div>')
    if report["ranks"] is not None:
        body += [
            "<h2>Ranks</h2>",
            f"<p>{html.escape(_ranks_sentence(report))}</p>",
            image("ranks.png", "Critical-difference diagram"),
        ]
    if report["notes"]:
        body += ["<h2>Before you quote these scores</h2>", "<ul>"]
        body += [f"<li>{html.escape(note)}</li>" for note in report["notes"]] + ["</ul>"]
    body += ["<h2>Command</h2>", f"<pre>{html.escape(report['command'])}</pre>"]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(filter(None, body))
        + "\n</body></html>\n"
    )


def _cell(text: str) -> str:
    """Return a cell of a table: bold scores and small intervals; sentences are aligned as text."""
    escaped = html.escape(text)
    if escaped.startswith("**"):
        escaped = escaped.replace("**", "<b>", 1).replace("**", "</b>", 1)
    if escaped.endswith(")") and " (" in escaped and len(escaped) < 60:
        score, _, interval = escaped.partition(" (")
        escaped = f"{score} <small>({interval}</small>"
    return f'<td class="text">{escaped}</td>' if len(text) > 40 else f"<td>{escaped}</td>"


def scores_csv(report: Report) -> str:
    """Return a row a cell and metric, scores as shares of 1; a cell without scores has its sentence."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ["encoder", "train", "test", "metric", "score", "low", "high", "mean_over_folds", "std_over_seeds"]
    writer.writerow([*names, "seeds", "clips", "speakers", "sentence"])
    for cell in report["cells"]:
        where = [cell["encoder"], cell["train"], cell["test"]]
        if cell["scores"] is None:
            writer.writerow([*where, *[""] * 9, cell["sentence"]])
            continue
        for metric in METRICS:
            one = cell["scores"][metric]
            numbers = [one["score"], one["low"], one["high"], one["mean_over_folds"], _deviation(one["each_seed"])]
            shown = ["" if number is None else f"{number:.6f}" for number in numbers]
            writer.writerow([*where, metric, *shown, cell["seeds"], cell["clips"], cell["speakers"] or "", ""])
    return text.getvalue()


def _deviation(values: Sequence[float]) -> float | None:
    """Return the sample's standard deviation (n - 1), which a single value does not have."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return float((sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5)


def tables_latex(report: Report) -> str:
    """Return the tables as LaTeX, for the package booktabs; the best of a column is bold."""
    parts = []
    for heading, _, headings, rows in sections(report):
        if heading == "Cells without scores":
            continue
        lines = [" & ".join(map(_latex_cell, row)) + r" \\" for row in rows]
        parts.append(
            "\n".join(
                [
                    f"% {heading}",
                    rf"\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
                    r"\toprule",
                    " & ".join(name.translate(LATEX) for name in headings) + r" \\",
                    r"\midrule",
                    *lines,
                    r"\bottomrule",
                    r"\end{tabular}",
                ]
            )
        )
    return "\n\n".join(parts) + "\n"


def _latex_cell(text: str) -> str:
    if text.startswith("**"):
        score, _, rest = text[2:].partition("**")
        return rf"\textbf{{{score.translate(LATEX)}}}{rest.translate(LATEX)}"
    return text.translate(LATEX)
