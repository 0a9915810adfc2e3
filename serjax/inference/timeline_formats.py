"""Timelines as text: windows as lines of JSON or CSV, segments as RTTM, TextGrid, Audacity labels or audformat."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from serjax.inference.segments import Segment, Smoothed
from serjax.inference.timeline import has_speech

WINDOW_FORMATS = ("json", "csv")
"""Formats with a line a window."""

SEGMENT_FORMATS = ("rttm", "textgrid", "audacity", "audformat")
"""Formats with an entry a segment."""

ONE_RECORDING = ("textgrid", "audacity")
"""Formats that hold one recording."""

AUDFORMAT_HEADER = "file,start,end,emotion"
"""First line of audformat's segmented table; with separate channels a column `channel` follows."""


def leading(one: Smoothed, labels: Sequence[str], outputs: str) -> str | None:
    """Return a window's most probable label; None without speech, and for models of values."""
    if outputs == "identity" or not has_speech(one.row):
        return None
    return labels[int(one.row.score.argmax())]


def window_columns(labels: Sequence[str]) -> list[str]:
    """Return the names of the columns of `window_row`."""
    fixed = ["clip", "channel", "start", "end", "label", "uncertainty", "speech"]
    return [*fixed, *labels, *(f"smoothed_{label}" for label in labels)]


def window_row(clip: str, one: Smoothed, labels: Sequence[str], outputs: str) -> list[Any]:
    """Return a window as a row of CSV: times in s, its scores, and its smoothed scores."""
    row = one.row
    known = [_rounded(row.uncertainty, 4), _rounded(row.speech, 3)]
    scores = [_rounded(float(score), 6) for score in (*row.score, *one.score)]
    return [
        clip,
        row.channel,
        _rounded(row.start, 4),
        _rounded(row.end, 4),
        leading(one, labels, outputs),
        *known,
        *scores,
    ]


def window_object(clip: str, one: Smoothed, labels: Sequence[str], outputs: str) -> dict[str, Any]:
    """Return a window as an object of JSON; scores with the highest first."""
    row = one.row

    def ranked(scores: Any) -> list[dict[str, Any]]:
        order = (-scores).argsort(kind="stable")
        return [{"label": labels[place], "score": _rounded(float(scores[place]), 6)} for place in order]

    return {
        "clip": clip,
        "channel": row.channel,
        "start": _rounded(row.start, 4),
        "end": _rounded(row.end, 4),
        "label": leading(one, labels, outputs),
        "scores": ranked(row.score),
        "smoothed": ranked(one.score),
        "uncertainty": _rounded(row.uncertainty, 4),
        "speech": _rounded(row.speech, 3),
    }


def window_line(form: str, clip: str, one: Smoothed, labels: Sequence[str], outputs: str) -> str:
    """Return a window as a line of JSON or CSV."""
    if form == "json":
        return json.dumps(window_object(clip, one, labels, outputs)) + "\n"
    return csv_line(window_row(clip, one, labels, outputs))


def csv_line(row: Sequence[Any]) -> str:
    """Return a row as a line of CSV."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(row)
    return line.getvalue()


def rttm(clip: str, segments: Sequence[Segment]) -> str:
    """Return segments as lines of RTTM, with the label in place of the speaker's name, and its score.

    The format is that of NIST's RT-09 evaluation plan, appendix A: SPEAKER, file, channel, start, duration, two fields
    without meaning here, name, confidence, and one more. Fields hold no spaces: the file is its name without folders
    and suffix, and underscores stand for spaces. Channels count from 1; that of a mix is 1.
    """
    name = _word(PurePath(clip).stem)
    return "".join(
        f"SPEAKER {name} {_number(one.channel)} {one.start:.3f} {one.end - one.start:.3f} <NA> <NA> "
        f"{_word(one.label)} {one.score:.4f} <NA>\n"
        for one in segments
    )


def textgrid(segments: Sequence[Segment], seconds: float) -> str:
    """Return segments as a TextGrid of Praat: an interval tier for each channel, whose text is empty in gaps.

    Args:
        segments: of one recording.
        seconds: its length.
    """
    channels = list(dict.fromkeys(one.channel for one in segments)) or [None]
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {seconds:.6f}"]
    lines += ["tiers? <exists>", f"size = {len(channels)}", "item []:"]
    for number, channel in enumerate(channels, 1):
        intervals = _filled([one for one in segments if one.channel == channel], seconds)
        lines += [f"    item [{number}]:", '        class = "IntervalTier"']
        lines += [f"        name = {_quoted('emotion' if channel is None else channel)}", "        xmin = 0"]
        lines += [f"        xmax = {seconds:.6f}", f"        intervals: size = {len(intervals)}"]
        for place, (start, end, text) in enumerate(intervals, 1):
            lines += [f"        intervals [{place}]:", f"            xmin = {start:.6f}"]
            lines += [f"            xmax = {end:.6f}", f"            text = {_quoted(text)}"]
    return "\n".join(lines) + "\n"


def audacity(segments: Sequence[Segment]) -> str:
    """Return segments of one recording as a label track of Audacity: start, end and label, separated by tabs."""
    lines = []
    for one in segments:
        text = one.label if one.channel is None else f"{one.channel}: {one.label}"
        lines.append(f"{one.start:.6f}\t{one.end:.6f}\t{' '.join(text.split())}\n")
    return "".join(lines)


def audformat(clip: str, segments: Sequence[Segment], *, separate: bool) -> str:
    """Return segments as rows of audformat's segmented table, whose times are written as pandas writes a Timedelta."""
    lines = []
    for one in segments:
        row = [clip, timedelta(one.start), timedelta(one.end), one.label]
        lines.append(csv_line([*row, one.channel] if separate else row))
    return "".join(lines)


def timedelta(seconds: float) -> str:
    """Return seconds as pandas writes them: 0 days 00:01:02.500000."""
    whole, micro = divmod(round(seconds * 1e6), 1_000_000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days} days {hour:02}:{minute:02}:{second:02}" + (f".{micro:06}" if micro else "")


def _filled(segments: Sequence[Segment], seconds: float) -> list[tuple[float, float, str]]:
    """Return the intervals of a channel, gaps among them."""
    found, at = [], 0.0
    for one in segments:
        if one.start > at:
            found.append((at, one.start, ""))
        found.append((one.start, one.end, one.label))
        at = one.end
    return [*found, (at, seconds, "")] if at < seconds else found


def _number(channel: str | None) -> int:
    return {None: 1, "left": 1, "right": 2}.get(channel) or int(channel or 1)


def _word(text: str) -> str:
    return re.sub(r"\s+", "_", text.strip()) or "_"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
