"""Timelines: a model's answers for windows that slide over a recording."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from saved_runs import write_run

from serjax.inference.load import load
from serjax.models.video import Video
from serjax.runtime.errors import UserError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_run(folder, max_seconds=0.5)
    return load(folder)


def sound(seconds, channels=1, rate=16_000):
    return np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels)).astype(np.float32)


def scores(model, wave):
    found = {entry["label"]: entry["score"] for entry in model((wave, 16_000))}
    return [found[label] for label in model.labels]


def test_rows_are_the_answers_for_the_windows(model):
    wave = sound(1.3)[:, 0]
    found = model.timeline((wave, 16_000), 0.4, 0.2)
    spans = [(row.start, row.end) for row in found.rows]
    np.testing.assert_allclose(spans, [(0, 0.4), (0.2, 0.6), (0.4, 0.8), (0.6, 1.0), (0.8, 1.2), (0.9, 1.3)])
    assert (found.window, found.hop, found.labels) == (0.4, 0.2, model.labels)
    for row in found.rows:
        part = wave[round(row.start * 16_000) : round(row.end * 16_000)]
        np.testing.assert_allclose(row.score, scores(model, part), atol=1e-5)
        assert row.uncertainty >= 0
        assert row.channel is None


def test_a_table_has_a_column_a_score(model):
    wave = sound(1.3)[:, 0]
    wave[:8_000] = 0
    found = model.timeline((wave, 16_000), 0.4, 0.4, vad="energy")
    table = found.table()
    assert list(table) == ["start", "end", "channel", "label", "uncertainty", "speech", *model.labels]
    assert table["start"] == [0, 0.4, 0.8, 0.9]
    assert table["label"][0] is None
    for place, row in enumerate(found.rows):
        assert [table[label][place] for label in model.labels] == pytest.approx(row.score)
        assert table["label"][place] in (None, model.labels[int(row.score.argmax())])
    assert None not in table["label"][1:]
    assert replace(found, outputs="identity").table()["label"] == [None] * 4


def test_a_file_gives_what_its_samples_give(model, tmp_path):
    wave = sound(2.0, rate=44_100)
    soundfile.write(tmp_path / "long.wav", wave, 44_100, subtype="FLOAT")
    file, array = (model.timeline(one) for one in (tmp_path / "long.wav", (wave[:, 0], 44_100)))
    assert (file.window, file.hop) == (0.5, 0.5)
    assert [row[:3] for row in file.rows] == [row[:3] for row in array.rows]
    np.testing.assert_allclose([row.score for row in file.rows], [row.score for row in array.rows], atol=1e-6)


def test_channels_are_answered_apart_or_as_their_mean(model):
    stereo = sound(0.9, channels=2)
    apart = model.timeline((stereo, 16_000), 0.5, 0.4, channels="separate")
    assert [row.channel for row in apart.rows] == ["left", "right"] * 2
    for name, column in (("left", 0), ("right", 1)):
        alone = model.timeline((stereo[:, column], 16_000), 0.5, 0.4)
        own = [row.score for row in apart.rows if row.channel == name]
        np.testing.assert_allclose(own, [row.score for row in alone.rows], atol=1e-6)
    mixed, mean = model.timeline((stereo, 16_000)), model.timeline((stereo.mean(1), 16_000))
    np.testing.assert_allclose([row.score for row in mixed.rows], [row.score for row in mean.rows], atol=1e-6)


def test_an_inverted_channel_does_not_vanish(model):
    wave = sound(1.3)
    stereo = np.concatenate([-0.9 * wave, wave], 1)
    with pytest.warns(UserWarning, match=r"the array: from 0.0 s on channels cancel each other in places .*, right\)"):
        mixed = model.timeline((stereo, 16_000))
    alone = model.timeline((wave, 16_000))
    np.testing.assert_allclose([row.score for row in mixed.rows], [row.score for row in alone.rows], atol=1e-6)


def test_windows_tell_their_share_of_speech(model):
    wave = sound(4.0)[:, 0]
    wave[16_000:40_000] *= 1e-4
    found = model.timeline((wave, 16_000), 0.5, 0.5, vad="energy")
    plain = model.timeline((wave, 16_000), 0.5, 0.5)
    assert {row.speech for row in plain.rows} == {None}
    # The frames are 128 ms long, so that a little before and after is speech too.
    assert [row.speech for row in found.rows] == [
        1,
        1,
        pytest.approx(0.1, abs=0.1),
        0,
        pytest.approx(0.1, abs=0.1),
        1,
        1,
        1,
    ]
    np.testing.assert_array_equal([row.score for row in found.rows], [row.score for row in plain.rows])


def test_speech_is_told_of_each_channel(model):
    first = sound(1.0)
    second = 1e-4 * sound(1.0)
    second[8_000:] *= 1e4
    found = model.timeline((np.concatenate([first, second], 1), 16_000), 0.5, 0.5, channels="separate", vad="energy")
    assert [(row.channel, round(row.speech)) for row in found.rows] == [
        ("left", 1),
        ("right", 0),
        ("left", 1),
        ("right", 1),
    ]


def test_every_call_but_the_first_has_the_same_number_of_windows(model, monkeypatch):
    sizes, logits = [], type(model).logits
    monkeypatch.setattr(
        type(model), "logits", lambda self, waves, *more: sizes.append(len(waves)) or logits(self, waves, *more)
    )
    assert len(model.timeline((sound(2.0)[:, 0], 16_000), 0.2, 0.15).rows) == 13
    assert len(model.timeline((sound(0.6)[:, 0], 16_000), 0.2, 0.15).rows) == 4
    assert sizes == [8, 8, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0.6}, r"window: got 0.6 s; this model hears 0.02\d* to 0.5 s"),
        ({"window": 0.001}, r"window: got 0.001 s"),
        ({"window": 0.4, "hop": 0.5}, r"hop: got 0.5 s; give more than 0 and at most the window of 0.4 s"),
        ({"hop": 0}, r"hop: got 0 s"),
        ({"channels": "left"}, r"channels: got 'left'; give mix or separate"),
        ({"vad": "all"}, r"vad: got 'all'; give none or energy or silero"),
    ],
)
def test_options_that_cannot_be_are_refused(model, options, message):
    with pytest.raises(UserError, match=message):
        model.timeline((sound(1)[:, 0], 16_000), **options)


@pytest.mark.parametrize(("samples", "message"), [(0, "it holds no samples"), (100, "it has 100 samples at 16 kHz")])
def test_sound_that_is_too_short_is_refused(model, samples, message):
    with pytest.raises(UserError, match=message):
        model.timeline((np.zeros(samples, np.float32), 16_000))


def test_models_that_take_video_have_no_timeline(tmp_path):
    write_run(tmp_path, Video())
    with pytest.raises(UserError, match="a timeline is made of sound alone, but this model takes video"):
        load(tmp_path).timeline((sound(1)[:, 0], 16_000))
