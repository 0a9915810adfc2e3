"""Loading of what answers: see test_ensemble.py for what it does then, and test_published.py for published ones."""

import pytest
from saved_runs import write_run

from serjax.inference.ensemble import Ensemble
from serjax.inference.load import load
from serjax.runtime.errors import UserError


def test_a_run_is_loaded_with_all_its_folds(tmp_path):
    write_run(tmp_path, folds=(1, 3))
    found = load(str(tmp_path))
    assert isinstance(found, Ensemble)
    assert found.folds == (1, 3)


def test_a_precision_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="dtype: got 'float16'; give float32 or bfloat16"):
        load(tmp_path, dtype="float16")
