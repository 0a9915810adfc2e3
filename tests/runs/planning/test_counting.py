"""Counts of a jaxpr: operations as by hand, loops times their length, and values freed after their last use."""

import jax
import jax.numpy as jnp
import pytest

from serjax.runs.planning.counting import count, size

F32 = 4


def counted(function, *shapes, donated=0):
    return count(jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)), donated)


def test_a_product():
    found = counted(lambda x, y: x @ y, (3, 5), (5, 7))
    assert found.flops == 2 * 3 * 5 * 7
    assert found.moved == F32 * (15 + 35 + 21)
    assert found.peak == F32 * (15 + 35 + 21)


def test_a_grouped_convolution():
    def convolve(x, kernel):
        layout = ("NWC", "WIO", "NWC")
        return jax.lax.conv_general_dilated(x, kernel, (2,), "VALID", dimension_numbers=layout, feature_group_count=3)

    # 8 windows, 9 outputs, of 5 taps of 2 channels each.
    assert counted(convolve, (4, 19, 6), (5, 2, 9)).flops == 2 * 4 * 8 * 9 * 5 * 2


def test_a_loop_counts_as_often_as_it_runs_and_a_choice_once():
    def loop(x):
        return jax.lax.scan(lambda x, _: (x @ x, None), x, None, length=6)[0]

    def choice(x):
        return jax.lax.cond(x[0, 0] > 0, lambda x: x @ x, lambda x: x, x)

    assert counted(loop, (4, 4)).flops == 6 * 2 * 4**3
    assert counted(choice, (4, 4)).flops == 2 * 4**3


def test_a_function_with_a_rule_of_its_own_counts_once():
    @jax.custom_vjp
    def square(x):
        return x @ x

    square.defvjp(lambda x: (square(x), x), lambda x, g: (g @ x.T + x.T @ g,))
    assert counted(square, (4, 4)).flops == 2 * 4**3
    gradient = counted(jax.value_and_grad(lambda x: square(x).sum()), (4, 4))
    assert gradient.flops == 3 * 2 * 4**3


def test_what_no_result_hangs_on_is_not_counted():
    def function(x):
        layer = jax.checkpoint(jax.jit(lambda x: (x @ x, x @ x @ x)))
        jax.lax.scan(lambda x, _: (x @ x, None), x, None, length=6)
        return layer(x)[0]

    assert counted(function, (4, 4)) == (2 * 4**3, F32 * 48, F32 * 32)


def test_values_are_freed_after_their_last_use():
    def chain(x):
        for _ in range(10):
            x = jnp.sin(x)
        return x

    def kept(x):
        return [x := jnp.sin(x) for _ in range(10)]

    assert counted(chain, (100,)).peak == F32 * 300
    assert counted(kept, (100,)).peak == F32 * 1100
    assert counted(chain, (100,), donated=1).peak == F32 * 200


def test_bytes_of_a_tree_with_a_random_key():
    assert (
        size({"a": jnp.ones((2, 3)), "b": jnp.ones(4, jnp.int8), "key": jax.random.split(jax.random.key(0), 3)}) == 52
    )


@pytest.mark.parametrize("rows", [2, 8])
def test_what_is_computed_again_is_counted_again_and_takes_less_memory(rows):
    def loss(remat):
        layer = lambda x, w: jnp.tanh(jnp.tanh(jnp.tanh(x @ w) @ w) @ w)  # noqa: E731
        layer = jax.checkpoint(layer) if remat else layer

        def run(w, x):
            for _ in range(8):
                x = layer(x, w)
            return x.sum()

        return jax.grad(run)

    plain, again = (counted(loss(remat), (32, 32), (1000 * rows, 32)) for remat in (False, True))
    assert again.flops > plain.flops
    assert again.peak < 0.7 * plain.peak
