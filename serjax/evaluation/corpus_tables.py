"""Tables of a corpus for a terminal, from the dictionary that `serjax.data.look.report.build_report` returns."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

SHOWN = 40
"""Classes that a terminal is shown."""

SOUND_ROWS = (
    ("length, s", "seconds", 1, 2),
    ("peak, dBFS", "peak_dbfs", 1, 1),
    ("RMS, dBFS", "rms_dbfs", 1, 1),
    ("silence, %", "silent", 100, 1),
    ("clipped samples, %", "clipped", 100, 3),
    ("DC offset, % of RMS", "offset", 100, 2),
)
"""Measurements: heading, key, factor and digits."""


def corpus_tables(report: Mapping[str, Any]) -> Group:
    """Return the tables of a look: classes, sound, agreement, values, and what is suspicious."""
    parts: list[RenderableType] = [Text(summary(report)), Text()]
    if report["notes"]:
        parts.append(_list("Reading", report["notes"]))
    parts.append(_classes(report))
    if report["sound"] is not None:
        parts.append(_sound(report))
    if report["agreement"] is not None:
        lines = agreement_lines(report["agreement"])
        parts.append(_list("Agreement of annotators", [f"{name}: {value}" for name, value in lines]))
    if report["values"]:
        parts.append(_values(report))
    return Group(*parts, *suspicion_lines(report["suspicions"]))


def summary(report: Mapping[str, Any]) -> str:
    """Return one sentence on clips, speakers, classes and hours."""
    people = len(report["speakers"])
    voices = f"{people} speaker{'s' if people != 1 else ''}" if people else "speakers unknown"
    kind = ("class" if report["labelled"] else "folder") + ("" if len(report["classes"]) == 1 else "es")
    kind = kind.replace("folderes", "folders")
    sound = "no sound was decoded"
    if report["seconds"] is not None:
        sound = f"{amount(report['seconds'])} of sound"
    text = f"{report['name']}: {report['clips']} clips, {voices}, {len(report['classes'])} {kind}, {sound}."
    if report["stopped"]:
        text += f" Stopped: sound is that of {report['measured']} clips, a random part."
    return text


def amount(seconds: float) -> str:
    """Return a length as 12.3 s, 4.5 min or 6.7 h."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def agreement_lines(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is told of the annotators' agreement, with the source of each formula."""
    least, middle, most = found["votes_a_clip"]
    votes = f"{middle:g}" if least == most else f"{least:g} to {most:g}, median {middle:g}"
    lines = [
        ("clips with votes", str(found["clips"])),
        ("votes a clip", votes),
        ("share of the majority, mean", f"{found['majority_share']['mean']:.1%}"),
        ("clips without a majority", str(found["without_majority"])),
    ]
    for name, key, source in (
        ("Fleiss' kappa", "fleiss_kappa", "Fleiss 1971"),
        ("Krippendorff's alpha, nominal", "krippendorff_alpha", "Krippendorff 2011"),
    ):
        if found[key] is not None:
            lines.append((f"{name} ({source})", f"{found[key]:.3f}"))
    return lines


