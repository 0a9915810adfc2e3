"""Whisper in what takes an encoder: runs of it answer, freeze, fold, and go to transformers and back."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from saved_runs import FROZEN, SPEECH, write_run

from serjax.checkpoints.formats.tensors import read_file
from serjax.checkpoints.huggingface import load_encoder, save_pretrained
from serjax.checkpoints.preprocessor import default_preprocessor
from serjax.inference.encoder import PretrainedEncoder
from serjax.inference.ensemble import Ensemble
from serjax.inference.export.program import program
from serjax.inference.export.transformers_folder import write_transformers
from serjax.inference.load import read_models
from serjax.inference.scores import Scoring
from serjax.models.base import EncoderLayout
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.whisper_config import WhisperConfig
from serjax.models.speech import Speech
from serjax.runtime.errors import UserError

# Positions for one second.
ENCODER = WhisperConfig(
    num_mel_bins=16,
    d_model=16,
    encoder_layers=2,
    encoder_attention_heads=2,
    encoder_ffn_dim=24,
    max_source_positions=50,
)
LAYOUT = EncoderLayout(ENCODER)
MODELS = {
    "frozen": replace(FROZEN, family="whisper", head="frame_relu", state_norm=True),
    "own, 1 s": replace(SPEECH, family="whisper", padding="transformers", weighted_layers=True),
    "own": replace(SPEECH, family="whisper"),
}


@pytest.fixture
def waves():
    rng = np.random.default_rng(0)
    return [rng.normal(size=length).astype(np.float32) for length in (8000, 5000, 400)]


@pytest.mark.parametrize("name", ["frozen", "own, 1 s"])
def test_a_run_answers_alone_and_in_a_batch(tmp_path, name, waves):
    members, model = write_run(tmp_path / "run", MODELS[name], layout=LAYOUT)
    ensemble = Ensemble(read_models(tmp_path / "run"))
    together = ensemble.logits(waves)
    for row, wave in enumerate(waves):
        alone = ensemble.logits([wave])[0]
        np.testing.assert_allclose(together[row], alone, atol=1e-5)
        states, frames = members[1].features(jnp.asarray(wave)[None], jnp.array([len(wave)]))
        assert frames.tolist() == [len(wave) // 320]
        np.testing.assert_allclose(members[1].head(states, frames)[0], alone[0], atol=1e-5)
    assert model.max_samples == 16_000


def test_its_encoder_and_head_are_exported_apart_and_read_back(tmp_path):
    members, _ = write_run(tmp_path / "run", MODELS["frozen"], layout=LAYOUT)
    (tmp_path / "out").mkdir()
    _, sentence = write_transformers(tmp_path / "run", tmp_path / "out", 2)
    assert "WhisperModel.from_pretrained reads the encoder (and makes a decoder without layers beside it)" in sentence
    assert {key.split(".")[0] for key in read_file(tmp_path / "out" / "head.safetensors")} == {"head"}
    again = load_encoder(str(tmp_path / "out"))
    assert again.notes == ()
    for mine, other in zip(
        *(jax.tree.leaves(nnx.state(one)) for one in (again.encoder, members[2].speech_encoder)), strict=True
    ):
        np.testing.assert_array_equal(mine, other)


def test_an_export_has_the_length_of_all_positions(tmp_path):
    write_run(tmp_path / "run", MODELS["own"], layout=LAYOUT)
    models = read_models(tmp_path / "run")
    models = models._replace(max_seconds=0.5)
    made = program(models, Scoring("softmax", np.array([0.5, 0.5])), "run")
    assert not made.dynamic
    # Batches of any size are traced, of clips that are shorter than all positions too.
    shapes = jax.eval_shape(made.call, made.weights, *made.inputs().values())
    assert [one.shape[1:] for one in shapes.values()] == [(2, 3), (3,)]


@pytest.mark.parametrize("freeze", ["nothing", "cnn", "layers", "encoder"])
def test_what_is_frozen(freeze):
    model = Speech(family="whisper", freeze=freeze, frozen_layers=1, layout=LAYOUT)
    paths = {
        "conv1": ("speech_encoder", "encoder", "conv1", "kernel"),
        "positions": ("speech_encoder", "encoder", "embed_positions", "embedding"),
        "layer 0": ("speech_encoder", "encoder", "layers", 0, "fc1", "kernel"),
        "layer 1": ("speech_encoder", "encoder", "layers", 1, "fc1", "kernel"),
        "norm": ("speech_encoder", "encoder", "layer_norm", "scale"),
        "head": ("head", "classifier", "kernel"),
    }
    trained = {
        "nothing": {"conv1", "layer 0", "layer 1", "norm", "head"},
        "cnn": {"layer 0", "layer 1", "norm", "head"},
        "layers": {"layer 1", "norm", "head"},
        "encoder": {"head"},
    }
    assert {name for name, path in paths.items() if model.trainable(path)} == trained[freeze]


def test_a_clip_longer_than_all_positions_is_refused(tmp_path, waves):
    encoder = build_encoder(ENCODER, rngs=nnx.Rngs(0))
    save_pretrained(encoder, tmp_path, preprocessor=default_preprocessor(ENCODER))
    call = PretrainedEncoder(load_encoder(str(tmp_path)))
    with pytest.raises(UserError, match=r"^clip 1: it lasts 2 s, but whisper has positions for 1 s; cut it into parts"):
        call([waves[0], np.ones(32_000, np.float32)])
    assert call(waves, padding="transformers").hidden_states[-1].shape == (3, 25, 16)
