"""Another platform is compiled for inside the context alone, and models then choose its formulations."""

import jax
import jax.numpy as jnp
import pytest

from serjax.models.layers.convolution import grouped
from serjax.runtime.platform import compiling_for, target_platform


def test_the_platform_is_named_inside_the_context_alone():
    assert target_platform() == jax.default_backend()
    with compiling_for("tpu"):
        assert target_platform() == "tpu"
        with compiling_for("gpu"):
            assert target_platform() == "gpu"
        assert target_platform() == "tpu"
    assert target_platform() == jax.default_backend()


def test_an_error_ends_the_context_too():
    with pytest.raises(ValueError, match="inside"), compiling_for("tpu"):
        raise ValueError("inside")
    assert target_platform() == jax.default_backend()


@pytest.mark.parametrize(("platform", "convolutions"), [("cpu", 4), ("tpu", 1)])
def test_a_formulation_follows_the_platform(platform, convolutions):
    x, kernel = jnp.ones((2, 9, 8)), jnp.ones((3, 2, 8))
    with compiling_for(platform):
        text = str(jax.make_jaxpr(lambda x, kernel: grouped(x, kernel, 4))(x, kernel))
    assert text.count("conv_general_dilated[") == convolutions
