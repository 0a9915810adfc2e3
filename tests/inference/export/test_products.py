"""Matrix products and convolutions: ONNX Runtime computes what JAX does."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from onnx_runs import same

pytestmark = pytest.mark.onnx
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("spec", "left", "right"),
    [
        ("bi,io->bo", (3, 4), (4, 5)),
        ("bni,io->bno", (3, 6, 4), (4, 5)),
        ("bnd,d->bn", (3, 6, 4), (4,)),
        ("bni,koi->kbno", (3, 6, 4), (2, 5, 4)),
        ("bnij,ijo->bno", (3, 6, 2, 4), (2, 4, 5)),
        ("kbni,kio->kbno", (3, 2, 6, 4), (3, 4, 5)),
        ("bhqe,bhke->bhqk", (3, 2, 6, 4), (3, 2, 7, 4)),
        ("bn,bnd->bd", (3, 6), (3, 6, 4)),
        ("bi,bi->b", (3, 4), (3, 4)),
        ("bij,bki->bjk", (3, 4, 2), (3, 5, 4)),
    ],
)
@pytest.mark.parametrize("constant", [False, True], ids=["inputs", "weight"])
def test_products_of_any_axes(spec, left, right, constant):
    left, right = normal(*left), normal(*right)
    if constant:
        same(lambda w, x: jnp.einsum(spec, x, w), left, weights={"w": jnp.asarray(right)}, atol=1e-4)
    else:
        same(lambda x, w: jnp.einsum(spec, x, w), left, right, atol=1e-4)


def test_a_weight_on_the_left_and_an_open_size():
    weight = {"w": jnp.asarray(normal(7, 4))}
    model = same(lambda w, x: jnp.einsum("mf,bfn->bmn", w, x), normal(3, 4, 6), spec="b, _, n", weights=weight)
    assert [node.op_type for node in model.graph.node if node.op_type in ("MatMul", "Einsum")] == ["MatMul"]


@pytest.mark.parametrize(
    ("shape", "kernel", "options"),
    [
        ((2, 20, 3), (4, 3, 5), {"window_strides": (2,), "padding": "VALID"}),
        ((2, 20, 4), (5, 2, 6), {"window_strides": (1,), "padding": [(2, 2)], "feature_group_count": 2}),
        ((2, 20, 4), (3, 4, 6), {"window_strides": (1,), "padding": [(0, 1)], "rhs_dilation": (2,)}),
        ((2, 8, 9, 3), (3, 3, 3, 5), {"window_strides": (2, 1), "padding": [(1, 1), (0, 2)]}),
        ((2, 8, 9, 3), (3, 3, 1, 3), {"window_strides": (1, 1), "padding": "SAME", "feature_group_count": 3}),
    ],
)
def test_convolutions(shape, kernel, options):
    numbers = ("NWC", "WIO", "NWC") if len(shape) == 3 else ("NHWC", "HWIO", "NHWC")
    weight = {"w": jnp.asarray(normal(*kernel))}

    def convolved(w, x):
        return lax.conv_general_dilated(x, w, dimension_numbers=numbers, **options)

    same(convolved, normal(*shape), weights=weight, spec="b, " + ", ".join("_" * (len(shape) - 1)), atol=1e-4)
