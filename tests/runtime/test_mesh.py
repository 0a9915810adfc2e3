"""The mesh of devices: its shape, its axes, and arrays laid along them."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec

from serjax.runtime.mesh import make_mesh, mesh_shape, sharding


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
