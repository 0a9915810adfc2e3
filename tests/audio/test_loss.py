"""Sentences on what is missing of a recording."""

import pytest

from serjax.audio.loss import LEAST, Loss


@pytest.mark.parametrize(
    ("loss", "seconds", "said"),
    [
        (Loss(), 0, None),
        (Loss(end=1e-4), 0, None),
        (Loss(end=1.5), 1.5, "a.wav: it breaks off 1.500 s before the end that its header gives; so it is."),
        (Loss(inside=0.25), 0.25, "a.wav: 0.250 s within it are damaged and do not decode; so it is."),
        (
            Loss(unknown=True),
            LEAST,
            "a.wav: it breaks off in the middle of its data, and nothing says how long it was; so it is.",
        ),
    ],
)
def test_sentences(loss, seconds, said):
    assert loss.seconds == seconds
    assert loss.sentence("a.wav", "so it is.") == said
