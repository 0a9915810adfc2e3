"""Smoothing of windows, and segments that cover a recording: properties, and cases counted by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serjax.inference.segments import MARGIN, PATIENCE, Segment, Segmenter, Smoothed, segments, smooth
from serjax.inference.timeline import Timeline, WindowAnswer

LABELS = ("angry", "happy", "sad")


def timeline(scores, window=3.0, hop=1.0, *, channels=(None,), speech=None, outputs="softmax", end=None):
    """Windows every hop; scores [n channels c]; the last one may end with a recording that ends off the hop."""
    rows = []
    for number, each in enumerate(scores):
        last = end is not None and number == len(scores) - 1
        start = end - window if last else number * hop
        for place, (channel, score) in enumerate(zip(channels, each, strict=True)):
            share = None if speech is None else float(speech[number, place])
            rows.append(WindowAnswer(start, start + window, channel, np.asarray(score, np.float32), None, share))
    return Timeline(LABELS, rows, window, hop, outputs)


@st.composite
def timelines(draw):
    window = draw(st.sampled_from([0.5, 1.0, 3.0]))
    hop = window * draw(st.sampled_from([0.1, 1 / 3, 0.5, 1.0]))
    count = draw(st.integers(1, 30))
    channels = draw(st.sampled_from([(None,), ("left", "right")]))
    values = arrays.arrays(np.float32, (count, len(channels), 3), elements=st.floats(0.0625, 1, width=32))
    scores = draw(values)
    scores /= scores.sum(-1, keepdims=True)
    shares = arrays.arrays(np.float64, (count, len(channels)), elements=st.floats(0, 1))
    speech = draw(st.none() | shares)
    end = (count - 1) * hop + window - draw(st.floats(0, 0.9)) * hop if count > 1 else None
    return timeline(scores, window, hop, channels=channels, speech=speech, end=end)


def of_channel(found, channel):
    return [one for one in found if one.channel == channel]


@given(timelines())
def test_smoothing_is_the_mean_weighted_by_overlap_and_speech(given_timeline):
    rows = given_timeline.rows
    found = list(smooth(rows))
    assert sorted(id(one.row) for one in found) == sorted(map(id, rows))
    for row, score in found:
        overlap = [max(0.0, min(one.end, row.end) - max(one.start, row.start)) for one in rows]
        weight = [
            share * (one.channel == row.channel) * (1 if one.speech is None else one.speech)
            for share, one in zip(overlap, rows, strict=True)
        ]
        expected = np.average([one.score for one in rows], 0, weight) if sum(weight) > 0 else row.score
        np.testing.assert_allclose(score, expected, atol=1e-5)


@given(timelines())
def test_smoothed_windows_of_a_channel_keep_their_order(given_timeline):
    found = [one.row for one in smooth(given_timeline.rows)]
    for channel in {row.channel for row in found}:
        assert of_channel(found, channel) == of_channel(given_timeline.rows, channel)


def test_a_window_is_smoothed_when_no_later_one_overlaps():
    rows = timeline(np.full((9, 1, 3), 1 / 3)).rows
    taken = 0

    def coming():
        nonlocal taken
        for row in rows:
            taken += 1
            yield row

    first = next(smooth(coming()))
    assert first.row.start == 0
    assert taken == 4  # 0-3, 1-4, 2-5, and 3-6, which does not overlap


@given(timelines())
def test_segments_cover_the_recording_but_for_windows_without_speech(given_timeline):
    found = segments(given_timeline)
    assert [one.start for one in found] == sorted(one.start for one in found)
    for channel in {row.channel for row in given_timeline.rows}:
        own, rows = of_channel(found, channel), of_channel(given_timeline.rows, channel)
        assert all(one.start < one.end for one in own)
        assert all(one.end <= after.start for one, after in pairwise(own))
        assert all(one.end < after.start or one.label != after.label for one, after in pairwise(own))
        assert all(one.label in LABELS and 0 <= one.score <= 1 for one in own)
        for row in rows:
            centre = (row.start + row.end) / 2
            inside = any(one.start <= centre <= one.end for one in own)
            assert inside == (row.speech is None or row.speech >= 0.2)
        if all(row.speech is None for row in rows):
            assert (own[0].start, own[-1].end) == (0, rows[-1].end)
            assert all(one.end == after.start for one, after in pairwise(own))


@given(timelines())
def test_channels_are_segmented_each_for_itself(given_timeline):
    together = segments(given_timeline)
    for channel in {row.channel for row in given_timeline.rows}:
        rows = of_channel(given_timeline.rows, channel)
        assert segments(Timeline(LABELS, rows, 1, 1)) == of_channel(together, channel)


def labelled(names, lead):
    """Scores of windows that do not overlap: so much more for the label named than for the two others."""
    scores = np.full((len(names), 1, 3), (1 - lead) / 3)
    for number, name in enumerate(names):
        scores[number, 0, LABELS.index(name)] += lead
    return timeline(scores, 1.0, 1.0)


def test_a_label_that_leads_clearly_begins_a_segment_at_once():
    found = segments(labelled(["sad", "sad", "angry", "sad"], 2 * MARGIN))
    assert [one[:3] for one in found] == [(0.0, 2.0, "sad"), (2.0, 3.0, "angry"), (3.0, 4.0, "sad")]
    score = (1 - 2 * MARGIN) / 3 + 2 * MARGIN
    assert [one.score for one in found] == pytest.approx([score] * 3)


def test_a_label_that_leads_a_little_must_do_so_for_some_windows():
    assert PATIENCE == 3
    shortly = segments(labelled(["sad", "angry", "angry", "sad", "sad"], MARGIN / 2))
    assert [one[:3] for one in shortly] == [(0.0, 5.0, "sad")]
    low, high = (1 - MARGIN / 2) / 3, (1 - MARGIN / 2) / 3 + MARGIN / 2
    assert shortly[0].score == pytest.approx((3 * high + 2 * low) / 5)
    long = segments(labelled(["sad", "sad", "angry", "angry", "angry"], MARGIN / 2))
    assert [one[:3] for one in long] == [(0.0, 2.0, "sad"), (2.0, 5.0, "angry")]
    assert [one.score for one in long] == pytest.approx([high, high])
    rivals = segments(labelled(["sad", "angry", "angry", "happy", "happy"], MARGIN / 2))
    assert [one[:3] for one in rivals] == [(0.0, 5.0, "sad")]


def test_a_gap_is_where_there_is_no_speech():
    speech = np.array([[1.0], [0.5], [0.1], [0.2]])
    found = segments(timeline(np.tile([0.1, 0.2, 0.7], (4, 1, 1)), 1.0, 1.0, speech=speech))
    assert [one[:3] for one in found] == [(0.0, 2.0, "sad"), (3.0, 4.0, "sad")]


def test_values_have_no_segments():
    assert segments(timeline(np.ones((3, 1, 3)), outputs="identity")) == []


def test_segments_come_as_they_end():
    rows = [Smoothed(row, row.score) for row in labelled(["sad", "angry", "angry"], 0.9).rows]
    segmenter = Segmenter(LABELS)
    assert [segmenter.push(row) for row in rows] == [
        [],
        [Segment(0.0, 1.0, "sad", pytest.approx(0.9333, abs=1e-3), None)],
        [],
    ]
    assert [one[:3] for one in segmenter.finish()] == [(1.0, 3.0, "angry")]
    assert segmenter.finish() == []
