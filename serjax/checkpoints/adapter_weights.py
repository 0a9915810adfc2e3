"""Weights of adapters by PyTorch's keys: as parameters by name, and merged into the weights that they adapt."""

import re
from collections.abc import Mapping

import numpy as np

from serjax.models.adapter_config import PARTS, AdapterConfig
from serjax.runtime.errors import UserError


def layer_name(key: str) -> str:
    """Return the layer of an adapter's key."""
    parts = key.split(".")
    return ".".join(parts[: next(i for i, part in enumerate(parts) if part in PARTS)])


def as_leaves(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return an adapter's tensors as parameters by name, such as `encoder.layers.0.attention.q_proj.lora_A.kernel`."""
    names = {key: re.sub(r"\.weight$", ".kernel", key) for key in tensors}
    return {name: tensors[key].T if name != key else tensors[key] for key, name in names.items()}


def merged(
    tensors: Mapping[str, np.ndarray], settings: AdapterConfig, prefix: str = "", source: str = "the adapter"
) -> dict[str, np.ndarray]:
    """Return a model's tensors with the adapters' added to the weights that they adapt, in float32.

    Args:
        tensors: of the encoder, its adapters, and what else there is, by PyTorch's keys.
        settings: of the adapters.
        prefix: of the encoder's keys.
        source: what to call it in a message.

    Raises:
        UserError: adapters of this kind are more than a weight.
    """
    if settings.kind == "bottleneck":
        raise UserError(
            f"{source}: its bottleneck adapters are layers, which cannot be merged into weights; use the run itself."
        )
    own = {key: tensor for key, tensor in tensors.items() if PARTS & set(key.split("."))}
    found = {key: tensor for key, tensor in tensors.items() if key not in own}
    for layer in dict.fromkeys(map(layer_name, own)):
        weight, bias = f"{layer}.weight", f"{layer}.bias"
        kernel = np.asarray(found[weight], np.float32)
        if settings.kind == "lora":
            product = np.asarray(own[f"{layer}.lora_B.weight"]) @ np.asarray(own[f"{layer}.lora_A.weight"])
            found[weight] = kernel + np.float32(settings.scale_of(layer.removeprefix(prefix))) * product
            continue
        scale = np.asarray(own[f"{layer}.ia3_l"])
        found[weight] = kernel * scale
        if bias in found and scale.shape[0] != 1:
            found[bias] = np.asarray(found[bias], np.float32) * scale[:, 0]
    return found
