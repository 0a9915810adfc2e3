"""Adapters of a frozen encoder: the module's tree is walked, and Linear layers are replaced by adapted ones.

An adapted layer takes over the variables of the one that it replaces, under their names, so that the encoder's own
weights are read, shared and written as they always are; what is new has PEFT's names.
"""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from serjax.models.adapter_config import AdapterConfig, layer_of, named
from serjax.models.layers.activations import dropout, gelu, split
from serjax.models.layers.matmul import Linear
from serjax.runtime.errors import UserError, brief, one_of


class AdaptedLinear(Linear):
    """A Linear layer with the weights of another one, which it stands in for."""

    def __init__(self, base: nnx.Linear, rate: float, *, rngs: nnx.Rngs):
        biased = base.bias is not None
        super().__init__(
            base.in_features, base.out_features, use_bias=biased, kernel_init=nnx.initializers.zeros, rngs=rngs
        )
        self.kernel, self.bias = base.kernel, base.bias
        self.rate = rate
        self.key: PRNGKeyArray | None = nnx.data(None)
        """Random key of the call's dropout, which `adapter_dropout` lends."""


class LoraLinear(AdaptedLinear):
    """y = W x + scale * B A dropout(x), of which A and B are trained (Hu et al., 2021)."""

    def __init__(self, base: nnx.Linear, rank: int, scale: float, rate: float, *, rngs: nnx.Rngs):
        super().__init__(base, rate, rngs=rngs)
        self.scale = scale
        # As torch.nn.Linear and PEFT draw it.
        bound = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        self.lora_A = Linear(base.in_features, rank, use_bias=False, kernel_init=bound, rngs=rngs)
        self.lora_B = _zeros(rank, base.out_features, rngs, bias=False)

    def __call__(self, inputs: Float[Array, "... i"], out_sharding: Any = None) -> Float[Array, "... o"]:
        """Return the sum, in the inputs' dtype."""
        added = self.lora_B(self.lora_A(dropout(inputs, self.rate, self.key)))
        return super().__call__(inputs) + self.scale * added


class Ia3Linear(AdaptedLinear):
    """y = l * (W x + b), or of feed-forward layers W (l * x) + b, of which l is trained (Liu et al., 2022)."""

    def __init__(self, base: nnx.Linear, *, scales_input: bool, rngs: nnx.Rngs):
        super().__init__(base, 0.0, rngs=rngs)
        self.scales_input = scales_input
        # PEFT's shapes, which tell the two apart.
        self.ia3_l = nnx.Param(jnp.ones((1, base.in_features) if scales_input else (base.out_features, 1)))

    def __call__(self, inputs: Float[Array, "... i"], out_sharding: Any = None) -> Float[Array, "... o"]:
        """Return the scaled outputs, or the outputs of scaled inputs."""
        scale = self.ia3_l[...].reshape(-1).astype(inputs.dtype)
        return super().__call__(inputs * scale) if self.scales_input else super().__call__(inputs) * scale


class BottleneckLinear(AdaptedLinear):
    """y = W x + b, and then y + up gelu(down dropout(y)), of which up and down are trained (Houlsby et al., 2019)."""

    def __init__(self, base: nnx.Linear, rank: int, rate: float, *, rngs: nnx.Rngs):
        super().__init__(base, rate, rngs=rngs)
        bound = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        self.adapter_down = Linear(base.out_features, rank, kernel_init=bound, rngs=rngs)
        self.adapter_up = _zeros(rank, base.out_features, rngs, bias=True)

    def __call__(self, inputs: Float[Array, "... i"], out_sharding: Any = None) -> Float[Array, "... o"]:
        """Return the layer's output with the small network's added."""
        y = super().__call__(inputs)
        return y + self.adapter_up(gelu(self.adapter_down(dropout(y, self.rate, self.key))))


def _zeros(inputs: int, outputs: int, rngs: nnx.Rngs, *, bias: bool) -> Linear:
    """Return a layer of zeros: an adapter that is not trained yet changes nothing."""
    return Linear(inputs, outputs, use_bias=bias, kernel_init=nnx.initializers.zeros, rngs=rngs)


