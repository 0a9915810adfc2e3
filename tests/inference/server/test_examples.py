"""Example clips: the same every time, one for each emotion, and a conversation that is longer than a window."""

import io

import numpy as np
import soundfile

from serjax.data.corpora.synthetic.corpus import EMOTIONS
from serjax.inference.server.examples import examples


def test_there_is_a_clip_of_each_emotion_and_a_conversation():
    found = examples()
    assert list(found) == [*EMOTIONS, "conversation"]
    for one in found.values():
        wave, rate = soundfile.read(io.BytesIO(one.wav))
        assert (rate, len(wave) / rate) == (16_000, one.seconds)
        assert 0.01 < np.sqrt(np.mean(wave**2)) < 0.5
    assert found["conversation"].seconds > 9


def test_clips_are_the_same_every_time():
    first = {name: one.wav for name, one in examples().items()}
    examples.cache_clear()
    assert {name: one.wav for name, one in examples().items()} == first
