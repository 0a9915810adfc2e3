"""Windows taken apart into channels, or mixed with what is to be said of it."""

import numpy as np
import pytest

from serjax.audio.stream import open_stream
from serjax.inference.channels import Splitter, channel_names
from serjax.inference.windows import Window

WAVE = np.random.default_rng(0).normal(0, 0.1, 1_600).astype(np.float32)


@pytest.fixture
def stereo():
    with open_stream((np.zeros((1_600, 2), np.float32), 16_000)) as stream:
        yield stream


def test_names_of_channels():
    assert channel_names(2) == ["left", "right"]
    assert channel_names(1) == ["1"]
    assert channel_names(3) == ["1", "2", "3"]


def test_channels_and_their_speech_are_taken_apart(stereo):
    marks = np.repeat(np.array([[1, 0], [0, 1]], np.float32), [400, 1_200], 1)[:, :1_600]
    left, right = Splitter(stereo, separate=True)(Window(0, np.stack([WAVE, -WAVE, *marks])))
    assert (left.channel, left.speech) == ("left", pytest.approx(marks[0].mean()))
    assert (right.channel, right.speech) == ("right", pytest.approx(marks[1].mean()))
    np.testing.assert_array_equal(left.wave, WAVE)
    np.testing.assert_array_equal(right.wave, -WAVE)
    assert stereo.notes == []


def test_a_silent_channel_apart_is_told_once_unless_its_speech_is_known(stereo):
    splitter, silence = Splitter(stereo, separate=True), np.zeros_like(WAVE)
    splitter(Window(0, np.stack([WAVE, silence, silence, silence])))
    assert stereo.notes == []
    for start in (16_000, 32_000):
        left, right = splitter(Window(start, np.stack([WAVE, silence])))
        assert (left.channel, right.channel) == ("left", "right")
    assert stereo.notes == [
        "the array: from 1.0 s on channels are silent in places (right; 60 dB below the loudest), and an answer for "
        "silence means nothing; --vad energy leaves it out."
    ]


def test_a_mix_has_one_share_of_speech_or_none(stereo):
    splitter = Splitter(stereo, separate=False)
    (known,) = splitter(Window(0, np.stack([WAVE, 0.5 * WAVE, np.ones_like(WAVE)])))
    (unknown,) = splitter(Window(0, np.stack([WAVE, 0.5 * WAVE])))
    assert (known.channel, known.speech, unknown.speech) == (None, 1.0, None)
    np.testing.assert_allclose(known.wave, 0.75 * WAVE, rtol=1e-5)


def test_what_is_left_out_of_the_mean_is_told_once(stereo):
    splitter = Splitter(stereo, separate=False)
    for start in (0, 16_000, 32_000):
        (one,) = splitter(Window(start, np.stack([WAVE, np.zeros_like(WAVE) if start else WAVE])))
        np.testing.assert_array_equal(one.wave, WAVE)
        (one,) = splitter(Window(start, np.stack([WAVE, -WAVE if start > 16_000 else WAVE])))
        np.testing.assert_array_equal(one.wave, WAVE)
    assert stereo.notes == [
        "the array: from 1.0 s on channels are silent in places (right; 60 dB below the loudest), and left out of the "
        "mean there.",
        "the array: from 2.0 s on channels cancel each other in places (their mean is 20 dB below the loudest, left); "
        "the loudest is heard there.",
    ]
