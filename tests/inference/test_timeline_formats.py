"""Text formats of timelines: read back by the programs that they are for, where these are installed."""

import csv
import json
import re

import numpy as np
import pytest

from serjax.inference import timeline_formats as formats
from serjax.inference.segments import Segment, Smoothed
from serjax.inference.timeline import WindowAnswer

LABELS = ("angry", "sad")
SEGMENTS = [
    Segment(0.0, 2.5, "sad", 0.75, None),
    Segment(2.5, 4.0, 'an"gry', 0.5, None),
    Segment(5.25, 3725.125, "sad", 0.625, None),
]
STEREO = [Segment(0.0, 2.5, "sad", 0.75, "left"), Segment(1.0, 3.0, "very angry", 0.5, "right")]


def window(speech=None, channel=None):
    row = WindowAnswer(1.00004, 4.0, channel, np.array([0.3, 0.7], np.float32), 0.123456, speech)
    return Smoothed(row, np.array([0.55, 0.45], np.float32))


def test_a_window_as_csv():
    lines = formats.csv_line(formats.window_columns(LABELS))
    lines += formats.window_line("csv", 'a, "b".wav', window(), LABELS, "softmax")
    lines += formats.window_line("csv", "c.wav", window(0.1, "left"), LABELS, "softmax")
    first, second = csv.DictReader(lines.splitlines())
    assert first == {
        "clip": 'a, "b".wav',
        "channel": "",
        "start": "1.0",
        "end": "4.0",
        "label": "sad",
        "uncertainty": "0.1235",
        "speech": "",
        "angry": "0.3",
        "sad": "0.7",
        "smoothed_angry": "0.55",
        "smoothed_sad": "0.45",
    }
    # Without speech there is no label.
    assert (second["label"], second["speech"], second["channel"]) == ("", "0.1", "left")


def test_a_window_as_json():
    line = formats.window_line("json", "a.wav", window(0.5), LABELS, "softmax")
    assert line.endswith("}\n")
    assert json.loads(line) == {
        "clip": "a.wav",
        "channel": None,
        "start": 1.0,
        "end": 4.0,
        "label": "sad",
        "scores": [{"label": "sad", "score": 0.7}, {"label": "angry", "score": 0.3}],
        "smoothed": [{"label": "angry", "score": 0.55}, {"label": "sad", "score": 0.45}],
        "uncertainty": 0.1235,
        "speech": 0.5,
    }


def test_values_have_no_label():
    assert formats.leading(window(), LABELS, "identity") is None
    assert json.loads(formats.window_line("json", "a.wav", window(), LABELS, "identity"))["label"] is None


def test_rttm_has_ten_fields_without_spaces():
    lines = formats.rttm("calls/a call.wav", [*SEGMENTS, *STEREO]).splitlines()
    assert lines[0] == "SPEAKER a_call 1 0.000 2.500 <NA> <NA> sad 0.7500 <NA>"
    assert {len(line.split(" ")) for line in lines} == {10}
    assert [line.split(" ")[2] for line in lines[-2:]] == ["1", "2"]
    assert lines[-1].split(" ")[7] == "very_angry"
    assert formats.rttm("a.wav", [Segment(0, 1, "sad", 0.5, "3")]).split(" ")[2] == "3"


def test_a_textgrid_covers_the_recording():
    text = formats.textgrid(SEGMENTS, 3730.0)
    found = re.findall(r"xmin = ([\d.]+)\n +xmax = ([\d.]+)\n +text = \"(.*)\"", text)
    assert [(float(a), float(b), c) for a, b, c in found] == [
        (0, 2.5, "sad"),
        (2.5, 4, 'an""gry'),
        (4, 5.25, ""),
        (5.25, 3725.125, "sad"),
        (3725.125, 3730, ""),
    ]
    assert "intervals: size = 5" in text
    assert re.findall(r"name = \"(.*)\"", formats.textgrid(STEREO, 4.0)) == ["left", "right"]
    assert 'text = ""' in formats.textgrid([], 4.0)


def test_praat_reads_the_textgrid(tmp_path):
    parselmouth = pytest.importorskip("parselmouth", reason="Praat's parselmouth is not installed")
    (tmp_path / "a.TextGrid").write_text(formats.textgrid(SEGMENTS, 3730.0))
    grid = parselmouth.Data.read(str(tmp_path / "a.TextGrid"))
    assert parselmouth.praat.call(grid, "Get number of intervals", 1) == 5
    assert parselmouth.praat.call(grid, "Get label of interval", 1, 2) == 'an"gry'


def test_audacity_labels():
    assert formats.audacity(SEGMENTS[:1]) == "0.000000\t2.500000\tsad\n"
    assert formats.audacity(STEREO).splitlines()[1] == "1.000000\t3.000000\tright: very angry"
    assert formats.audacity([Segment(0, 1, "a\tb", 0.5, None)]) == "0.000000\t1.000000\ta b\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 days 00:00:00"),
        (2.5, "0 days 00:00:02.500000"),
        (3725.125, "0 days 01:02:05.125000"),
        (90_000.0000004, "1 days 01:00:00"),
        (59.9999999, "0 days 00:01:00"),
    ],
)
def test_times_are_those_of_pandas(seconds, text):
    assert formats.timedelta(seconds) == text


def test_audformat_is_a_segmented_table():
    rows = formats.audformat("a.wav", SEGMENTS, separate=False)
    assert list(csv.reader(rows.splitlines()))[1] == ["a.wav", "0 days 00:00:02.500000", "0 days 00:00:04", 'an"gry']
    assert formats.audformat("a.wav", STEREO, separate=True).splitlines()[1].endswith(",very angry,right")


def test_audformat_is_read_by_pandas(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    (tmp_path / "a.csv").write_text(
        formats.AUDFORMAT_HEADER + "\n" + formats.audformat("a.wav", SEGMENTS, separate=False)
    )
    table = pandas.read_csv(tmp_path / "a.csv")
    ends = pandas.to_timedelta(table["end"]).dt.total_seconds()
    assert list(ends) == [one.end for one in SEGMENTS]
    audformat = pytest.importorskip("audformat", reason="audformat is not installed")
    index = audformat.segmented_index(table["file"], table["start"], table["end"])
    assert audformat.is_segmented_index(index)
