"""The operations of an encoder of base size, each as serjax computes it and as it could be computed otherwise.

    python benchmarks/formulations.py [--batch 1 8 --rounds 5 --only softmax]

One process; the two ways of a row take turns. A gradient is that of the sum of squares of the result, with respect to
inputs and weights.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import harness
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from serjax.models.layers.activations import gelu
from serjax.models.layers.convolution import grouped, strided
from serjax.models.layers.folded_norm import by_norm, fold_norm
from serjax.models.layers.matmul import product
from serjax.runtime.allocator import keep_memory

LAYOUT = ("NWC", "WIO", "NWC")
FIRST = "first convolution, group norm, GELU"
POSITIONS = "positional convolution, 128 taps, 16 groups"
CHOSEN, OTHER = "serjax", "the other way"
Ways = dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]


def normal(*shape: int, dtype: Any = jnp.float32) -> jax.Array:
    """Return random values."""
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape), dtype)


def gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what computes the gradient of the function's summed squares."""
    return jax.grad(lambda *x: jnp.sum(jnp.square(function(*x).astype(jnp.float32))), argnums=(0, 1))


def conv_norm(x: Any, kernel: Any) -> Any:
    """Convolve, then normalise each channel over time."""
    y = strided(x, kernel, 5)
    y = y - y.mean(1, keepdims=True)
    return gelu(y * lax.rsqrt(jnp.square(y).mean(1, keepdims=True) + 1e-5))


def covariance(x: Any, kernel: Any) -> Any:
    """Do the same by the windows' covariance."""
    norm = fold_norm(x, kernel, 5, None, jnp.ones(512), jnp.zeros(512), 1e-5)
    return gelu(by_norm(x, norm, len(kernel), 5))


def plain_grouped(x: Any, kernel: Any) -> Any:
    """Leave the grouped convolution to XLA."""
    return lax.conv_general_dilated(x, kernel, (1,), [(64, 63)], dimension_numbers=LAYOUT, feature_group_count=16)


def plain_strided(x: Any, kernel: Any) -> Any:
    """Leave the strided convolution to XLA."""
    return lax.conv_general_dilated(x, kernel, (2,), "VALID", dimension_numbers=LAYOUT)


def as_windows(x: Any, kernel: Any) -> Any:
    """Convolve as two products of blocks."""
    pairs = (x[:, :-1].reshape(len(x), -1, 1024), x[:, 2::2])
    parts = (kernel[:2].reshape(1024, -1), kernel[2])
    return sum(product("bnk,ko->bno", *pair) for pair in zip(pairs, parts, strict=True))


def attend(late: bool, query: Any, keys: Any, values: Any) -> Any:
    """Return attention's mixture, divided after the product or before."""
    scores = query @ keys.swapaxes(2, 3)
    if not late:
        return jax.nn.softmax(scores) @ values
    shares = jnp.exp(scores - scores.max(-1, keepdims=True))
    return (shares @ values) / shares.sum(-1, keepdims=True)


def operations(batch: int) -> dict[str, Ways]:
    """Return every operation's ways; the first is the one that serjax takes."""
    wave, taps = normal(batch, 48_000, 1), normal(10, 1, 512)
    frames, kernel = normal(batch, 149, 768), normal(128, 48, 768)
    x, weight = normal(batch, 9_599, 512), normal(3, 512, 512)
    low = x.astype(jnp.bfloat16), weight.astype(jnp.bfloat16)
    rows, matrix = normal(batch * 149, 768, dtype=jnp.bfloat16), normal(768, 3072, dtype=jnp.bfloat16)
    heads = tuple(normal(batch, 12, 149, 64) for _ in range(3))
    mine = partial(grouped, groups=16)
    convolve = partial(strided, stride=2)
    whole = (rows.astype(jnp.float32), matrix.astype(jnp.float32))
    return {
        FIRST: {
            "by the windows' covariance": (covariance, (wave, taps)),
            "one after the other": (conv_norm, (wave, taps)),
        },
        f"{FIRST}, gradient": {
            "by the windows' covariance": (gradient(covariance), (wave, taps)),
            "one after the other": (gradient(conv_norm), (wave, taps)),
        },
        POSITIONS: {"a convolution a group": (mine, (frames, kernel)), "grouped": (plain_grouped, (frames, kernel))},
        f"{POSITIONS}, gradient": {
            "by Fourier matrices": (gradient(mine), (frames, kernel)),
            "grouped": (gradient(plain_grouped), (frames, kernel)),
        },
        "second convolution, float32": {
            "convolution": (convolve, (x, weight)),
            "products of blocks": (as_windows, (x, weight)),
        },
        "second convolution, float32, gradient": {
            "products of windows": (gradient(convolve), (x, weight)),
            "XLA's": (gradient(plain_strided), (x, weight)),
        },
        "second convolution, bfloat16": {"products of blocks": (convolve, low), "convolution": (plain_strided, low)},
        "product with 768 x 3072, bfloat16": {
            "sums in float32": (partial(product, "nk,ko->no"), (rows, matrix)),
            "rounded": (jnp.matmul, (rows, matrix)),
            "in float32": (jnp.matmul, whole),
        },
        "softmax": {
            "divides the mixture": (partial(attend, True), heads),
            "divides the weights": (partial(attend, False), heads),
        },
        "GELU of the first convolution": {
            "erf": (gelu, (normal(batch, 9_599, 512),)),
            "jax.nn.gelu (erfc)": (partial(jax.nn.gelu, approximate=False), (normal(batch, 9_599, 512),)),
        },
    }


def pairs(batch: int, turn: float, only: str) -> dict[str, dict[str, Callable[[], float]]]:
    """Return the turns of each way that is not taken, beside the one that is."""
    cases = {}
    for title, ways in operations(batch).items():
        if only not in title:
            continue
        calls = {
            way: partial(lambda call, inputs: jax.block_until_ready(call(*inputs)), jax.jit(call), inputs)
            for way, (call, inputs) in ways.items()
        }
        mine, *others = ways
        for other in others:
            sides = {CHOSEN: calls[mine], OTHER: calls[other]}
            cases[f"{title}, batch {batch}: {mine}, or {other}"] = {
                side: partial(harness.clock, call, turn) for side, call in sides.items()
            }
    return cases


def main() -> None:
    """Measure and publish."""
    parser = harness.parser(__doc__, rounds=5, turn=0.2)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--only", default="", help="operations whose name contains this")
    options = parser.parse_args()
    keep_memory()
    values: harness.Values = {}
    for batch in options.batch:
        values |= harness.in_turns(pairs(batch, options.turn, options.only), options.rounds)
    harness.publish([harness.comparison(values, CHOSEN)], options)


if __name__ == "__main__":
    main()
