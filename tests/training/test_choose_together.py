"""Folds train together where that is faster, and the reason is said."""

import pytest

from serjax.training.choose_together import choose_together


@pytest.mark.parametrize(
    ("wish", "backend", "frozen", "together", "why"),
    [
        ("auto", "cpu", False, False, "on a CPU a trained encoder is faster so"),
        ("auto", "cpu", True, True, "only heads are trained"),
        ("auto", "gpu", False, True, "one gpu step keeps the device busier"),
        ("yes", "cpu", False, True, "as asked"),
        ("no", "gpu", True, False, "as asked"),
    ],
)
def test_folds_train_together_or_not_with_a_reason(wish, backend, frozen, together, why):
    chosen, reason = choose_together(wish, backend=backend, frozen_encoder=frozen)
    assert chosen is together
    assert why in reason
