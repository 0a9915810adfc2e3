"""Which arrays are split over devices, along which axis, and over how many devices."""

import logging
import math
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import preset
from serjax.models.functional import abstract, count
from serjax.runtime.errors import UserError
from serjax.training.fold_axis import FOLD, SHARED, FoldAxis
from serjax.training.parameter_sharding import (
    LEAST,
    bytes_per_device,
    check_shards,
    choose_shards,
    memory_limit,
    partition,
    sharded_axis,
)

SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 4, 8, 12, 64, 100]), max_size=4).map(tuple)


@given(SHAPES, st.integers(1, 16), st.integers(0, 200))
def test_the_parts_are_equal_and_cover_the_array(shape, shards, least):
    axis = sharded_axis("encoder.kernel", shape, shards, least=least)
    spec = partition("encoder.kernel", shape, shards, least)
    if axis is None:
        assert spec == ()
        assert shards == 1 or math.prod(shape) < least or not any(size and size % shards == 0 for size in shape)
        return
    assert spec.index("shard") == axis == len(spec) - 1
    part = [size // shards if i == axis else size for i, size in enumerate(shape)]
    assert math.prod(part) * shards == math.prod(shape) >= least
    # No larger axis could have been taken, nor an earlier one as large.
    assert all(size % shards for size in shape[:axis] if size >= shape[axis])
    assert all(size % shards for size in shape[axis + 1 :] if size > shape[axis])


@pytest.mark.parametrize(
    ("name", "shape", "axis"),
    [
        ("layers.0.q_proj.kernel", (768, 768), 0),
        ("layers.0.intermediate_dense.kernel", (768, 3072), 1),
        ("layers.0.output_dense.kernel", (3072, 768), 0),
        ("feature_extractor.conv_layers.1.conv.kernel", (3, 512, 512), 1),
        ("layers.0.output_dense.bias", (3072,), None),
        ("embedding", (99999, 7), None),
        ("banks.noise.wave", (64, 960000), None),
        ("frozen.banks.noise.wave", (64, 960000), None),
    ],
)
def test_arrays_of_an_encoder(name, shape, axis):
    assert sharded_axis(name, shape, 8) == axis


def test_a_rule_decides_before_the_size_of_axes():
    rules = (("a", 1), ("b.*", None))
    assert sharded_axis("a", (512, 256), 4, rules=rules) == 1
    assert sharded_axis("a", (512, 255), 4, rules=rules) is None
    assert sharded_axis("bias", (512, 256), 4, rules=rules) is None
    assert sharded_axis("other", (512, 256), 4, rules=rules) == 0
    assert sharded_axis("a", (16, 16), 4, rules=rules) is None


@pytest.mark.parametrize("size", ["base", "large"])
def test_nearly_all_of_an_encoder_is_split(size):
    params = nnx.state(abstract(lambda rngs: build_encoder(preset("hubert", size), rngs=rngs)), nnx.Param)
    small = sum(leaf.size for leaf in jax.tree.leaves(params) if leaf.size < LEAST)
    assert small < 0.0015 * count(params)
    assert bytes_per_device(params, 8) == 4 * (small + (count(params) - small) // 8)
    assert bytes_per_device(params, 1) == 4 * count(params)


@pytest.mark.parametrize("together", [True, False])
def test_arrays_lie_along_folds_and_parts(together):
    mesh = Mesh(np.array(jax.devices()[:1] * 8).reshape(2, 1, 4), ("fold", "data", "shard"))
    axis = FoldAxis(2, mesh, together, least=16)
    one = {"kernel": (8, 12), "bias": (4,), "banks": {"noise": (8, 8)}}
    lead = (2,) if together else ()

    def shapes(lead):
        return jax.tree.map(
            lambda shape: jax.ShapeDtypeStruct(lead + shape, np.float32), one, is_leaf=lambda x: isinstance(x, tuple)
        )

    folds = axis.layout(shapes(lead), FOLD)
    fold = ("fold",) if together else ()
    assert folds["kernel"].spec == P(*fold, None, "shard")
    assert folds["bias"].spec == folds["banks"]["noise"].spec == P(*fold)
    shared = axis.layout(shapes(()), SHARED)
    assert shared["kernel"].spec == P(None, "shard")
    assert shared["bias"].spec == P()
    whole = replace(axis, mesh=Mesh(mesh.devices[:, :, :1], mesh.axis_names))
    assert whole.layout(shapes(lead), FOLD).spec == P(*fold)


@pytest.mark.parametrize(
    ("shards", "batch", "message"),
    [
        (16, 32, r"--mesh\.shard 16: it is more than the 8 devices here; give fewer\."),
        (3, 32, r"--mesh\.shard 3: it does not divide the 8 devices; give a number that does\."),
        (4, 6, r"--mesh\.shard 4: a batch of 6 clips cannot be spread over as many devices; make --train\.batch-size"),
    ],
)
def test_a_number_that_does_not_fit_is_told(shards, batch, message):
    with pytest.raises(UserError, match=message):
        check_shards(shards, batch, 8)
    with pytest.raises(UserError, match=message):
        choose_shards(shards, lambda: ({}, {}), folds=1, batch=batch, together=True, devices=8, processes=1)


def state(values):
    return lambda: ({"kernel": jax.ShapeDtypeStruct((values,), np.float32)}, {})


def choose(wish, limit, folds=1, batch=32, together=True, devices=8):
    sizes = {"folds": folds, "batch": batch, "together": together, "devices": devices, "processes": 1}
    return choose_shards(wish, state(2**20), limit=limit, **sizes)


@pytest.mark.parametrize(
    ("limit", "folds", "batch", "together", "shards"),
    [
        (2**23, 1, 32, True, 1),
        (2**23 - 1, 1, 32, True, 2),
        (2**21, 1, 32, True, 4),
        (2**20, 1, 32, True, 8),
        # Two folds one after the other are twice the state; together each has devices of its own.
        (2**23, 2, 32, False, 2),
        (2**23, 2, 32, True, 1),
        # Eight devices cannot share four clips.
        (2**21, 1, 4, True, 4),
    ],
)
def test_auto_is_the_smallest_number_with_which_the_state_fits(caplog, limit, folds, batch, together, shards):
    with caplog.at_level(logging.INFO, "serjax"):
        assert choose("auto", limit, folds, batch, together) == shards
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert ("split over" in record.message) == (shards > 1)


def test_what_fits_no_device_is_split_as_far_as_can_be_and_told(caplog):
    assert choose("auto", 2**19) == 8
    assert "may run out of memory" in caplog.text
    assert "take 0.000524 GB of 0.0 GB each" in caplog.text


def test_on_a_cpu_nothing_is_split_unless_asked_for(caplog):
    assert memory_limit() is None
    with caplog.at_level(logging.INFO, "serjax"):
        assert choose("auto", None) == choose(1, None) == 1
        assert not caplog.records
        assert choose(4, None) == 4
    assert "parameters are split over 4 devices" in caplog.text
