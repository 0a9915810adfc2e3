"""Pictures of a corpus: bars as long as the counts, for few and many speakers, and the same bytes each time."""

import numpy as np
import pytest
from corpus_report import corpus_report
from matplotlib.patches import Rectangle

from serjax.evaluation.corpus_plots import MOST_SPEAKERS, clips_figure, figures, png, short


def bars(axes):
    return [one.get_width() for one in axes.patches if isinstance(one, Rectangle)]


def test_bars_and_colours_are_the_numbers_of_clips():
    left, right = clips_figure(corpus_report()).axes
    assert bars(left) == [6, 6, 6]
    np.testing.assert_array_equal(right.images[0].get_array(), np.full((3, 3), 2))
    assert [one.get_text() for one in right.texts] == ["2"] * 9


@pytest.mark.parametrize("people", [1, MOST_SPEAKERS + 1])
def test_one_speaker_and_too_many_for_columns(people):
    left, right = clips_figure(corpus_report(people=people, sound=False)).axes
    assert bars(left) == [2 * people] * 3
    assert bool(right.images) == (people == 1)


def test_clips_without_speakers():
    report = corpus_report() | {"speakers": [], "clips_of_speakers": [[], [], []]}
    assert len(clips_figure(report).axes) == 1


def test_every_picture_where_there_are_numbers_and_none_elsewhere():
    made = figures(corpus_report())
    assert list(made) == ["clips", "sound", "levels", "votes", "values"]
    assert png(made["votes"]).startswith(b"\x89PNG")
    assert png(made["votes"]) == png(figures(corpus_report(sound=False))["votes"])
    assert list(figures(corpus_report(sound=False, votes=False, values=False))) == ["clips"]


def test_long_names_are_cut():
    assert short("") == "(none)"
    assert short("x" * 24) == "x" * 24
    assert short("x" * 25) == "x" * 23 + "\N{HORIZONTAL ELLIPSIS}"
