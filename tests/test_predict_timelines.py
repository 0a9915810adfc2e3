"""The command line of prediction with a timeline: answers for windows of a recording, in files and pictures."""

import io
import json
import sys

import numpy as np
import pytest
import soundfile
from saved_runs import write_run

import serjax
from serjax.predict import main
from serjax.runtime.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of random weights."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    write_run(folder)
    return str(folder)


@pytest.fixture
def call(tmp_path):
    """A recording of 3 s in two channels."""
    wave = np.random.default_rng(3).normal(0, 0.1, (48_000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "call.wav", wave, 16_000, subtype="FLOAT")
    return str(tmp_path / "call.wav")


@pytest.mark.parametrize(
    ("options", "rows"), [(["--timeline"], 6), (["--hop", "0.25"], 11), (["--window", "0.4", "--channels", "mix"], 8)]
)
def test_options_of_timelines_imply_one(run, call, capsys, options, rows):
    assert main([run, call, *options]) == 0
    printed = capsys.readouterr()
    found = [json.loads(line) for line in printed.out.splitlines()]
    assert len(found) == rows
    assert {one["clip"] for one in found} == {call}
    assert (found[0]["start"], found[-1]["end"]) == (0.0, 3.0)
    assert printed.err == ""


def test_jsonl_is_json_and_a_terminal_gets_segments(run, call, capsys, monkeypatch):
    assert main([run, call, "--timeline", "--format", "jsonl"]) == 0
    lines = capsys.readouterr().out
    assert main([run, call, "--timeline", "--json"]) == 0
    assert capsys.readouterr().out == lines
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main([run, call, "--channels", "separate"]) == 0
    assert "emotion" in capsys.readouterr().out


def test_channels_answer_for_themselves_and_a_picture_is_drawn(run, call, tmp_path, capsys):
    options = ["--channels", "separate", "--format", "rttm", "--picture", str(tmp_path / "call.png")]
    assert main([run, call, *options]) == 0
    printed = capsys.readouterr()
    assert {line.split()[2] for line in printed.out.splitlines()} == {"1", "2"}
    assert printed.err == f"Written: {tmp_path / 'call.png'}\n"


def test_voice_activity_alone_weighs_the_windows_of_a_clip(run, tmp_path, capsys):
    wave = np.random.default_rng(2).normal(0, 0.1, 24_000).astype(np.float32)
    wave[8_000:16_000] *= 1e-4
    soundfile.write(tmp_path / "long.wav", wave, 16_000, subtype="FLOAT")
    assert main([run, str(tmp_path / "long.wav"), "--vad", "energy"]) == 0
    printed = capsys.readouterr()
    assert "mean over windows, weighted by their speech; --head" in printed.err
    scores = {entry["label"]: entry["score"] for entry in json.loads(printed.out)["scores"]}
    rows = serjax.load(run).timeline((wave, 16_000), 0.5, 0.5, vad="energy").rows
    expected = np.average([row.score for row in rows], 0, [row.speech for row in rows])
    assert [scores[label] for label in ("angry", "happy", "sad")] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--head"], "--head is for one answer a clip, but a timeline has one for every window"),
        (["--attention", "a.png"], "--attention draws one answer for a clip"),
        (["--coverage", "0.9"], "--coverage gives a set for each clip"),
        (["--picture", "a.pdf"], "pictures are PNG files"),
        (["--window", "0.7"], r"window: got 0\.7 s; this model hears"),
        (["--hop", "0"], "hop: got 0 s"),
    ],
)
def test_a_timeline_that_cannot_be_is_refused(run, call, options, message):
    with pytest.raises(UserError, match=message):
        main([run, call, "--timeline", *options])


def test_a_timeline_is_of_sound(run):
    with pytest.raises(UserError, match="a timeline is of sound alone; give the recording as a clip"):
        main([run, "--audio", "a.wav", "--timeline"])


def test_a_video_without_sound_and_a_header_alone(run, tmp_path, film, capsys):
    silent = film(tmp_path / "silent.mp4", np.full((2, 48, 48, 3), 60, np.uint8))
    (tmp_path / "head.wav").write_bytes(wav_header())
    assert main([run, str(silent), str(tmp_path / "head.wav"), "--timeline"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        f"{silent}: the video has no sound; give its sound as a file beside it.",
        f"{tmp_path / 'head.wav'}: it holds no samples; record it again.",
    ]


def wav_header():
    """Return the 44 bytes of a WAV file without samples."""
    data = io.BytesIO()
    soundfile.write(data, np.zeros(0, np.int16), 16_000, format="WAV")
    return data.getvalue()[:44]
