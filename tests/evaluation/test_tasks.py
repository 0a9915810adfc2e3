"""Tasks: places of their outputs, and dimensions on the corpus's scale."""

import numpy as np

from serjax.evaluation.tasks import Task, places


def test_places_follow_each_other():
    tasks = [Task("a", "class", ("x", "y")), Task("b", "dimensions", ("v",), ((1, 7),))]
    assert places(tasks) == [slice(0, 2), slice(2, 3)]


def test_dimensions_are_scaled_to_their_ranges():
    task = Task("avd", "dimensions", ("a", "v"), ((1, 7), (-1, 1)))
    np.testing.assert_allclose(task.scaled(np.array([[0, 0.5], [1, 0.25]])), [[1, 0], [7, -0.5]])
    assert task.metric == "ccc"
    shares = np.array([[0.2, 0.8]])
    assert Task("e", "soft", ("a", "b")).scaled(shares) is shares
