"""A run that never took place, for the tests of its report."""

import little_run
import pytest


@pytest.fixture
def make_run():
    return little_run.make_run
