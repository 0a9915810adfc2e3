"""Timelines written: windows at once, segments at the end, whatever ends it, and a sentence for what cannot be."""

import csv
import io
import json

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread
from rich.console import Console
from saved_runs import write_run

from serjax.inference.load import load
from serjax.inference.timeline_output import Asked, write_timelines
from serjax.models.video import Video
from serjax.runtime.errors import UserError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_run(folder, max_seconds=0.5)
    return load(folder)


@pytest.fixture
def sound(tmp_path):
    """A function that writes a recording of so many seconds and channels, and returns its path."""

    def write(name="call.wav", seconds=3.0, channels=1):
        wave = np.random.default_rng(0).normal(0, 0.1, (round(16_000 * seconds), channels))
        wave[16_000:32_000] *= 1e-4
        soundfile.write(tmp_path / name, wave, 16_000)
        return str(tmp_path / name)

    return write


def written(model, paths, out=None, **asked):
    """Return what is printed, the sentences, the tables, and whether all was read."""
    out = io.StringIO() if out is None else out
    said, console = [], Console(file=io.StringIO(), width=100)
    recordings = [(path.rpartition("/")[2], path) for path in paths]
    whole = write_timelines(model, recordings, Asked(0.5, 0.25, **asked), out, said.append, console)
    return out.getvalue(), said, console.file.getvalue(), whole


def test_lines_of_windows(model, sound):
    text, said, table, whole = written(model, [sound(), sound("b.wav", 1.0)], form="csv", vad="energy")
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["clip"] for row in rows] == ["call.wav"] * 11 + ["b.wav"] * 3
    assert [float(row["start"]) for row in rows[:11]] == [0.25 * number for number in range(11)]
    assert rows[5]["label"] == ""
    assert rows[0]["label"] in model.labels
    assert (said, table, whole) == ([], "", True)
    text, *_ = written(model, [sound()], form="json")
    assert [json.loads(line)["start"] for line in text.splitlines()] == [0.25 * number for number in range(11)]


def test_lines_come_as_windows_are_answered(model, sound, monkeypatch):
    out = io.StringIO()
    seen, logits = [], type(model).logits

    def look(self, waves, *more):
        seen.append(len(out.getvalue().splitlines()))
        return logits(self, waves, *more)

    monkeypatch.setattr(type(model), "logits", look)
    written(model, [sound(seconds=8.0)], out, form="json")
    assert len(seen) == 4
    # All but those windows with which the next one overlaps.
    assert seen == [0, 6, 14, 22]


@pytest.mark.parametrize("form", ["rttm", "textgrid", "audacity", "audformat"])
def test_segments(model, sound, form):
    text, said, table, whole = written(model, [sound()], form=form, vad="energy")
    start = {"rttm": "SPEAKER call 1 0.000 ", "textgrid": "File type", "audacity": "0.000000\t"}
    assert text.startswith(start.get(form, "file,start,end,emotion\ncall.wav,0 days 00:00:00,"))
    assert any(label in text for label in model.labels)
    assert (said, table, whole) == ([], "", True)


def test_several_recordings_in_formats_with_names(model, sound):
    text, *_ = written(model, [sound(), sound("b.wav")], form="audformat", channels="separate")
    assert text.count("file,start,end,emotion,channel\n") == 1
    assert {line.split(",")[0] for line in text.splitlines()[1:]} == {"call.wav", "b.wav"}
    text, *_ = written(model, [sound(), sound("b.wav")], form="rttm")
    assert {line.split(" ")[1] for line in text.splitlines()} == {"call", "b"}


def test_a_table_of_segments(model, sound):
    text, _, table, _ = written(model, [sound(channels=2)], channels="separate")
    assert text == ""
    for word in ("call.wav", "emotion", "left", "right", "3.0", "%"):
        assert word in table


def test_a_table_of_values(model, sound, monkeypatch):
    monkeypatch.setattr(model, "outputs", "identity")
    _, _, table, _ = written(model, [sound()])
    assert "emotion" not in table
    for word in (*model.labels, "2.5", "3.0"):
        assert word in table


