"""Curves of few points: what they summarise is what came, whatever the blocks."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serjax.evaluation.timeline_curves import Envelope, ScoreCurve


@given(st.lists(st.integers(0, 70), max_size=9), st.sampled_from([2, 4, 16]))
def test_the_envelope_holds_the_extremes_of_each_stretch(sizes, points):
    total = sum(sizes)
    sound = np.random.default_rng(total).normal(size=(total, 2)).astype(np.float32)
    envelope = Envelope(2, points)
    for block in np.split(sound, np.cumsum(sizes)[:-1]) if sizes else []:
        envelope.push(block)
    low, high = envelope.curves()
    starts = range(0, total, envelope.step)
    assert len(low) == len(high) == len(starts) <= points
    assert envelope.step == 1 or total > envelope.step // 2 * points
    for place, start in enumerate(starts):
        np.testing.assert_array_equal(low[place], sound[start : start + envelope.step].min(0))
        np.testing.assert_array_equal(high[place], sound[start : start + envelope.step].max(0))


@given(st.lists(st.booleans(), min_size=1, max_size=70), st.sampled_from([2, 4, 16]))
def test_a_score_curve_is_the_mean_of_windows_that_have_scores(scored, points):
    scores = np.random.default_rng(len(scored)).random((len(scored), 3))
    curve = ScoreCurve(3, points)
    for time, (there, score) in enumerate(zip(scored, scores, strict=True)):
        curve.push(float(time), score if there else None)
    times, means = curve.curves()
    every = 1
    while len(scored) > every * points:
        every *= 2
    assert len(times) == -(-len(scored) // every)
    for place, mean in enumerate(means):
        here = slice(place * every, (place + 1) * every)
        assert times[place] == np.arange(len(scored))[here].mean()
        own = scores[here][np.array(scored[here])]
        np.testing.assert_allclose(mean, own.mean(0) if len(own) else np.full(3, np.nan))


def test_nothing_has_no_points():
    assert len(Envelope().curves()[0]) == 0
    assert len(ScoreCurve(2).curves()[0]) == 0
