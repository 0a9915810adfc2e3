"""EfficientNet checkpoints: misfits, other architectures, colour stems for grey images, and B0 alone."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from efficientnets import TINY
from flax import nnx
from noise import noisy

from serjax.checkpoints.conversion import to_tensors
from serjax.checkpoints.efficientnet import load_efficientnet, pretrained_network
from serjax.checkpoints.formats.tensors import write_tensors
from serjax.models.functional import abstract, flat
from serjax.models.networks.efficientnet import EfficientNet, EfficientNetConfig
from serjax.runtime.errors import UserError


@pytest.fixture(scope="module")
def tiny():
    return nnx.split(noisy(lambda rngs: EfficientNet(TINY, rngs=rngs)), nnx.Param, nnx.BatchStat)


def assert_close(got, want, **tolerance):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def test_other_architecture_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "hubert"}))
    with pytest.raises(UserError, match=r"config.json: model_type is 'hubert'; give an efficientnet checkpoint\.$"):
        load_efficientnet(str(tmp_path))


def write_checkpoint(folder, tensors, **entries):
    config = {key: getattr(TINY, key) for key in TINY.__dataclass_fields__}
    (folder / "config.json").write_text(json.dumps({"model_type": "efficientnet", **config, **entries}))
    write_tensors(folder / "model.safetensors", tensors)


def test_missing_and_extra_tensors_are_listed(tmp_path, tiny):
    tensors = to_tensors(nnx.merge(*tiny), "efficientnet.")
    del tensors["efficientnet.encoder.top_bn.running_var"]
    tensors["efficientnet.stray"] = np.ones(3, np.float32)
    tensors["classifier.weight"] = np.ones((2, 3), np.float32)
    write_checkpoint(tmp_path, tensors)
    with pytest.raises(UserError, match="1 missing, 1 left over, 0 of another") as caught:
        load_efficientnet(str(tmp_path))
    assert "running_var" in str(caught.value)
    assert "classifier" not in str(caught.value)


@pytest.mark.parametrize(("stem", "factor"), [("sum", 1), ("mean", 1 / 3)])
def test_colour_stem_becomes_grey_by_sum_or_mean(tmp_path, stem, factor):
    colour = noisy(lambda rngs: EfficientNet(replace(TINY, num_channels=3), rngs=rngs))
    write_checkpoint(tmp_path, to_tensors(colour), num_channels=3)
    grey = load_efficientnet(str(tmp_path), stem=stem)
    kernel = np.asarray(colour.embeddings.convolution.kernel[...])
    found = grey.embeddings.convolution.kernel[...]
    np.testing.assert_allclose(found, kernel.sum(2, keepdims=True) * factor, rtol=1e-5, atol=1e-6)
    same = load_efficientnet(str(tmp_path), channels=3)
    assert_close(nnx.state(same), nnx.state(colour), rtol=0)


def test_pretrained_network_of_another_layout_than_b0_is_refused(tmp_path, tiny):
    write_checkpoint(tmp_path, to_tensors(nnx.merge(*tiny)))
    with pytest.raises(UserError, match=r"config\.json: its layout is not that of google/efficientnet-b0"):
        pretrained_network(str(tmp_path))


def test_pretrained_network_names_parameters_and_statistics_of_b0(tmp_path):
    network = noisy(lambda rngs: EfficientNet(EfficientNetConfig(), rngs=rngs))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "efficientnet", "drop_connect_rate": 0.3}))
    write_tensors(tmp_path / "model.safetensors", to_tensors(network))
    found = pretrained_network(str(tmp_path))
    names = flat(nnx.state(abstract(lambda rngs: EfficientNet(EfficientNetConfig(num_channels=1), rngs=rngs))))
    assert {name: leaf.shape for name, leaf in found.items()} == {name: leaf.shape for name, leaf in names.items()}
    kernel = found["embeddings.convolution.kernel"]
    expected = np.asarray(network.embeddings.convolution.kernel[...]).sum(2, keepdims=True)
    np.testing.assert_allclose(kernel, expected, rtol=1e-5, atol=1e-6)
