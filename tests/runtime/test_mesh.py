"""The mesh of devices: its shape, its axes, and arrays laid along them."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec

from serjax.runtime.mesh import describe_mesh, make_mesh, mesh_shape, sharding


@given(st.integers(1, 30), st.integers(1, 16), st.integers(1, 16), st.integers(1, 4))
def test_parts_of_parameters_leave_fewer_devices_to_folds_and_batches(folds, rows, devices, shard):
    devices, batch = devices * shard, rows * shard
    fold, data = mesh_shape(folds, batch, devices, shard=shard)
    assert fold * data * shard <= devices
    assert batch % (data * shard) == 0
    # The devices of a group work as one that takes as many clips at a time.
    assert (fold, data) == mesh_shape(folds, rows, devices // shard)


@given(st.integers(1, 30), st.integers(1, 64), st.integers(1, 16))
def test_mesh_shape_fits_devices_and_batch(folds, batch, devices):
    fold, data = mesh_shape(folds, batch, devices)
    assert fold * data <= devices
    assert batch % data == 0
    assert fold <= folds
    turns = -(-folds // fold) * batch // data
    assert turns <= folds * batch
    # Never worse than all devices on the fold axis.
    assert turns <= -(-folds // min(devices, folds)) * batch


@pytest.mark.parametrize(
    ("folds", "batch", "devices", "shape"),
    [
        (5, 32, 1, (1, 1)),
        (5, 32, 5, (5, 1)),
        (5, 32, 8, (1, 8)),
        (1, 32, 8, (1, 8)),
        (1, 12, 8, (1, 6)),
        (24, 8, 8, (8, 1)),
        (2, 32, 8, (2, 4)),
    ],
)
def test_mesh_shape_of_usual_machines(folds, batch, devices, shape):
    assert mesh_shape(folds, batch, devices) == shape


def test_a_cost_decides_between_meshes():
    # Whole folds on few devices, where an update of each fold costs much.
    def cost(fold, data, shard):
        return -(-5 // fold) * (3 + 16 / (data * shard))

    assert mesh_shape(5, 16, 8) == (1, 8)
    assert mesh_shape(5, 16, 8, cost=cost) == (5, 1)
    assert mesh_shape(5, 16, 8, shard=4, cost=cost) == (2, 1)


def test_no_cost_is_reckoned_where_there_is_no_choice():
    def cost(*mesh):
        raise AssertionError

    assert mesh_shape(1, 7, 1, cost=cost) == (1, 1)
    assert dict(make_mesh(5, 7, jax.devices()[:1], cost=cost).shape) == {"fold": 1, "data": 1, "shard": 1}


def test_idle_devices_are_told_with_what_would_use_them(monkeypatch):
    device = jax.devices()[0]
    monkeypatch.setattr(jax, "devices", lambda: [device] * 8)
    mesh = make_mesh(1, 12, [device] * 8)
    assert "2 of 8 are idle, which a --train.batch-size of 16 would use" in describe_mesh(mesh, 12)
    mesh = make_mesh(5, 16, [device] * 8, cost=lambda fold, data, shard: -fold)
    assert "3 of 8 are idle: a step with all of them takes longer" in describe_mesh(mesh, 16)
    assert describe_mesh(make_mesh(1, 16, [device] * 8), 16) == "devices: 1 x 8 (fold x data)."


def test_mesh_names_its_axes_and_leaves_out_useless_devices():
    device = jax.devices()[0]
    mesh = make_mesh(1, 12, [device] * 8)
    assert dict(mesh.shape) == {"fold": 1, "data": 6, "shard": 1}
    assert dict(make_mesh(5, 32).shape)["fold"] <= 5


def test_sharding_lays_leading_dimensions_along_the_named_axes():
    mesh = make_mesh(2, 4, jax.devices()[:1])
    assert sharding(mesh, "fold", "data").spec == PartitionSpec("fold", "data")
    assert sharding(mesh).is_fully_replicated
    x = jax.device_put(np.arange(8.0).reshape(2, 4), sharding(mesh, "fold", "data"))
    np.testing.assert_array_equal(x, np.arange(8.0).reshape(2, 4))
