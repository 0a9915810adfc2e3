"""Adapters in run folders: beside the head, on one encoder on the disk, and merged wherever another program looks."""

import os
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx
from saved_runs import LAYOUT, SPEECH, write_run

from serjax.checkpoints.adapter_weights import as_leaves, layer_name
from serjax.checkpoints.formats.tensors import read_file
from serjax.checkpoints.huggingface import ENCODER_SHARD, load_encoder
from serjax.checkpoints.peft import CONFIG
from serjax.checkpoints.run_models import load_run
from serjax.inference.ensemble import Ensemble
from serjax.inference.export.transformers_folder import write_transformers
from serjax.inference.load import read_models
from serjax.models.adapter_config import AdapterConfig
from serjax.runtime.errors import UserError

LORA = replace(SPEECH, checkpoint="org/base", freeze="auto", adapter=AdapterConfig(kind="lora", rank=2))
WAVE = np.random.default_rng(0).normal(size=6000).astype(np.float32)


def test_names_are_those_of_parameters():
    key = "encoder.layers.0.attention.q_proj"
    leaves = as_leaves({f"{key}.lora_A.weight": np.zeros((2, 8)), f"{key}.ia3_l": np.zeros((8, 1))})
    assert {name: leaf.shape for name, leaf in leaves.items()} == {
        f"{key}.lora_A.kernel": (8, 2),
        f"{key}.ia3_l": (8, 1),
    }
    assert layer_name(f"{key}.lora_A.weight") == key


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters") / "run"
    return folder, write_run(folder, LORA)[0]


def test_the_encoder_is_on_the_disk_and_in_memory_once(run):
    folder, _ = run
    assert os.path.samefile(folder / "fold_1" / ENCODER_SHARD, folder / "fold_2" / ENCODER_SHARD)
    own = read_file(folder / "fold_2" / "model-00002-of-00002.safetensors")
    assert {key.split(".")[0] for key in own} == {"head", "wav2vec2"}
    assert all("lora_" in key for key in own if key.startswith("wav2vec2."))
    models = load_run(folder)
    trained = {path for path, _ in nnx.to_flat_state(models.params)}
    assert {path[0] for path in trained if path[0] != "head"} == {"speech_encoder"}
    assert all("lora_A" in path or "lora_B" in path for path in trained if path[0] != "head")


def test_a_fold_s_folder_is_read_as_an_encoder_with_its_adapters_merged(run):
    folder, members = run
    encoder = load_encoder(str(folder / "fold_2")).encoder
    lengths = np.array([len(WAVE)])

    def last(encoder):
        graphdef, state = nnx.split(encoder)
        return jax.jit(lambda state: nnx.merge(graphdef, state)(WAVE[None], lengths).hidden_states[-1])(state)

    np.testing.assert_allclose(last(encoder), last(members[2].speech_encoder), atol=1e-5)


def test_an_export_for_transformers_is_merged_and_answers_alike(tmp_path, run):
    folder, _ = run
    files, sentence = write_transformers(folder, tmp_path, 2, adapter=True)
    assert sentence.endswith("from_pretrained reads it, with the adapters merged: fold 2 of run.")
    assert set(files) == {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "adapter" / CONFIG).is_file()
    ensemble, alone = Ensemble(read_models(folder)), Ensemble(read_models(tmp_path))
    np.testing.assert_allclose(alone.logits([WAVE])[:, 0], ensemble.logits([WAVE])[:, 1], atol=1e-5)


REFUSED = {
    "no adapters": (replace(SPEECH, checkpoint="org/base"), r"--adapter: .* has no adapters \(model\.adapter\); leave"),
    "random weights": (replace(LORA, size="tiny"), r"--adapter: the encoder of .* started from random weights"),
    "bottleneck": (replace(LORA, adapter=AdapterConfig(kind="bottleneck", rank=2)), r"fold_1: its bottleneck adapters"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_peft_cannot_have_is_refused(tmp_path, name):
    model, message = REFUSED[name]
    write_run(tmp_path / "run", model, folds=(1,), layout=LAYOUT)
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=message):
        write_transformers(tmp_path / "run", tmp_path / "out", 1, adapter=True)
