"""What is saved comes back as it was, although training goes on over it; a full disk is said in a sentence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import multihost_utils

from serjax.runtime.errors import UserError
from serjax.training.config import OptimizerConfig
from serjax.training.optimizer import make_optimizer
from serjax.training.resume import ResumePoint, keep_last
from serjax.training.update import TrainState, init_state


def test_the_last_epoch_comes_back_although_its_memory_was_taken_over(tmp_path):
    step = jax.jit(lambda state: jax.tree.map(lambda x: x + 1, state), donate_argnums=0)
    params = {"w": jnp.arange(200_000.0)}
    state = init_state(params, make_optimizer(OptimizerConfig(), params))
    point = ResumePoint(tmp_path)
    assert point.restore({"state": state}) is None
    for epoch in (1, 2, 3):
        state = step(state)
        wanted = jax.tree.map(np.array, state)
        point.save(epoch, {"state": state, "waited": np.arange(epoch, epoch + 2)})
        for _ in range(5):
            state = step(state)
    point.close()
    again = ResumePoint(tmp_path)
    epoch, tree = again.restore({"state": state, "waited": np.zeros(2, int)})
    assert epoch == again.latest() == 3
    assert isinstance(tree["state"], TrainState)
    jax.tree.map(np.testing.assert_array_equal, tree["state"], wanted)
    np.testing.assert_array_equal(tree["waited"], [3, 4])
    again.close()


def test_a_state_of_another_version_is_refused_in_a_sentence(tmp_path):
    weights = {"w": jnp.arange(3.0)}
    point = ResumePoint(tmp_path)
    point.save(1, {"state": {"params": weights, "adam": weights}})
    point.close()
    again = ResumePoint(tmp_path)
    with pytest.raises(UserError, match=r"not one of this version .* --overwrite"):
        again.restore({"state": {"params": weights, "moments": (weights, weights)}})
    again.close()


@pytest.mark.parametrize(
    ("folds", "rows", "width", "restored"),
    [(4, 6, 3, True), (4, 4, 3, True), (4, 3, 3, False), (4, 6, 4, False), (None, 6, 3, False)],
)
def test_folds_that_fill_up_the_mesh_may_be_more_or_fewer_and_nothing_else(tmp_path, folds, rows, width, restored):
    def state(rows, width):
        params = {"w": jnp.broadcast_to(jnp.arange(float(width)), (rows, width))}
        return {"state": init_state(params, make_optimizer(OptimizerConfig(), params)), "score": np.zeros(4)}

    point = ResumePoint(tmp_path)
    point.save(1, state(5, 3))
    point.close()
    again = ResumePoint(tmp_path)
    if restored:
        _, tree = again.restore(state(rows, width), folds)
        assert tree["state"].params["w"].shape == (rows, width)
        np.testing.assert_array_equal(tree["state"].params["w"][:4], state(4, 3)["state"].params["w"])
    else:
        with pytest.raises(UserError, match="not one of this version"):
            again.restore(state(rows, width), folds)
    again.close()


def test_a_full_disk_gets_a_sentence(tmp_path, monkeypatch):
    point = ResumePoint(tmp_path)

    def full(*arguments, **settings):
        raise ValueError('RESOURCE_EXHAUSTED: Error writing "x": No space left on device')

    monkeypatch.setattr(point._epochs, "save", full)
    with pytest.raises(UserError, match=r"the disk is full .*--out"):
        point.save(1, {"x": jnp.zeros(2)})
    monkeypatch.undo()
    point.close()


def test_saving_leaves_the_count_of_steps_at_which_processes_stop_alone(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(multihost_utils, "reached_preemption_sync_point", asked.append)
    point = ResumePoint(tmp_path)
    point.save(1, {"weights": jnp.arange(3.0)})
    point.save(1, {"weights": jnp.arange(3.0)}, partial=True)
    point.close()
    assert ResumePoint(tmp_path).latest() == 1
    assert asked == []


def test_last_epoch_alone_is_kept(tmp_path):
    for name in ("2", "10", "9", "partial/10", "trials_1/3"):
        (tmp_path / name).mkdir(parents=True)
    keep_last(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"10", "trials_1"}