def test_a_picture(model, sound, tmp_path):
    path = tmp_path / "new" / "call.png"
    _, said, _, _ = written(model, [sound()], form="csv", picture=path)
    assert said == [f"Written: {path}"]
    assert imread(path).shape[1] == 12 * 160


def test_one_unreadable_recording_does_not_stop_the_others(model, sound, tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16_000)
    paths = [str(tmp_path / "empty.wav"), str(tmp_path / "none.wav"), sound()]
    text, said, _, whole = written(model, paths, form="rttm")
    assert not whole
    assert said == [
        f"{paths[0]}: the file is empty (0 bytes); get it again.",
        f"{paths[1]}: it holds no samples; record it again.",
    ]
    assert text.startswith("SPEAKER call")


def test_notes_on_the_recording_are_said(model, sound, tmp_path):
    path = sound()
    whole = (tmp_path / "call.wav").read_bytes()
    (tmp_path / "call.wav").write_bytes(whole[:-32_000])
    _, said, _, good = written(model, [path], form="csv")
    assert said == [f"{path}: it breaks off 1.000 s before the end that its header gives; the rest is answered."]
    assert good


def test_another_rate_is_said(model, tmp_path):
    soundfile.write(tmp_path / "call.wav", np.zeros(8_000), 8_000)
    _, said, _, _ = written(model, [str(tmp_path / "call.wav")], form="csv")
    assert said == ["call.wav: it is resampled from 8000 Hz to 16000 Hz."]


class Stopping(io.StringIO):
    """Output at which Ctrl-C is pressed after some lines."""

    def flush(self):
        if len(self.getvalue().splitlines()) == 5:
            self.flush = lambda: None
            raise KeyboardInterrupt


def test_ctrl_c_keeps_what_is_done(model, sound, tmp_path):
    out, said = Stopping(), []
    asked = Asked(0.5, 0.25, form="csv", picture=tmp_path / "call.png")
    with pytest.raises(KeyboardInterrupt):
        write_timelines(model, [("call.wav", sound())], asked, out, said.append, Console(file=io.StringIO()))
    rows = list(csv.DictReader(out.getvalue().splitlines()))
    assert [row["start"] for row in rows] == ["0.0", "0.25", "0.5", "0.75", "1.0", "1.25"]
    assert said == ["call.wav: answered up to 1.8 s.", f"Written: {tmp_path / 'call.png'}"]


@pytest.mark.parametrize("form", ["rttm", "textgrid", "audacity", "audformat", None])
def test_a_recording_that_breaks_off_has_segments_to_there(model, tmp_path, form):
    path = tmp_path / "cut.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 16_000 * 20), 16_000)
    path.write_bytes(path.read_bytes()[:-200_000])
    text, said, table, whole = written(model, [str(path)], form=form)
    assert any(label in text + table for label in model.labels)
    assert said == [f"{path}: it breaks off 7.456 s before the end that its header gives; the rest is answered."]
    assert whole


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Asked(form="textgrid"), "--format textgrid holds one recording, but 2 are given; give one, or --format rttm"),
        (Asked(form="audacity"), "--format audacity holds one recording"),
        (Asked(picture="a.png"), "--picture draws one recording, but 2 are given; give one"),
    ],
)
def test_what_one_recording_alone_can_have(asked, message):
    with pytest.raises(UserError, match=message):
        asked.check(2)


def test_what_a_model_does_not_give(tmp_path, model, monkeypatch):
    with pytest.raises(UserError, match=r"window: got 9 s; this model hears"):
        Asked(window=9).check_model(model)
    monkeypatch.setattr(model, "outputs", "identity")
    with pytest.raises(UserError, match=r"--format rttm has segments of classes, but this model gives values"):
        Asked(form="rttm").check_model(model)
    write_run(tmp_path / "film", Video())
    with pytest.raises(UserError, match="a timeline is made of sound alone, but this model takes video"):
        Asked().check_model(load(tmp_path / "film"))