def suspicion_lines(suspicions: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """Return suspicions for a terminal, those that training refuses first, each with its remedy."""
    if not suspicions:
        return [Text("Suspicious\n- Nothing.\n")]
    lines: list[RenderableType] = [Text(f"Suspicious: {len(suspicions)}")]
    for one in suspicions:
        text = Text("- ")
        if one["refused"]:
            text.append("refused by training: ", style="bold red")
        text.append(one["what"])
        lines.append(text)
        if one["remedy"]:
            lines.append(Padding(Text(one["remedy"], style="green"), (0, 0, 0, 4)))
    return [*lines, Text()]


def _classes(report: Mapping[str, Any]) -> RenderableType:
    heading = "class" if report["labelled"] else "folder"
    table = _table("Clips", heading, "clips", "speakers", "minutes", "median s", "RMS dBFS")
    for one in report["classes"][:SHOWN]:
        table.add_row(*class_row(one))
    if len(report["classes"]) > SHOWN:
        table.add_row(f"and {len(report['classes']) - SHOWN} more", *[""] * 5)
    table.add_section()
    seconds, sound = report["seconds"], report["sound"]
    people = "-" if report["clips_without_speaker"] else str(len(report["speakers"]))
    length = ["-", "-", "-"]
    if sound is not None:
        length = [f"{seconds / 60:.1f}", f"{sound['seconds']['median']:.2f}", f"{sound['rms_dbfs']['median']:.1f}"]
    table.add_row("all", str(report["clips"]), people, *length)
    line = speakers_line(report)
    return Group(table, Text(f"{line}\n")) if line else table


def speakers_line(report: Mapping[str, Any]) -> str:
    """Return how many clips a speaker has; nothing where fewer than two are known."""
    names = report["speakers"]
    if len(names) < 2:
        return ""
    counts = [sum(column) for column in zip(*report["clips_of_speakers"], strict=True)]
    (least, fewest), (most, many) = (
        pick(zip(names, counts, strict=True), key=lambda one: one[1]) for pick in (min, max)
    )
    cells = [count for row in report["clips_of_speakers"] for count in row]
    text = f"Clips of a speaker: {fewest} ({least}) to {many} ({most}), median {statistics.median(counts):g}"
    if fewest == many:
        text = f"Clips of a speaker: {many}"
    return f"{text}; of a speaker in a class: {min(cells)} to {max(cells)}."


def class_row(one: Mapping[str, Any]) -> list[str]:
    """Return the cells of a class: label, clips, speakers, minutes, median length in s, median RMS in dBFS."""
    return [
        visible(one["label"]),
        str(one["clips"]),
        "-" if one["speakers"] is None else str(one["speakers"]),
        "-" if one["seconds"] is None else f"{one['seconds'] / 60:.1f}",
        "-" if one["median_seconds"] is None else f"{one['median_seconds']:.2f}",
        "-" if one["rms_dbfs"] is None else f"{one['rms_dbfs'][1]:.1f}",
    ]


def sound_rows(sound: Mapping[str, Any]) -> list[list[str]]:
    """Return the cells of each measurement: name, least, 5 %, median, 95 %, most."""
    columns = ("min", "p5", "median", "p95", "max")
    return [
        [name, *(_fixed(factor * sound[key][column], digits) for column in columns)]
        for name, key, factor, digits in SOUND_ROWS
    ]


def _fixed(value: float, digits: int) -> str:
    """Return a number with so many digits, and no minus before a zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def visible(name: str) -> str:
    """Return a name of a class; quoted where spaces at its ends or other signs could not be seen."""
    if not name:
        return "(none)"
    return name if name == name.strip() and name.isprintable() else repr(name)


def kinds_line(sound: Mapping[str, Any]) -> str:
    """Return numbers of clips by rate and number of channels."""
    rates = ", ".join(f"{count} of {rate} Hz" for rate, count in sound["rates"].items())
    channels = ", ".join(
        f"{count} of {number} channel{'s' if number != '1' else ''}" for number, count in sound["channels"].items()
    )
    return f"{rates}; {channels}"


def _sound(report: Mapping[str, Any]) -> Group:
    table = _table("Sound", "a clip", "least", "5 %", "median", "95 %", "most")
    for row in sound_rows(report["sound"]):
        table.add_row(*row)
    return Group(table, Text(f"Clips: {kinds_line(report['sound'])}.\n"))


def _values(report: Mapping[str, Any]) -> Table:
    table = _table("Values", "value", "clips", "least", "median", "most", "mean")
    for one in report["values"]:
        table.add_row(one["name"], str(one["clips"]), *(f"{one[key]:.4g}" for key in ("min", "median", "max", "mean")))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=bool(number), overflow="fold")
    return table


def _list(title: str, lines: Sequence[str]) -> Text:
    return Text("\n".join([title, *(f"- {line}" for line in lines), ""]))
