"""The command that answers a clip of a finished run."""

from pathlib import Path

from serjax.data.utterance import Utterance
from serjax.runs.example import arguments


def test_shown_command_names_sound_and_video_where_both_are_needed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    sound, video = Path("a.wav").absolute(), Path("b.mp4").absolute()
    for clip, heard, seen in (
        (Utterance("x", sound, "sad"), ["a.wav"], ["a.wav"]),
        (Utterance("x", video, "sad", video=video), ["b.mp4"], ["b.mp4"]),
        (Utterance("x", sound, "sad", video=video), ["--audio", "a.wav", "--video", "b.mp4"], ["b.mp4"]),
    ):
        assert arguments(clip, True) == heard
        assert arguments(clip, False) == seen
