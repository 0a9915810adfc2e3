"""Adapters of PEFT: refused by a sentence where they do not fit, read as they were written, and merged."""

import json
from dataclasses import replace

import numpy as np
import pytest
from flax import nnx
from noise import noisy
from saved_runs import ENCODER

from serjax.checkpoints.adapter_weights import merged
from serjax.checkpoints.conversion import load_tensors, to_tensors
from serjax.checkpoints.formats.tensors import read_file, write_tensors
from serjax.checkpoints.huggingface import read_checkpoint
from serjax.checkpoints.peft import CONFIG, WEIGHTS, read_peft, write_peft
from serjax.models.adapter_config import PARTS, AdapterConfig
from serjax.models.adapters import adapt, adapted_layers
from serjax.models.encoders.build import build_encoder
from serjax.models.functional import abstract
from serjax.runtime.errors import UserError

DEEP = replace(ENCODER, num_hidden_layers=3)
WAVE = np.random.default_rng(0).normal(size=(1, 2_000)).astype(np.float32)
KINDS = {
    "lora": AdapterConfig(kind="lora", rank=4, alpha=6.0, last_layers=2),
    "rslora": AdapterConfig(kind="lora", rank=4, rslora=True, targets=r"layers\.[02]\..*dense|k_proj"),
    "patterns": AdapterConfig(
        kind="lora", rank=4, rank_pattern=((r"layers\.1\..*", 2),), alpha_pattern=(("v_proj", 3.0), ("q_proj", 0.5))
    ),
    "ia3": AdapterConfig(kind="ia3"),
    "ia3, inputs of attention": AdapterConfig(kind="ia3", targets="k_proj|output_dense", feedforward="k_proj"),
}


def adapted(settings, config=DEEP, seed=0):
    """An encoder with adapters, all of whose weights are drawn."""

    def make(rngs):
        encoder = build_encoder(config, rngs=rngs)
        adapt(encoder, settings, rngs=rngs)
        return encoder

    return noisy(make, seed)


def last(encoder):
    return encoder(WAVE, np.array([WAVE.shape[1]])).hidden_states[-1]


@pytest.mark.parametrize("name", KINDS)
def test_what_is_written_is_read_and_merged_to_the_same_answers(tmp_path, name):
    encoder = adapted(KINDS[name])
    write_peft(tmp_path, encoder, KINDS[name], "somewhere/base", "wav2vec2.")
    found = read_peft(str(tmp_path), DEEP)
    assert found.base == "somewhere/base"
    assert found.notes == ()
    again = adapted(found.settings, seed=1)
    assert adapted_layers(again).keys() == adapted_layers(encoder).keys()
    base = {key: tensor for key, tensor in to_tensors(encoder).items() if not PARTS & set(key.split("."))}
    nnx.update(again, load_tensors(again, base | found.tensors, source="both"))
    expected = last(encoder)
    np.testing.assert_allclose(last(again), expected, atol=1e-6)
    plain = abstract(lambda rngs: build_encoder(DEEP, rngs=rngs))
    whole = merged(base | found.tensors, found.settings)
    nnx.update(plain, load_tensors(plain, whole, source="merged"))
    np.testing.assert_allclose(last(plain), expected, atol=1e-5)


def test_targets_are_told_in_few_words(tmp_path):
    settings = KINDS["lora"]
    write_peft(tmp_path, adapted(settings), settings, "base")
    assert read_peft(str(tmp_path), DEEP).settings == replace(settings, targets="q_proj|v_proj")


def test_bottleneck_is_none_of_peft_and_cannot_be_merged(tmp_path):
    settings = AdapterConfig(kind="bottleneck", rank=2)
    encoder = adapted(settings)
    with pytest.raises(UserError, match=r"kind is bottleneck, which PEFT does not have; it has lora and ia3\.$"):
        write_peft(tmp_path, encoder, settings, "base")
    with pytest.raises(UserError, match=r"^RUN: its bottleneck adapters are layers, which cannot be merged"):
        merged(to_tensors(encoder), settings, source="RUN")


def weights(change):
    """A change of every weight and its key."""
    return lambda config, tensors: dict(change(key, tensor) for key, tensor in tensors.items())


def entries(**values):
    """A change of the configuration."""
    return lambda config, tensors: config.update(values)


