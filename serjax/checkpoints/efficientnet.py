"""EfficientNet checkpoints of transformers."""

from dataclasses import replace
from typing import Literal

import numpy as np
from flax import nnx
from jaxtyping import Array

from serjax.checkpoints.conversion import load_tensors
from serjax.checkpoints.formats.tensors import read_tensors
from serjax.checkpoints.hub import resolve
from serjax.models.functional import abstract, flat
from serjax.models.networks.efficientnet import EfficientNet, EfficientNetConfig, from_dict
from serjax.runtime.errors import UserError
from serjax.runtime.json_files import read_json


def pretrained_network(source: str) -> dict[str, Array]:
    """Return the parameters and statistics of a checkpoint of B0's layout by name.

    Raises:
        UserError: the checkpoint cannot be used, or is not of B0's layout.
    """
    network = load_efficientnet(source)
    plain = EfficientNetConfig(num_channels=1)
    if replace(network.config, drop_connect_rate=plain.drop_connect_rate, hidden_act=plain.hidden_act) != plain:
        raise UserError(f"{source}/config.json: its layout is not that of google/efficientnet-b0; give that.")
    return flat(nnx.state(network, (nnx.Param, nnx.BatchStat)))


_STEM = "embeddings.convolution.weight"


def load_efficientnet(source: str, channels: Literal[1, 3] = 1, stem: Literal["sum", "mean"] = "sum") -> EfficientNet:
    """Load a Hugging Face checkpoint, of the network alone or of an image classifier, whose head is left out.

    Args:
        source: A directory, or a hub id such as `google/efficientnet-b0`.
        channels: Of the images to come.
        stem: How the first kernel, where the checkpoint has it for other images, becomes one for one channel.

    Raises:
        UserError: it cannot be found, is damaged, is of another architecture, or its weights do not fit its config.
    """
    directory = resolve(source)
    config = from_dict(read_json(directory / "config.json"), f"{source}/config.json")
    tensors = read_tensors(directory)
    prefix = "efficientnet." if any(key.startswith("efficientnet.") for key in tensors) else ""
    key, image = prefix + _STEM, replace(config, num_channels=channels)
    if channels == 1 and config.num_channels != 1 and key in tensors:
        tensors[key] = (np.sum if stem == "sum" else np.mean)(np.float32(tensors[key]), axis=1, keepdims=True)
    network = abstract(lambda rngs: EfficientNet(image, rngs=rngs))
    state = load_tensors(network, tensors, source=source, prefix=prefix, allow_extra=[r"classifier\..*"])
    nnx.update(network, state)
    return network
