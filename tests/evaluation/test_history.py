"""Rows of the log: the epoch that was kept, by macro-F1 or by the score of other targets."""

from serjax.evaluation.history import VALIDATION_SCORE, chosen_histories, kept_row


def row(fold, epoch, macro_f1, **more):
    return {"fold": fold, "epoch": epoch, "validation_macro_f1": macro_f1, **more}


def test_best_score_is_kept_and_of_equals_the_first():
    assert kept_row([row(1, 1, 0.1), row(1, 2, 0.4), row(1, 3, 0.4)])["epoch"] == 2
    assert kept_row([row(1, 1, 0.4), row(1, 2, 0.1, keep="last")])["epoch"] == 2


def test_score_of_other_targets_comes_before_macro_f1():
    rows = [row(1, 1, 0.9, **{VALIDATION_SCORE: 0.1}), row(1, 2, 0.2, **{VALIDATION_SCORE: 0.3})]
    assert kept_row(rows)["epoch"] == 2


def test_rate_of_the_best_kept_epoch_is_chosen():
    rows = [row(1, 1, score, seed=0, learning_rate=rate) for rate, score in ((1e-3, 0.2), (1e-2, 0.3))]
    assert chosen_histories([*rows, row(1, 1, 0.9, seed=1, learning_rate=1e-3)]) == {1: [rows[1]]}