IA3 = {"base_model.model.encoder.layers.0.attention.q_proj.ia3_l": np.ones((16, 1), np.float32)}
BROKEN = {
    "another width": (
        weights(lambda key, tensor: (key, tensor[:, :3] if "lora_A" in key else tensor)),
        r"q_proj\.lora_A\.weight is \(4, 3\), but this wav2vec2 needs \(4, 16\); give an adapter of an encoder of this",
    ),
    "another base": (
        weights(lambda key, tensor: (key.replace("q_proj", "query"), tensor)),
        r"adapts encoder\.layers\.1\.attention\.query, which is no Linear layer of this wav2vec2; give an adapter",
    ),
    "no linear layer": (
        weights(lambda key, tensor: (key.replace("q_proj.", ""), tensor)),
        r"adapts encoder\.layers\.1\.attention, which is no Linear",
    ),
    "rank of 0": (entries(r=0), r"r does not fit .*greater than or equal to 1"),
    "another rank": (entries(r=8), r"q_proj is of rank 8, but the weights are \(4, 16\) and \(16, 4\)"),
    "half an adapter": (
        lambda config, tensors: {key: one for key, one in tensors.items() if "lora_B" not in key},
        r"the weights are \(4, 16\) and None",
    ),
    "another kind": (entries(peft_type="ADALORA"), r"peft_type is 'ADALORA'; serjax reads LORA and IA3"),
    "no kind": (entries(peft_type=None), r"peft_type is None"),
    "dora": (entries(use_dora=True), r"use_dora is True, which serjax does not compute; merge"),
    "biases": (entries(bias="all"), r"bias is 'all', which serjax does not compute"),
    "new option": (entries(use_tomorrow={"a": 1}), r"use_tomorrow is .* does not compute"),
    "changed base": (entries(init_lora_weights="pissa"), r"init_lora_weights is 'pissa', which has changed"),
    "another family": (
        entries(auto_mapping={"base_model_class": "Wav2Vec2BertModel"}),
        r"auto_mapping says that it is an adapter of a wav2vec2-bert, but the encoder is a wav2vec2; give an adapter",
    ),
    "kind of a list": (entries(peft_type=["LORA"]), r"peft_type is \['LORA'\]; serjax reads LORA and IA3"),
    "dropout of 1.5": (entries(lora_dropout=1.5), r"lora_dropout does not fit .*less than 1"),
    "no expression": (
        entries(rank_pattern={"(": 4}),
        r"has '\(.*', which is no regular expression \(missing",
    ),
    "no adapter": (
        lambda config, tensors: {"classifier.weight": np.zeros((2, 2), np.float32)},
        r"holds no adapter of a layer",
    ),
    "two kinds": (lambda config, tensors: tensors | IA3, r"q_proj\.ia3_l, which serjax does not compute"),
}


@pytest.fixture(scope="module")
def peft_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("peft")
    write_peft(folder, adapted(KINDS["lora"]), KINDS["lora"], "org/base")
    return folder


@pytest.mark.parametrize("name", BROKEN)
def test_adapter_that_does_not_fit_is_refused_by_one_sentence(tmp_path, peft_folder, name):
    change, message = BROKEN[name]
    config = json.loads((peft_folder / CONFIG).read_text())
    tensors = {key: np.array(tensor) for key, tensor in read_file(peft_folder / WEIGHTS).items()}
    changed = change(config, tensors)
    tensors = changed if isinstance(changed, dict) else tensors
    write_tensors(tmp_path / WEIGHTS, tensors)
    (tmp_path / CONFIG).write_text(json.dumps(config))
    with pytest.raises(UserError, match=message) as caught:
        read_peft(str(tmp_path), DEEP)
    assert "\n" not in str(caught.value)


def test_adapter_of_another_hub_model_is_refused(peft_folder):
    with pytest.raises(UserError, match=r"it is an adapter of org/base, but the encoder is org/other; give that one"):
        read_peft(str(peft_folder), DEEP, "org/other")
    assert read_peft(str(peft_folder), DEEP, "org/base").settings.rank == 4


def test_adapter_of_an_adapter_is_refused(tmp_path, peft_folder):
    config = json.loads((peft_folder / CONFIG).read_text()) | {"base_model_name_or_path": str(tmp_path)}
    (tmp_path / CONFIG).write_text(json.dumps(config))
    with pytest.raises(UserError, match=rf"^{tmp_path}: its base model, {tmp_path}, is an adapter too; merge that one"):
        read_checkpoint(str(tmp_path))


def test_folder_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"it holds no adapter_config\.json; give the directory of an adapter"):
        read_peft(str(tmp_path), DEEP)
    (tmp_path / CONFIG).write_text('{"peft_type": "IA3"}')
    with pytest.raises(UserError, match=r"adapter_model\.safetensors: this file is missing; save the adapter as"):
        read_peft(str(tmp_path), DEEP)
