"""Long files are answered as if they had been decoded whole."""

import re

import numpy as np
import pytest
import soundfile
from saved_runs import write_run

from serjax.inference import long_files
from serjax.inference.files import answer
from serjax.inference.load import load
from serjax.inference.long_files import answer_long, is_long
from serjax.models.video import Video


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_run(folder, max_seconds=0.5)
    return folder


@pytest.fixture(scope="module")
def model(run):
    return load(run)


def noise(seconds, channels=1, rate=16_000):
    return np.random.default_rng(0).normal(0.02, 0.1, (round(seconds * rate), channels)).astype(np.float32)


def both(monkeypatch, model, path, **options):
    """Return the answer from memory and the streamed one."""
    found = []
    for least in (60.0, 1.0):
        monkeypatch.setattr(long_files, "LONG", least)
        assert is_long(model, path) == (least < 60)
        found += answer(model, [path], **options)
    return found


def same(first, second, atol=1e-6):
    assert [entry["label"] for entry in first.scores] == [entry["label"] for entry in second.scores]
    expected = [entry["score"] for entry in first.scores]
    np.testing.assert_allclose([entry["score"] for entry in second.scores], expected, atol=atol)
    assert second.uncertainty == pytest.approx(first.uncertainty, abs=1e-5)
    assert (second.windows, second.rate, second.heard, second.length) == (
        first.windows,
        first.rate,
        first.heard,
        first.length,
    )
    assert second.offset == pytest.approx(first.offset, rel=1e-4)


