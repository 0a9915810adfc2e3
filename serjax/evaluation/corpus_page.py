"""A page about a corpus: one HTML file with its pictures inside, which loads nothing."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from matplotlib.figure import Figure

from serjax.evaluation.corpus_plots import png
from serjax.evaluation.corpus_tables import agreement_lines, class_row, kinds_line, sound_rows, speakers_line, summary

MOST = 200
"""Names that a list shows; look.json has them all."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 66rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.lead { color: #555; margin-top: 0; } img { max-width: 100%; height: auto; display: block; margin: .8rem 0; }
table { border-collapse: collapse; margin: .6rem 0; } .wide { overflow-x: auto; }
td, th { padding: .2rem .9rem .2rem 0; border-bottom: 1px solid #e4e4e4; text-align: right; white-space: nowrap; }
td:first-child, th:first-child { text-align: left; }
.long td, .long th { text-align: left; }
.long td:first-child { white-space: normal; overflow-wrap: anywhere; } th { color: #555; font-weight: 600; }
.one { border-left: 4px solid #E69F00; background: #fdf7ea; padding: .5rem .9rem; margin: .5rem 0; }
.refused { border-color: #D55E00; background: #fdf0e9; } .one p { margin: 0; overflow-wrap: anywhere; }
.remedy { color: #00543f; } .badge { color: #a84300; font-weight: 600; }
.well { border-left: 4px solid #009E73; background: #eef8f4; padding: .5rem .9rem; }
details { margin-top: .3rem; } summary { cursor: pointer; color: #0072B2; }
details ul { columns: 18rem; margin: .3rem 0; padding-left: 1.1rem; font-size: .85rem; overflow-wrap: anywhere; }
.small { color: #666; font-size: .85rem; }
"""

_PICTURES = {
    "clips": "Numbers of clips by class, and by class and speaker",
    "sound": "Histograms of length, level, silence, clipping, DC offset, rates and channels",
    "levels": "Levels by class: where classes differ much for no good reason, a model may tell them apart by level",
    "votes": "Share of the majority among annotators",
    "values": "Histograms of the values",
}


def corpus_page(report: Mapping[str, Any], pictures: Mapping[str, Figure]) -> str:
    """Return the page as HTML.

    Args:
        report: what `serjax.data.look.report.build_report` returned.
        pictures: what `serjax.evaluation.corpus_plots.figures` returned for it.
    """
    title = escape(f"A look at {report['name']}")
    parts = [f"<h1>{title}</h1>", f'<p class="lead">{escape(summary(report))}</p>', _suspicions(report["suspicions"])]
    headings = ["class" if report["labelled"] else "folder", "clips", "speakers", "minutes", "median s", "RMS dBFS"]
    parts += ["<h2>Clips</h2>", _picture(pictures, "clips")]
    rows = [class_row(one) for one in report["classes"]]
    parts += [_table(headings, rows[:MOST]), _more(len(rows)), f"<p>{escape(speakers_line(report))}</p>"]
    if report["sound"] is not None:
        rows = sound_rows(report["sound"])
        parts += ["<h2>Sound</h2>", _picture(pictures, "sound")]
        parts.append(_table(["a clip", "least", "5 %", "median", "95 %", "most"], rows))
        parts.append(f"<p>Clips: {escape(kinds_line(report['sound']))}.</p>")
        parts += ["<h2>Levels by class</h2>", _picture(pictures, "levels")]
    if report["agreement"] is not None:
        parts += ["<h2>Agreement of annotators</h2>", _picture(pictures, "votes")]
        parts.append(_table(["", ""], [list(line) for line in agreement_lines(report["agreement"])]))
    if report["values"]:
        columns = ("min", "p5", "median", "p95", "max", "mean")
        parts += ["<h2>Values</h2>", _picture(pictures, "values")]
        rows = [
            [one["name"], str(one["clips"]), str(one["missing"]), *(f"{one[name]:.4g}" for name in columns)]
            for one in report["values"]
        ]
        parts.append(_table(["value", "clips", "without", "least", "5 %", "median", "95 %", "most", "mean"], rows))
    if report["duplicates"]:
        rows = [
            [
                " = ".join(one["clips"][:6]),
                ", ".join(one["labels"]),
                "equal bytes" if one["equal_bytes"] else "equal sound",
            ]
            for one in report["duplicates"]
        ]
        parts += ["<h2>Copies</h2>", _table(["clips", "classes", ""], rows[:MOST], "long"), _more(len(rows))]
    if report["unreadable"]:
        rows = [[one["clip"], one["reason"]] for one in report["unreadable"]]
        parts += ["<h2>Not decoded</h2>", _table(["clip", "reason"], rows[:MOST], "long"), _more(len(rows))]
    parts += ["<h2>Reading</h2>", _reading(report), _definitions(report)]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _suspicions(found: Sequence[Mapping[str, Any]]) -> str:
    parts = [f"<h2>Suspicious: {len(found)}</h2>"]
    if not found:
        return '<h2>Suspicious</h2>\n<p class="well">Nothing was found.</p>'
    for one in found:
        badge = '<span class="badge">Refused by training.</span> ' if one["refused"] else ""
        remedy = f'<p class="remedy">{escape(one["remedy"])}</p>' if one["remedy"] else ""
        names = one["clips"]
        listing = ""
        if names:
            items = "".join(f"<li>{escape(name)}</li>" for name in names[:MOST])
            listing = f"<details><summary>{len(names)} by name</summary><ul>{items}</ul>{_more(len(names))}</details>"
        style = "one refused" if one["refused"] else "one"
        parts.append(f'<div class="{style}"><p>{badge}{escape(one["what"])}</p>{remedy}{listing}</div>')
    return "\n".join(parts)


def _picture(pictures: Mapping[str, Figure], name: str) -> str:
    if name not in pictures:
        return ""
    data = base64.b64encode(png(pictures[name])).decode()
    width = round(96 * pictures[name].get_figwidth())  # letters are as large in all of them
    return f'<img alt="{escape(_PICTURES[name])}" width="{width}" src="data:image/png;base64,{data}">'


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], style: str = "wide") -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in headings) if any(headings) else ""
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in ([head] if head else []) + lines)
    return f'<div class="{style}"><table>\n{body}\n</table></div>'


def _more(count: int) -> str:
    return f'<p class="small">The first {MOST} of {count}; look.json has them all.</p>' if count > MOST else ""


def _reading(report: Mapping[str, Any]) -> str:
    lines = [f"Root: {report['root']}", *report["notes"]]
    if not report["labelled"]:
        lines.append("The corpus could not be read; clips are all sound files, and folders stand in place of classes.")
    files = report["files"]
    if files is not None:
        others = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in sorted(files["others"].items()))
        lines.append(
            f"Below the folder: {files['sounds']} sound files, {files['hidden']} hidden or foreign ones"
            + (f"; others: {others}." if others else ".")
        )
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _definitions(report: Mapping[str, Any]) -> str:
    if report["sound"] is None:
        return f'<p class="small">serjax {escape(report["serjax"])}. No file was opened (--no-decode).</p>'
    return (
        f'<p class="small">serjax {escape(report["serjax"])}. dBFS: dB relative to full scale, of which a sine of full '
        "scale has an RMS of -3. RMS, silence and DC offset are of the mean of the channels, peak and clipping of all. "
        "Silence: frames of 128 ms that are 20 dB or more below the loudest of the clip, about what data.vad=energy "
        "leaves out. Copies are told by their samples at their own rate; sounds of another rate, level or length are "
        "none.</p>"
    )
