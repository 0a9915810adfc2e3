import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hard_waves import band_pass, hard_waves
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from serjax.models.layers.convolution import strided
from serjax.models.layers.folded_norm import by_norm, fold_norm


def normalized(x, kernel, stride, *rest):
    return by_norm(x, fold_norm(x, kernel, stride, *rest), len(kernel), stride)


def normal(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.slow
@settings(max_examples=3)
@given(taps=st.integers(1, 6), stride=st.integers(1, 5), extra=st.integers(30, 60), offset=st.floats(-2, 2))
def test_normalized_is_a_convolution_and_then_a_norm(taps, stride, extra, offset):
    x, kernel = offset + normal((3, taps + extra, 2)), normal((taps, 2, 4))
    scale, bias = normal(4, seed=2), normal(4, seed=3)
    count = extra // stride + 1
    counts = jnp.array([count, count // 2, count - 1])

    def plain(x, kernel):
        y = lax.conv_general_dilated(x, kernel, (stride,), "VALID", dimension_numbers=("NWC", "WIO", "NWC"))
        rows = []
        for row, length in zip(y, counts, strict=True):
            true = row[:length]
            rows.append((row - true.mean(0)) / jnp.sqrt(true.var(0) + 1e-5) * scale + bias)
        return jnp.stack(rows)

    def ours(x, kernel):
        return normalized(x, kernel, stride, counts, scale, bias, 1e-5)

    y, back = jax.vjp(ours, x, kernel)
    expected, plain_back = jax.vjp(plain, x, kernel)
    within = (jnp.arange(count) < counts[:, None])[:, :, None]
    np.testing.assert_allclose(jnp.where(within, y - expected, 0), 0, atol=1e-4)
    cotangent = jnp.where(within, normal(y.shape, seed=1), 0)
    for got, want in zip(back(cotangent), plain_back(cotangent), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("counts", [None, 3_000])
def test_hum_rumble_and_dc_cost_no_accuracy(counts):
    # As exact as normalising what was convolved, which is what PyTorch does, or better.
    waves, kernel = hard_waves(16_000), band_pass(10, 64)
    lengths = None if counts is None else jnp.full(len(waves), counts)
    x = jnp.asarray(np.stack(list(waves.values())))[..., None]
    scale, bias = jnp.ones(64), jnp.zeros(64)
    found = jax.jit(normalized, static_argnums=2)(x, kernel[:, None], 5, lengths, scale, bias, 1e-5)
    for (name, wave), ours in zip(waves.items(), np.asarray(found), strict=True):
        y = np.lib.stride_tricks.sliding_window_view(wave.astype(np.float64), 10)[::5] @ kernel.astype(np.float64)
        y = y[:counts]
        exact = (y - y.mean(0)) / np.sqrt(y.var(0) + 1e-5)
        single = np.asarray(strided(wave[None, :, None], kernel[:, None], 5))[0, :counts]
        single = single - single.mean(0, dtype=np.float64).astype(np.float32)
        single = single / np.sqrt(single.var(0, dtype=np.float64) + 1e-5).astype(np.float32)
        of_two_passes, own = (np.abs(one - exact).max() for one in (single, ours[:counts]))
        # A click's peak is 50 deviations: a sum of 3200 squares is good to a millionth of it.
        assert own <= max(2 * of_two_passes, 1e-6 * np.abs(exact).max()), name