@pytest.mark.parametrize(("seconds", "rate", "channels"), [(2.3, 16_000, 1), (4.0, 44_100, 1), (1.51, 8_000, 2)])
def test_a_long_file_is_answered_as_from_memory(monkeypatch, tmp_path, model, seconds, rate, channels):
    path = tmp_path / "long.wav"
    soundfile.write(path, noise(seconds, channels, rate), rate, subtype="FLOAT")
    first, second = both(monkeypatch, model, path)
    same(first, second)
    assert first.windows == -(-seconds // 0.5)
    if channels == 1:
        assert first.digest == second.digest


@pytest.mark.parametrize("crop", ["head", "centre"])
def test_its_head_or_middle_alone(monkeypatch, tmp_path, crop):
    write_run(tmp_path / "run", max_seconds=0.5, eval_crop=crop)
    model = load(tmp_path / "run", long_clips="head")
    soundfile.write(tmp_path / "long.wav", noise(2.3), 16_000, subtype="FLOAT")
    first, second = both(monkeypatch, model, tmp_path / "long.wav")
    same(first._replace(offset=second.offset), second)
    assert (second.heard, second.length, second.windows, second.digest) == (0.5, 2.3, 1, None)


def test_models_that_filter_hear_nearly_the_same(monkeypatch, tmp_path):
    write_run(tmp_path / "run", max_seconds=0.5, highpass=20.0)
    soundfile.write(tmp_path / "long.wav", noise(2.3), 16_000, subtype="FLOAT")
    first, second = both(monkeypatch, load(tmp_path / "run"), tmp_path / "long.wav")
    same(first, second, atol=0.02)
    assert second.digest is None


def test_a_track_whose_length_is_read_alone_is_answered_by_windows_one_after_the_other(
    monkeypatch, tmp_path, model, film
):
    path = film(tmp_path / "clip.mp4", np.full((2, 48, 48, 3), 60, np.uint8), tone=1.7)
    monkeypatch.setattr(long_files, "LONG", 1.0)
    (found,) = answer(model, [path])
    assert found.length == pytest.approx(1.7, abs=0.05)
    assert found.windows == 4
    rows = model.timeline(path, 0.5, 0.5).rows
    expected = np.mean([row.score for row in rows], 0)
    np.testing.assert_allclose({one["label"]: one["score"] for one in found.scores}["sad"], expected[2], atol=1e-6)


def test_windows_weigh_what_they_have_of_speech(tmp_path, model):
    wave = noise(2.0)
    wave[12_000:24_000] *= 1e-4
    soundfile.write(tmp_path / "clip.wav", wave, 16_000, subtype="FLOAT")
    assert not is_long(model, tmp_path / "clip.wav")
    (found,) = answer(model, [tmp_path / "clip.wav"], vad="energy")
    rows = model.timeline((wave, 16_000), 0.5, 0.5, vad="energy").rows
    assert [row.speech for row in rows] == [1, pytest.approx(0.6, abs=0.1), pytest.approx(0.1, abs=0.1), 1]
    expected = np.average([row.score for row in rows], 0, [row.speech for row in rows])
    scores = {one["label"]: one["score"] for one in found.scores}
    np.testing.assert_allclose([scores[label] for label in model.labels], expected, atol=1e-6)
    doubts = np.average([row.uncertainty for row in rows], 0, [row.speech for row in rows])
    assert found.uncertainty == pytest.approx(doubts, abs=1e-6)


def test_without_speech_all_of_it_is_answered_and_told(tmp_path, model):
    path = tmp_path / "silent.wav"
    soundfile.write(path, np.zeros(32_000), 16_000)
    (found,) = answer(model, [path], vad="energy")
    assert found.notes == (f"{path}: no speech is found in it; all of it is answered.",)
    assert found.windows == 4


def test_clips_around_a_long_one_keep_their_order(monkeypatch, tmp_path, model):
    monkeypatch.setattr(long_files, "LONG", 1.0)
    names = ("a.wav", "long.wav", "none.wav", "b.wav")
    for name, seconds in zip(names, (0.5, 2.0, 0, 0.7), strict=True):
        soundfile.write(tmp_path / name, noise(seconds), 16_000, subtype="FLOAT")
    paths = [tmp_path / name for name in names]
    found = list(answer(model, paths))
    assert [one.length for one in found] == [0.5, 2.0, 0.0, 0.7]
    for path, one in zip(paths, found, strict=True):
        alone = {entry["label"]: entry["score"] for entry in next(answer(model, [path])).scores}
        assert {entry["label"]: entry["score"] for entry in one.scores} == pytest.approx(alone, abs=1e-6)
    assert found[2].notes == (f"{paths[2]}: it holds no samples; record it again.",)


def test_progress_is_told_in_seconds(tmp_path, model):
    path, told = tmp_path / "long.wav", []
    soundfile.write(path, noise(5.3), 16_000)
    answer_long(model, path, progress=lambda *given: told.append(given))
    assert [one[0] for one in told] == [str(path)] * 2
    assert told[-1][1:] == (5.3, 5.3)
    assert told[0][1] < 5.3


def test_memory_is_that_of_some_windows(monkeypatch, tmp_path, model):
    path = tmp_path / "long.wav"
    soundfile.write(path, noise(20.0), 16_000)
    longest = []
    logits = type(model).logits

    def count(self, waves, *more):
        longest.append(sum(map(len, waves)))
        return logits(self, waves, *more)

    monkeypatch.setattr(type(model), "logits", count)
    assert answer_long(model, path).windows == 40
    assert max(longest) <= 8 * 8_000


def test_what_is_not_streamed(tmp_path, run, model):
    soundfile.write(tmp_path / "long.wav", np.zeros(16_000 * 61, np.int16), 16_000)
    assert is_long(model, tmp_path / "long.wav")
    assert not is_long(model, (np.zeros(16_000 * 61, np.float32), 16_000))
    assert not is_long(model, tmp_path / "none.wav")
    write_run(tmp_path / "filtered", max_seconds=0.5, highpass=20.0)
    assert not is_long(load(tmp_path / "filtered", long_clips="head"), tmp_path / "long.wav")
    write_run(tmp_path / "film", Video())
    assert not is_long(load(tmp_path / "film"), tmp_path / "long.wav")


def test_a_long_file_that_breaks_off_is_answered_to_there_and_told(tmp_path, model):
    path = tmp_path / "cut.flac"
    soundfile.write(path, noise(70.0), 16_000)
    path.write_bytes(path.read_bytes()[:-100_000])
    (found,) = answer(model, [path])
    assert found.scores
    assert re.match(r".*cut\.flac: it breaks off 3\.\d+ s before the end .*; the rest is answered\.", found.notes[0])
    assert 65 < found.length < 67
