"""Clips of a corpus in which nothing is suspicious."""

from pathlib import Path

import pytest

from serjax.data.utterance import Utterance


@pytest.fixture(scope="session")
def corpus():
    """A function that returns clips of some speakers, who each have as many clips of every class."""

    def make(people=4, classes=("calm", "sad"), clips=20):
        return [
            Utterance(f"s{s}/{label}-{n}", Path(f"/c/s{s}/{label}-{n}.wav"), label, f"s{s}")
            for s in range(people)
            for label in classes
            for n in range(clips)
        ]

    return make
