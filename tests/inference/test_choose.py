"""Classes and coverages that a user chooses."""

import re

import numpy as np
import pytest
from saved_runs import write_run

from serjax.checkpoints.run_models import load_run
from serjax.inference.choose import check_coverage, chosen_classes, member_shares
from serjax.runtime.errors import UserError

LABELS = ("anger", "happy", "neutral")


def test_a_fold_s_share_is_split_among_its_seeds():
    np.testing.assert_allclose(member_shares((1, 3, 1, 3), [3, 1]), [0.375, 0.125, 0.375, 0.125])
    np.testing.assert_allclose(member_shares((1, 2), None), [0.5, 0.5])
    for weights in ([1], [-1, 2], [0, 0], [np.nan, 1]):
        with pytest.raises(UserError, match=r"weights: got .* 2 numbers, one for each of the folds 1, 2"):
            member_shares((1, 2), weights)


def test_classes_are_found_in_the_order_of_the_model():
    assert chosen_classes(LABELS, "softmax", None) is None
    assert chosen_classes(LABELS, "softmax", ["neutral", "anger"]) == (0, 2)


@pytest.mark.parametrize(
    ("outputs", "only", "sentence"),
    [
        (
            "softmax",
            ["angry", "happy"],
            "only: the model has no class 'angry'; did you mean anger? It has anger, happy",
        ),
        ("softmax", ["xyz", "happy"], "only: the model has no class 'xyz'; it has anger, happy, neutral."),
        ("softmax", ["happy", "happy"], "only: got happy; give two classes or more of anger, happy, neutral."),
        ("softmax", [], "only: got none; give two classes or more"),
        ("softmax", "anger", "only: got 'anger'; give a list of classes, such as ['anger', 'happy']."),
        ("sigmoid", ["anger", "happy"], "only: this model's scores do not add up to 1"),
        ("identity", ["anger", "happy"], "only: this model's scores do not add up to 1"),
    ],
)
def test_classes_that_cannot_be_chosen_are_told(outputs, only, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        chosen_classes(LABELS, outputs, only)


@pytest.mark.parametrize(
    ("coverage", "only", "sentence"),
    [
        (0, None, r"coverage: got 0; give a share between 0 and 1"),
        (1.5, None, r"coverage: got 1\.5; give a share"),
        (0.9, (0, 1), "coverage: sets of labels are calibrated for all classes; leave out coverage, or `only`"),
        # 1 - (1 / 10 + 1 / 20) / 2
        (0.95, None, r"coverage: got 0\.95, .* too few for it \(9 to 19 a fold\).* give 0\.925 or less"),
    ],
)
def test_coverages_that_cannot_be_reached_are_told(tmp_path, coverage, only, sentence):
    write_run(tmp_path, calibration=[(1.0, (0.5,) * 9), (1.0, (0.5,) * 19)])
    models, weights = load_run(tmp_path), np.array([0.5, 0.5], np.float32)
    check_coverage(models, weights, None, 0.92)
    check_coverage(models, np.array([0, 1], np.float32), None, 0.95)
    with pytest.raises(UserError, match=sentence):
        check_coverage(models, weights, only, coverage)
    with pytest.raises(UserError, match="coverage: sets of labels rest on a run's calibration, and here is none"):
        check_coverage(models._replace(calibration=None), weights, None, 0.9)
