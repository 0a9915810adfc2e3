"""Published weights of ResNet18: torchvision's files and Hugging Face directories, in and out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from serjax.checkpoints.conversion import load_tensors, to_tensors
from serjax.checkpoints.formats.tensors import read_tensors, write_tensors
from serjax.checkpoints.formats.torch_pickle import read_torch_file
from serjax.checkpoints.hub import resolve
from serjax.models.functional import abstract
from serjax.models.networks.resnet import WIDTHS, ResNet18
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError
from serjax.runtime.json_files import read_json

_LAYOUT: dict[str, Any] = {
    "model_type": "resnet",
    "num_channels": 3,
    "embedding_size": WIDTHS[0],
    "hidden_sizes": list(WIDTHS),
    "depths": [2] * len(WIDTHS),
    "layer_type": "basic",
    "hidden_act": "relu",
    "downsample_in_first_stage": False,
}
"""config.json of microsoft/resnet-18, as far as it decides what is computed."""
_NEEDED = ("model_type", "hidden_sizes", "depths", "layer_type")
"""Keys for which transformers assumes something else where they are missing."""


def _modules() -> dict[str, str]:
    """Return what Hugging Face calls each of torchvision's layers."""
    names = {"conv1": "embedder.embedder.convolution", "bn1": "embedder.embedder.normalization"}
    parts = {"conv1": "layer.0.convolution", "bn1": "layer.0.normalization"}
    parts |= {"conv2": "layer.1.convolution", "bn2": "layer.1.normalization"}
    parts |= {"downsample.0": "shortcut.convolution", "downsample.1": "shortcut.normalization"}
    for stage in range(len(WIDTHS)):
        for block in range(2):
            here, there = f"layer{stage + 1}.{block}.", f"encoder.stages.{stage}.layers.{block}."
            names |= {here + ours: there + theirs for ours, theirs in parts.items()}
    return names


_NAMES = _modules()


def load_resnet(source: str) -> ResNet18:
    """Load published weights, of the network alone or of an image classifier, whose head is left out.

    Args:
        source: One of torchvision's files (resnet18-f37072fd.pth), a Hugging Face directory, or a hub id such as
            `microsoft/resnet-18`.

    Raises:
        UserError: it cannot be found, is damaged, is of another architecture, or its weights do not fit.
    """
    path = Path(source).expanduser()
    tensors = read_torch_file(path) if path.is_file() else _hugging_face(source)
    network = abstract(lambda rngs: ResNet18(rngs=rngs))
    state = load_tensors(network, tensors, source=source, allow_extra=[r"(fc|classifier)\..*"])
    nnx.update(network, state)
    return network


def save_resnet(network: ResNet18, directory: str | Path) -> None:
    """Write a directory that transformers loads in PyTorch (`ResNetModel.from_pretrained`), and `load_resnet` here.

    `to_tensors(network)` are the weights as torchvision names them.

    Raises:
        UserError: the files cannot be written.
    """
    folder = Path(directory)
    write_tensors(folder / "model.safetensors", _renamed(to_tensors(network), _NAMES))
    write_text(folder / "config.json", json.dumps({"architectures": ["ResNetModel"], **_LAYOUT}, indent=2) + "\n")


def _hugging_face(source: str) -> dict[str, np.ndarray]:
    """Return a directory's weights under torchvision's names."""
    directory = resolve(source)
    config = read_json(directory / "config.json")
    for key, value in _LAYOUT.items():
        found = config.get(key, None if key in _NEEDED else value)
        if found != value:
            raise UserError(f"{source}/config.json: {key} is {found!r}, but ResNet18 has {value!r}; give resnet-18.")
    tensors = {key.removeprefix("resnet."): tensor for key, tensor in read_tensors(directory).items()}
    return _renamed(tensors, {theirs: ours for ours, theirs in _NAMES.items()})


def _renamed(tensors: dict[str, np.ndarray], names: dict[str, str]) -> dict[str, np.ndarray]:
    split = {key: key.rpartition(".") for key in tensors}
    return {f"{names.get(split[key][0], split[key][0])}.{split[key][2]}": tensor for key, tensor in tensors.items()}
