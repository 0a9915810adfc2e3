"""The conversion rule: how a module's leaves are called and laid out in a PyTorch checkpoint, both ways.

Attributes have PyTorch's names already, so the key is the path, and the type of the module that holds a leaf says how
the leaf is stored: the kernel of a Linear or Conv is PyTorch's `weight` with its axes (out, in, taps...) turned to
(taps..., in, out), a norm's `scale` and an Embed's `embedding` are its `weight`, BatchNorm's `mean` and `var` its
running statistics. Leaves that a model's own modules hold keep their names and layout. The one exception is weight
norm, of two spellings in PyTorch: `weight_g` and `weight_v`, which stand here as a Conv's kernel does.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from serjax.runtime.errors import UserError
from serjax.runtime.mapped import let_go

_WEIGHT = {"kernel": "weight", "scale": "weight", "embedding": "weight", "bias": "bias"}
_NAMES: dict[type[nnx.Module], dict[str, str]] = {
    nnx.BatchNorm: {**_WEIGHT, "mean": "running_mean", "var": "running_var"},
    **dict.fromkeys((nnx.Linear, nnx.Conv, nnx.LayerNorm, nnx.GroupNorm, nnx.RMSNorm, nnx.Embed), _WEIGHT),
}
_WEIGHT_NORM = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
_KERNELS = {"kernel", *_WEIGHT_NORM}
_COUNTER = "num_batches_tracked"
"""PyTorch's BatchNorm counts its training steps; nothing here depends on the count."""


class _Leaf(NamedTuple):
    """One leaf of a module.

    Attributes:
        path: where it is in the module's state.
        keys: what PyTorch calls it; the first is written, each is read.
        axes: PyTorch's array, transposed by these, is the leaf.
        variable: the leaf, which may be abstract.
    """

    path: tuple[Any, ...]
    keys: tuple[str, ...]
    axes: tuple[int, ...]
    variable: nnx.Variable


def to_tensors(module: nnx.Module, prefix: str = "") -> dict[str, np.ndarray]:
    """Return a module's parameters and batch statistics as PyTorch names and stores them: views, where they can be.

    Args:
        module: any module whose attributes have PyTorch's names.
        prefix: put before each key, such as `hubert.`

    Raises:
        TypeError: the module holds a Flax layer for which there is no rule.
    """
    tensors = {}
    for leaf in _leaves(module):
        value = np.asarray(leaf.variable[...])
        tensors[prefix + leaf.keys[0]] = value.transpose(np.argsort(leaf.axes))
    return tensors | {prefix + key: np.zeros((), np.int64) for key in _counters(module)}


def load_tensors(
    module: nnx.Module,
    tensors: Mapping[str, np.ndarray],
    *,
    source: str,
    prefix: str = "",
    encoder: str = "speech_encoder.",
    allow_missing: Sequence[str] = (),
    allow_extra: Sequence[str] = (),
) -> nnx.State:
    """Fit a PyTorch checkpoint's tensors to a module.

    Args:
        module: any module whose attributes have PyTorch's names, abstract or not; it is not changed.
        tensors: arrays of any floating dtype by PyTorch's keys.
        source: what to call the checkpoint in a message.
        prefix: what stands before the module's keys, such as `hubert.`
        encoder: what stands in place of a leading `speech_encoder.`: a classifier's encoder is filed under its family's
            name.
        allow_missing: regular expressions; leaves whose whole key matches one may be missing.
        allow_extra: regular expressions; tensors whose whole key matches one may be left over.

    Returns:
        The leaves found, as new arrays of the module's dtypes, for `nnx.update(module, state)`.

    Raises:
        UserError: names every key that is missing, left over or wrongly shaped.
        TypeError: the module holds a Flax layer for which there is no rule.
    """

    def stored(key: str) -> str:
        return prefix + re.sub(r"^speech_encoder\.", encoder, key)

    fitting: dict[tuple[Any, ...], nnx.Variable] = {}
    left_over = dict.fromkeys(tensors)
    missing, misfits = [], []
    scratch = np.empty(0, np.uint8)
    for leaf in _leaves(module):
        keys = [stored(key) for key in leaf.keys]
        key = next((key for key in keys if key in tensors), None)
        if key is None:
            missing.append(keys[0])
            continue
        del left_over[key]
        tensor = tensors[key]
        shape = tuple(leaf.variable.shape[axis] for axis in np.argsort(leaf.axes))
        if tensor.shape != shape or not jnp.issubdtype(tensor.dtype, jnp.floating):
            misfits.append(f"{key} is {tensor.dtype} {tensor.shape}, but the model needs floats {shape}")
        else:
            # Leaf by leaf, so that no more than one is held twice; its bytes in the file are let go.
            scratch, value = _copied(tensor.transpose(leaf.axes), leaf.variable.dtype, scratch)
            fitting[leaf.path] = leaf.variable.replace(value)
            let_go(tensor)
    for key in _counters(module):
        left_over.pop(stored(key), None)
    missing = [key for key in missing if not matches(key, allow_missing)]
    extra = [key for key in left_over if not matches(key, allow_extra)]
    if missing or extra or misfits:
        lines = [f"missing: {key}" for key in missing] + [f"left over: {key}" for key in extra]
        lines += [f"misfit: {line}" for line in misfits]
        raise UserError(
            f"{source}: the weights do not fit the model ({len(missing)} missing, {len(extra)} left over, "
            f"{len(misfits)} of another shape or kind); give weights and config.json of one model.\n" + "\n".join(lines)
        )
    return nnx.from_flat_state(fitting)