def adapt(encoder: nnx.Module, config: AdapterConfig, *, top: int | None = None, rngs: nnx.Rngs) -> None:
    """Put adapters into an encoder; as they are drawn, it computes what it did before.

    Args:
        encoder: abstract or not; its layers are replaced.
        config: of which kind, and where.
        top: so many transformer layers are run, and no others adapted; None: all.
        rngs: source of their weights.

    Raises:
        UserError: the targets match nothing, or something else than Linear layers.
    """
    modules: dict[str, Any] = {".".join(map(str, path)): module for path, module in nnx.iter_modules(encoder)}
    for name in target_names(modules, config, top):
        base = modules[name]
        *path, last = name.split(".")
        owner = modules[".".join(path)]
        adapted: AdaptedLinear
        if config.kind == "lora":
            rank, scale = config.rank_of(name), config.scale_of(name)
            adapted = LoraLinear(base, rank, scale, config.dropout, rngs=rngs)
        elif config.kind == "ia3":
            adapted = Ia3Linear(base, scales_input=config.scales_input(name), rngs=rngs)
        else:
            adapted = BottleneckLinear(base, config.rank_of(name), config.dropout, rngs=rngs)
        if last.isdecimal():
            owner[int(last)] = adapted
        else:
            setattr(owner, last, adapted)


def target_names(modules: dict[str, Any], config: AdapterConfig, top: int | None = None) -> list[str]:
    """Return the names of the layers that are adapted, in the order of the names.

    Args:
        modules: of the encoder by name.
        config: which of them.
        top: so many transformer layers are run; None: all.

    Raises:
        UserError: there is none, or one is no Linear layer.
    """
    found = [name for name in modules if name and named(config.pattern, name)]
    linear = sorted(name for name, module in modules.items() if isinstance(module, nnx.Linear))
    others = [name for name in found if not isinstance(modules[name], nnx.Linear)]
    if others:
        raise UserError(
            f"model.adapter.targets {brief(repr(config.pattern))}: it matches {others[0]}, a "
            f"{type(modules[others[0]]).__name__}, but only Linear layers are adapted; give an expression of those, "
            f"such as {_suggestion(linear)}."
        )
    if not found:
        short = sorted({name.rpartition(".")[2] for name in linear})
        near = difflib.get_close_matches(config.pattern, [*short, *linear], 3, 0.3) or short
        raise UserError(
            f"model.adapter.targets {brief(repr(config.pattern))}: it matches no module of the encoder; the nearest "
            f"Linear layers are {one_of(near)}."
        )
    count = 1 + max((layer for name in modules if (layer := layer_of(name)) is not None), default=-1)
    layers = count if top is None else top
    run = [name for name in found if (layer := layer_of(name)) is None or layer < layers]
    if not run:
        raise UserError(
            f"model.layer is {layers}, and model.adapter.targets {brief(repr(config.pattern))} matches nothing below "
            f"it, only {found[0]} and the like; give a higher layer, or other targets."
        )
    if config.last_layers is None:
        return sorted(run, key=_numbers_in_order)
    if config.last_layers > layers:
        has = f"the encoder has {layers} layers" if layers == count else f"model.layer leaves {layers} layers"
        raise UserError(f"model.adapter.last_layers is {config.last_layers}, but {has}; give at most that many.")
    first = layers - config.last_layers
    kept = [name for name in run if (layer := layer_of(name)) is not None and layer >= first]
    if not kept:
        raise UserError(
            f"model.adapter.targets {brief(repr(config.pattern))}: it matches nothing in the last {config.last_layers} "
            f"layers, only {run[0]} and the like; leave out model.adapter.last_layers."
        )
    return sorted(kept, key=_numbers_in_order)


def _suggestion(linear: list[str]) -> str:
    return repr("|".join(sorted({name.rpartition(".")[2] for name in linear})[:2]))


def _numbers_in_order(name: str) -> tuple[Any, ...]:
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in name.split("."))


def adapted_layers(encoder: nnx.Module) -> dict[str, AdaptedLinear]:
    """Return the adapted layers of an encoder by name, in the order of the names."""
    found = {
        ".".join(map(str, path)): module
        for path, module in nnx.iter_modules(encoder)
        if isinstance(module, AdaptedLinear)
    }
    return {name: found[name] for name in sorted(found, key=_numbers_in_order)}


def first_adapted(encoder: nnx.Module) -> int | None:
    """Return the number of the first transformer layer that is adapted; None where what is below the layers is, too."""
    layers = [layer_of(name) for name in adapted_layers(encoder)]
    return None if None in layers else min(layer for layer in layers if layer is not None)


@contextmanager
def adapter_dropout(encoder: nnx.Module, key: PRNGKeyArray | None) -> Iterator[None]:
    """Lend keys to the dropout of an encoder's adapters while it is called; None: there is none."""
    layers = [one for one in adapted_layers(encoder).values() if one.rate and key is not None]
    for layer, own in zip(layers, split(key, len(layers)), strict=True):
        layer.key = own
    try:
        yield
    finally:
        for layer in layers:
            layer.key = None
