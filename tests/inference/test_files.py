"""Answers for many clips come in their order, and an unreadable clip gets none."""

import numpy as np
import pytest

from serjax.data.store.decoded import content_hash
from serjax.inference import files
from serjax.inference.files import _answered, answer
from serjax.inference.inputs import Sample
from serjax.runtime.errors import UserError


class Counting:
    """An ensemble whose score of a clip is its first sample."""

    def __init__(self):
        self.calls = []

    def read(self, clip):
        if clip is None:
            raise UserError("it cannot be read.")
        return Sample(np.array([clip, 0], np.float32), notes=("a note",), offset=0.1)

    def heard(self, sample):
        return sample.wave[:1]

    def rate(self, clip):
        return 8000

    long_clips = "head"

    def windows(self, sample):
        return [sample.wave]

    def answers(self, samples):
        self.calls.append(len(samples))
        return np.array([sample.wave[:1] for sample in samples]), None

    def check_coverage(self, coverage):
        if coverage > 0.9:
            raise UserError("too high.")

    labels = ("x", "y")

    def answers_with_sets(self, samples, coverage):
        scores = np.array([[0.25, 0.75]] * len(samples))
        return scores, np.full(len(samples), 0.5), np.array([[sample.wave[0] > 0.3, True] for sample in samples])

    def ranked(self, row):
        if len(row) == 2:
            return [{"label": "y", "score": float(row[1])}, {"label": "x", "score": float(row[0])}]
        return [{"label": "x", "score": float(row[0])}]


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_answers_keep_the_order(monkeypatch, chunk):
    monkeypatch.setattr(files, "CHUNK", chunk)
    ensemble = Counting()
    found = list(answer(ensemble, [0.5, None, 0.25]))
    assert [one.scores for one in found] == [[{"label": "x", "score": 0.5}], [], [{"label": "x", "score": 0.25}]]
    assert [one.rate for one in found] == [8000, None, 8000]
    assert [one.notes for one in found] == [("a note",), ("it cannot be read.",), ("a note",)]
    assert sum(ensemble.calls) == 2


def test_answers_say_what_was_heard():
    one, none = answer(Counting(), [0.5, None])
    assert (one.heard, one.length, one.offset) == (1 / 16_000, 2 / 16_000, 0.1)
    assert one.digest == content_hash(np.array([0.5, 0], "<f4"))
    assert (none.heard, none.digest) == (None, None)


def test_sets_come_with_the_answers_the_most_probable_label_first():
    one, none, two = answer(Counting(), [0.5, None, 0.25], 0.9)
    assert (one.set, none.set, two.set) == (("y", "x"), None, ("y",))
    assert one.uncertainty == 0.5
    with pytest.raises(UserError, match=r"too high\."):
        list(answer(Counting(), [None], 0.95))


def test_what_is_wrong_with_one_clip_costs_no_other_its_answer():
    class Picky:
        def answers(self, samples):
            if any(sample.wave[0] > 1 for sample in samples):
                raise UserError("there is not enough memory for 9 s of sound at once; give shorter clips.")
            return np.array([[sample.wave[0]] for sample in samples]), None

    samples = [Sample(np.full(4, value, np.float32)) for value in (0.25, 9, 0.5, 0.75, 9)]
    found = _answered(Picky(), samples, None)
    assert [None if isinstance(one, UserError) else one.scores[0] for one in found] == [0.25, None, 0.5, 0.75, None]


def test_an_error_that_nobody_foresaw_is_one_clips(monkeypatch):
    class Astray(Counting):
        def read(self, clip):
            if clip == 7:
                raise IndexError("tuple index out of range")
            return super().read(clip)

    good, bad, other = answer(Astray(), [0.5, 7, 0.25])
    assert good.scores
    assert other.scores
    assert bad.notes == (
        "the clip: it cannot be read (IndexError: tuple index out of range); convert it to FLAC or WAV.",
    )
