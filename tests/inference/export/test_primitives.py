"""Elementwise primitives, reductions and what moves elements: ONNX Runtime computes what JAX does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from onnx_runs import same

pytestmark = pytest.mark.onnx
X = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
WHOLE = np.array([[-7, -3, -1, 0], [1, 2, 3, 9]], np.int32)

ELEMENTWISE = {
    "arithmetic": lambda x: (x + 1) * x - x / 3,
    "neg": lambda x: -x,
    "abs_sign": lambda x: (jnp.abs(x), jnp.sign(x)),
    "floor_ceil": lambda x: (jnp.floor(x), jnp.ceil(x)),
    "exp_log": lambda x: (jnp.exp(x), jnp.log(jnp.abs(x)), jnp.log1p(jnp.abs(x))),
    "roots": lambda x: (jnp.sqrt(jnp.abs(x)), lax.rsqrt(jnp.abs(x))),
    "sin_cos": lambda x: (jnp.sin(x), jnp.cos(x)),
    "tanh_erf": lambda x: (jnp.tanh(x), lax.erf(x), jax.nn.sigmoid(x)),
    "powers": lambda x: (x**2, x**3, jnp.square(x), jnp.abs(x) ** 1.5),
    "clamp": lambda x: lax.clamp(-0.5, x, 0.5),
    "comparisons": lambda x: (x < 0, x <= 0, x > 0, x >= 0, x == 0, x != 0),
    "logical": lambda x: ((x < 0) & (x > -1), (x < 0) | (x > 1), ~(x < 0)),
    "where": lambda x: jnp.where(x > 0, x, 0),
    "casts": lambda x: (x.astype(jnp.int32), (x > 0).astype(jnp.float32)),
    "softmax": lambda x: jax.nn.softmax(x, axis=-1),
    "max_min": lambda x: (jnp.maximum(x, 0.1), jnp.minimum(x, x[:1])),
}
REDUCTIONS = {
    "sum": lambda x: (x.sum(), x.sum(1), x.sum((0, 2), keepdims=True)),
    "mean_std": lambda x: (x.mean(1), x.std(2)),
    "max_min": lambda x: (x.max(1), x.min((1, 2))),
    "prod": lambda x: x.prod(2),
    "any_all": lambda x: ((x > 1).any(1), (x > -1).all((1, 2))),
    "argmax": lambda x: (jnp.argmax(x, axis=1), jnp.argmin(x, axis=2)),
    "of_repeated": lambda x: jnp.broadcast_to(x.sum(1, keepdims=True), x.shape).sum(1),
}
MOVES = {
    "reshape": lambda x: (x.reshape(-1), x.reshape(x.shape[0], -1), x[:, None], x.reshape(x.shape[0] * 4, 5)),
    "transpose": lambda x: (x.swapaxes(0, 1), x.transpose(2, 0, 1)),
    "concatenate": lambda x: (jnp.concatenate([x, 2 * x], 1), jnp.stack([x, -x], axis=2), jnp.stack([x], axis=0)),
    "split": lambda x: tuple(jnp.split(x, 2, axis=1)),
    "slice": lambda x: (x[x.shape[0] - 1 :], x[:, 1:3], x[:, ::2], x[:, -1], x[..., 1:]),
    "reverse": lambda x: (x[:, ::-1], lax.rev(x, (1, 2))),
    "pad": lambda x: (
        jnp.pad(x, ((0, 0), (1, 2), (0, 0))),
        lax.pad(x, jnp.float32(3), ((0, 0, 0), (-1, 1, 0), (0, 0, 0))),
    ),
    "reflect": lambda x: jnp.pad(x, ((0, 0), (2, 2), (0, 0)), mode="reflect"),
    "tile": lambda x: jnp.tile(x, (1, 2, 3)),
    "broadcast": lambda x: jnp.broadcast_to(x[:, :1], (x.shape[0], 4, 5)) + jnp.zeros(5),
    "iota": lambda x: (
        jnp.arange(x.shape[0]),
        lax.broadcasted_iota(jnp.int32, x.shape, 1),
        jnp.full(x.shape[0], x.shape[0]),
    ),
    "stopped": lambda x: lax.stop_gradient(x) + lax.optimization_barrier(x),
}
CASES = {
    f"{kind}-{name}": one
    for kind, some in (("one", ELEMENTWISE), ("sum", REDUCTIONS), ("move", MOVES))
    for name, one in some.items()
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("spec", [None, "b, _, _"], ids=["static", "symbolic"])
def test_it_is_what_jax_computes(name, spec):
    same(CASES[name], X, spec=spec)


@pytest.mark.parametrize(
    "function",
    [lambda x: x // 3, lambda x: x % 3, lambda x: lax.rem(x, 3), lambda x: lax.div(x, 2), lambda x: -(-x // 4)],
    ids=["floor_divide", "mod", "rem", "div", "ceil_divide"],
)
def test_whole_numbers_below_zero_are_rounded_as_jax_does(function):
    same(function, WHOLE)


@pytest.mark.parametrize("last", [16, 15])
def test_a_fourier_transform_and_its_parts(last):
    wave = np.random.default_rng(1).normal(size=(2, 3, last)).astype(np.float32)

    def power(x):
        found = jnp.fft.rfft(x).swapaxes(1, 2)
        return found.real**2 + found.imag**2, jnp.abs(found)

    same(power, wave, spec="b, _, _", atol=1e-4)
