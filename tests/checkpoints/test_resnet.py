import json
import pickle
import re

import jax
import numpy as np
import pytest
from flax import nnx

from serjax.checkpoints.conversion import to_tensors
from serjax.checkpoints.formats.tensors import read_tensors, write_tensors
from serjax.checkpoints.resnet import load_resnet, save_resnet
from serjax.models.networks.resnet import ResNet18
from serjax.runtime.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory in Hugging Face's layout."""
    folder = tmp_path_factory.mktemp("resnet")
    save_resnet(ResNet18(rngs=nnx.Rngs(0)), folder)
    return folder


def copied(folder, tmp_path, change_config=None, change_tensors=None):
    config, tensors = json.loads((folder / "config.json").read_text()), dict(read_tensors(folder))
    (change_config or (lambda _: None))(config)
    (change_tensors or (lambda _: None))(tensors)
    (tmp_path / "config.json").write_text(json.dumps(config))
    write_tensors(tmp_path / "model.safetensors", tensors)
    return str(tmp_path)


def test_what_is_saved_is_loaded(folder):
    found, want = (jax.tree.leaves(nnx.state(net)) for net in (load_resnet(str(folder)), ResNet18(rngs=nnx.Rngs(0))))
    for a, b in zip(found, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_names_are_those_of_the_two_publishers(folder):
    ours, theirs = set(to_tensors(ResNet18(rngs=nnx.Rngs(0)))), set(read_tensors(folder))
    assert len(ours) == len(theirs) == 120
    assert {"conv1.weight", "bn1.running_var", "layer1.1.conv2.weight", "layer4.0.downsample.1.bias"} <= ours
    assert {
        "embedder.embedder.convolution.weight",
        "embedder.embedder.normalization.running_var",
        "encoder.stages.0.layers.1.layer.1.convolution.weight",
        "encoder.stages.3.layers.0.shortcut.normalization.bias",
    } <= theirs


def test_the_head_of_a_classifier_and_its_prefix_are_left_out(folder, tmp_path):
    def wrap(tensors):
        for key in list(tensors):
            tensors[f"resnet.{key}"] = tensors.pop(key)
        tensors["classifier.1.weight"] = np.ones((1000, 512), np.float32)

    assert load_resnet(copied(folder, tmp_path, change_tensors=wrap)).layer4


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"model_type": "efficientnet"}, "model_type is 'efficientnet', but ResNet18 has 'resnet'; give resnet-18."),
        ({"depths": [3, 4, 6, 3]}, "depths is [3, 4, 6, 3], but ResNet18 has [2, 2, 2, 2]; give resnet-18."),
        ({"layer_type": "bottleneck"}, "layer_type is 'bottleneck'"),
        ({"downsample_in_first_stage": True}, "downsample_in_first_stage is True"),
        ({"hidden_sizes": None}, "hidden_sizes is None"),
    ],
)
def test_another_architecture_is_refused_in_one_sentence(folder, tmp_path, entry, message):
    with pytest.raises(UserError, match=re.escape(f"config.json: {message}")):
        load_resnet(copied(folder, tmp_path, lambda config: config.update(entry)))


def test_what_transformers_assumes_need_not_be_said(folder, tmp_path):
    def shorten(config):
        for key in ("num_channels", "embedding_size", "hidden_act", "downsample_in_first_stage"):
            del config[key]

    assert load_resnet(copied(folder, tmp_path, shorten)).layer4


def test_all_misfits_are_listed(folder, tmp_path):
    def spoil(tensors):
        del tensors["embedder.embedder.normalization.bias"]
        tensors["encoder.stages.7.layers.0.stray.weight"] = np.ones(3, np.float32)

    with pytest.raises(UserError, match="1 missing, 1 left over, 0 of another") as caught:
        load_resnet(copied(folder, tmp_path, change_tensors=spoil))
    assert "missing: bn1.bias" in str(caught.value)
    assert "left over: encoder.stages.7.layers.0.stray.weight" in str(caught.value)


def test_a_file_that_wants_to_call_something_is_not_run(tmp_path):
    path = tmp_path / "resnet18-evil.pth"
    path.write_bytes(pickle.dumps(print))
    with pytest.raises(UserError, match=r"builtins\.print, which no weights need"):
        load_resnet(str(path))


def test_a_missing_file_is_named():
    with pytest.raises(UserError, match=r"nowhere/resnet18.pth: there is no such directory"):
        load_resnet("/nowhere/resnet18.pth")
