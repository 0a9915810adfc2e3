"""Scores of any target: those of audmetric and scikit-learn, of sums, of missing targets, and paired draws."""

import audmetric
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn import metrics

from serjax.evaluation.task_scores import KEYS, bootstrap, clip_sums, interval, known_rows, scores_of, task_scores
from serjax.evaluation.tasks import Task

AVD = Task("avd", "dimensions", ("arousal", "valence"), ((1, 7), (1, 7)))
SOFT = Task("emotion", "soft", ("a", "b", "c"))
LABELS = Task("labels", "multilabel", ("a", "b", "c"))


@given(st.integers(3, 60), st.integers(0, 2**32 - 1))
def test_dimensions_score_as_audmetric_does(clips, seed):
    rng = np.random.default_rng(seed)
    truth, answer = rng.uniform(size=(2, clips, 2))
    found = task_scores(AVD, truth, answer)
    true, said = 1 + 6 * truth, 1 + 6 * answer
    pairs = list(zip(true.T, said.T, strict=True))
    for key, function in {
        "ccc": audmetric.concordance_cc,
        "pearson": audmetric.pearson_cc,
        "mae": audmetric.mean_absolute_error,
    }.items():
        assert found[key] == pytest.approx(np.mean([function(x, y) for x, y in pairs]), abs=1e-9)
    mse = [audmetric.mean_squared_error(x, y) for x, y in pairs]
    assert found["rmse"] == pytest.approx(np.mean(np.sqrt(mse)), abs=1e-9)


@given(st.integers(2, 60), st.integers(0, 2**32 - 1))
@example(2, 16292).via("a single label is there")
def test_shares_and_labels_score_as_scikit_learn_does(clips, seed):
    rng = np.random.default_rng(seed)
    truth, answer = rng.dirichlet(np.ones(3), size=(2, clips))
    found, label, said = task_scores(SOFT, truth, answer), truth.argmax(1), answer.argmax(1)
    assert found["wa"] == pytest.approx(audmetric.accuracy(label, said))
    assert found["ua"] == pytest.approx(np.mean([(said[label == c] == c).mean() for c in np.unique(label)]), abs=1e-12)
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(label, said, average="macro"))
    assert found["top2"] == pytest.approx(metrics.top_k_accuracy_score(label, answer, k=2, labels=range(3)))
    assert found["kl"] == pytest.approx((truth * np.log(truth / answer)).sum(1).mean(), rel=1e-6)
    assert 0 <= found["js"] <= np.log(2)
    yes, score = rng.random((2, clips, 3))
    yes = (yes > 0.5).astype(float)
    found = task_scores(LABELS, yes, score)
    present = np.flatnonzero((yes.astype(bool) | (score > 0.5)).any(0))
    # One at a time: of a single column scikit-learn takes the mean over both its values.
    each = [metrics.f1_score(yes[:, label], score[:, label] > 0.5, zero_division=0) for label in present]
    assert not each or found["macro_f1"] == pytest.approx(np.mean(each))
    assert found["exact"] == pytest.approx(metrics.accuracy_score(yes, score > 0.5))


def test_missing_targets_count_for_nothing():
    rng = np.random.default_rng(0)
    truth, answer = rng.uniform(size=(2, 20, 2))
    missing = truth.copy()
    missing[5:, 1] = np.nan
    expected = [task_scores(AVD, truth[:rows], answer[:rows])["ccc"] for rows in (20, 5)]
    one = Task("one", "dimensions", ("x",), ((0, 1),))
    expected = [task_scores(one, truth[:n, i : i + 1], answer[:n, i : i + 1])["ccc"] for i, n in ((0, 20), (1, 5))]
    assert task_scores(AVD, missing, answer)["ccc"] == pytest.approx(np.mean(expected))
    shares = rng.dirichlet(np.ones(3), 4)
    shares[2:] = np.nan
    assert known_rows(shares).tolist() == [0, 1]
    assert clip_sums(SOFT, shares, np.full((4, 3), 1 / 3))[2:].sum() == 0


def test_concordance_of_a_single_clip_is_undefined_as_for_audmetric():
    one = np.array([[0.2, 0.4]])
    assert np.isnan(audmetric.concordance_cc(one[:, 0], one[:, 1]))
    assert np.isnan(task_scores(AVD, one, one + 0.1)["ccc"])


@pytest.mark.parametrize("task", [AVD, SOFT, LABELS])
def test_nothing_is_undefined_in_one_clip_but_correlations(task):
    truth = np.array([[1.0, 0, 0]])[:, : len(task.outputs)]
    found = task_scores(task, truth, truth)
    undefined = {key for key in KEYS[task.kind] if np.isnan(found[key])}
    assert undefined <= {"pearson", "ccc"}


def test_draws_take_whole_speakers_and_are_the_same_for_two_answers():
    rng = np.random.default_rng(0)
    truth, answer = rng.uniform(size=(2, 40, 2))
    groups = [f"s{clip // 10}" for clip in range(40)]
    sums = clip_sums(AVD, truth, answer)
    drawn = bootstrap(sums, groups, seed=1, draws=150)
    counts = drawn.reshape(150, 2, -1)[:, 0, 0]
    assert (counts == 40).all()
    same = bootstrap(sums, groups, seed=1, draws=150)
    np.testing.assert_array_equal(drawn, same)
    low, high = interval(scores_of(AVD, drawn)["ccc"], 0.95)
    assert low < task_scores(AVD, truth, answer)["ccc"] < high
    assert bootstrap(sums, None, seed=1, draws=10).shape == (10, 14)
    assert interval(np.full(3, np.nan), 0.95) is None
