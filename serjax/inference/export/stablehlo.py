"""StableHLO programs of an ensemble by `jax.export`, which JAX calls without serjax."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from serjax.inference.export.program import Program
from serjax.models.functional import flat
from serjax.runtime.platform import compiling_for

PLATFORMS = ("cpu", "cuda", "tpu")
"""Platforms that programs are lowered for, as `jax.export` calls them."""
WEIGHTS = "weights.npz"
"""File of the parameters, which all programs take."""


def write_stablehlo(program: Program, folder: Path) -> dict[str, str]:
    """Write a program for each platform, and the weights; return what each file is.

    The programs take the weights as a dictionary by name, as `numpy.load` reads them: they lie on the disk once.
    """
    leaves, treedef = jax.tree.flatten(program.weights)
    named = dict(zip(flat(program.weights), map(np.asarray, leaves), strict=True))
    np.savez(folder / WEIGHTS, allow_pickle=False, **named)
    files = {WEIGHTS: "parameters by name, for numpy.load"}
    shapes = {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in named.items()}
    for platform in PLATFORMS:
        # Models choose among formulations of one computation by the platform.
        with compiling_for("gpu" if platform == "cuda" else platform):
            called = jax.jit(_by_name(program, list(named), treedef))
            exported = jax.export.export(called, platforms=[platform])(shapes, *program.inputs().values())
        name = f"{platform}.stablehlo"
        (folder / name).write_bytes(exported.serialize())
        files[name] = f"program for {platform}, for jax.export.deserialize: call(weights, wave, lengths)"
    return files


def _by_name(program: Program, names: list[str], treedef: Any) -> Callable[..., dict[str, Array]]:
    """Return the program as a function of weights by name; the order of a dictionary's keys is lost on the way."""

    def call(weights: Mapping[str, Array], wave: Float[Array, "b t"], lengths: Int[Array, "b"]) -> dict[str, Array]:
        return program.call(jax.tree.unflatten(treedef, [weights[name] for name in names]), wave, lengths)

    return call