def _copied(tensor: np.ndarray, dtype: Any, scratch: np.ndarray) -> tuple[np.ndarray, jax.Array]:
    """Return a tensor as an array of its own of a dtype, and memory for the next one.

    All go through the same memory: `jnp.array` makes a copy more of each, whose gaps are a fifth of a large encoder.
    JAX makes memory that is aligned to 64 bytes its own and copies all other, so that the tensor begins beside that.
    It is copied now, inside of a trace too, where `device_put` would only be noted down and the memory read too late.
    """
    size = tensor.size * jnp.dtype(dtype).itemsize
    scratch = scratch if scratch.size >= size + 64 else np.empty(size + 64, np.uint8)
    start = (16 - scratch.ctypes.data) % 64
    own = scratch[start : start + size].view(dtype).reshape(tensor.shape)
    np.copyto(own, tensor, casting="unsafe")
    with jax.ensure_compile_time_eval():
        return scratch, jax.device_put(own).block_until_ready()


def matches(key: str, patterns: Sequence[str]) -> bool:
    """Return whether the whole key matches one of the regular expressions."""
    return any(re.fullmatch(pattern, key) for pattern in patterns)


def from_flax_names(leaves: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rename and turn the leaves of one of transformers' Flax models, whose modules have PyTorch's names too.

    Args:
        leaves: arrays by path, such as `encoder.layers.0.attention.k_proj.kernel`.
    """
    names = _NAMES[nnx.BatchNorm]
    tensors = {}
    for key, value in leaves.items():
        path, _, name = key.removeprefix("params.").removeprefix("batch_stats.").rpartition(".")
        axes = np.argsort(_axes(name, value.ndim)) if name == "kernel" else range(value.ndim)
        tensors[f"{path}.{names.get(name, name)}".lstrip(".")] = value.transpose(axes)
    return tensors


def _leaves(module: nnx.Module) -> Iterator[_Leaf]:
    owners = dict(nnx.iter_modules(module))
    for path, variable in nnx.to_flat_state(nnx.state(module, (nnx.Param, nnx.BatchStat))):
        owner, name = owners[path[:-1]], str(path[-1])
        spellings = [_names(owner).get(name, name)] + [name] * (name in _WEIGHT_NORM)
        keys = tuple(".".join(map(str, (*path[:-1], spelling))) for spelling in spellings)
        yield _Leaf(path, keys, _axes(name, len(variable.shape)), variable)


def _names(owner: nnx.Module) -> dict[str, str]:
    for kind, names in _NAMES.items():
        if isinstance(owner, kind):
            return names
    if type(owner).__module__.startswith("flax.") and not isinstance(owner, (nnx.List, nnx.Dict, nnx.Sequential)):
        raise TypeError(f"there is no rule for how PyTorch stores a {type(owner).__name__}")
    return _WEIGHT_NORM


def _axes(name: str, ndim: int) -> tuple[int, ...]:
    return (*range(2, ndim), 1, 0) if name in _KERNELS else tuple(range(ndim))


def _counters(module: nnx.Module) -> list[str]:
    norms = [path for path, owner in nnx.iter_modules(module) if isinstance(owner, nnx.BatchNorm)]
    return [".".join(map(str, (*path, _COUNTER))) for path in norms]
