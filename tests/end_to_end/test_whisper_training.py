"""Whisper from real recordings to answers: trained, stopped and resumed, asked, and given to transformers and back."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from noise import noisy

import serjax
from serjax.checkpoints.huggingface import load_encoder, save_pretrained
from serjax.checkpoints.preprocessor import default_preprocessor
from serjax.checkpoints.run_models import load_run
from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.evaluation.out_of_fold import read_oof_csv
from serjax.inference.export.transformers_folder import write_transformers
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.whisper_config import WhisperConfig
from serjax.models.speech import Speech
from serjax.runs.finetune import train
from serjax.runs.planning.run import plan
from serjax.training.config import TrainConfig

RECORDINGS = Path(__file__).parents[2] / "../shared/data/emodb4/train"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"the recordings are not in {RECORDINGS}"),
]
# Positions for one second.
CONFIG = WhisperConfig(
    num_mel_bins=16,
    d_model=16,
    encoder_layers=2,
    encoder_attention_heads=2,
    encoder_ffn_dim=24,
    max_source_positions=50,
)
MODELS = {
    "trained": {"freeze": "cnn", "padding": "exact", "layer": 1},
    "trained, 1 s": {"freeze": "cnn", "padding": "transformers"},
    "heads": {"freeze": "encoder", "padding": "exact", "head": "frame_relu", "state_norm": True},
    "heads, 1 s": {"freeze": "encoder", "padding": "transformers", "weighted_layers": True},
}


def make(folder, name, **settings):
    checkpoint = folder / "whisper"
    if not checkpoint.is_dir():
        encoder = noisy(lambda rngs: build_encoder(CONFIG, rngs=rngs))
        save_pretrained(encoder, checkpoint, preprocessor=default_preprocessor(CONFIG))
    model = {"pooling": "mean", "head": "linear"} | settings
    return Experiment(
        name=name,
        out=str(folder / "runs"),
        data=DataConfig(root=str(RECORDINGS), max_clips=40, max_seconds=1.0, cache=str(folder / "cache")),
        folds=FoldsConfig(count=2),
        model=Speech(family="whisper", checkpoint=str(checkpoint), **model),
        train=TrainConfig(epochs=2, batch_size=8),
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_run_is_trained_resumed_asked_exported_and_read_back(name, tmp_path, stop_after_an_epoch):
    whole = make(tmp_path, "whole", **MODELS[name])
    train(whole, "x", example=False)
    stopped = replace(whole, name="stopped")
    stop_after_an_epoch(train, stopped, "x")
    train(stopped, "x", example=False)
    files = [(one.run_dir / "oof.csv").read_bytes() for one in (whole, stopped)]
    assert files[0] == files[1]

    oof = read_oof_csv(whole.run_dir / "oof.csv")
    row = int(np.flatnonzero(oof.fold == 1)[0])
    path = next(RECORDINGS.rglob(f"{Path(oof.ids[row]).name}.flac"))
    answer = serjax.load(whole.run_dir, [1, 0], long_clips="head", raw=True)(path)
    found = {one["label"]: one["score"] for one in answer}
    np.testing.assert_allclose([found[label] for label in oof.labels], oof.probability[row], atol=1e-4)

    (tmp_path / "out").mkdir()
    write_transformers(whole.run_dir, tmp_path / "out", 2)
    encoders = [load_encoder(str(folder)).encoder for folder in (tmp_path / "out", whole.run_dir / "fold_2")]
    for mine, other in zip(*(jax.tree.leaves(nnx.state(one)) for one in encoders), strict=True):
        np.testing.assert_array_equal(mine, other)
    again = make(tmp_path, "again", freeze="encoder", padding=whole.model.padding)
    again = replace(again, model=replace(again.model, checkpoint=str(tmp_path / "out")))
    assert train(again, "x", example=False)["out_of_fold"]["ua"]["score"] >= 0

    members = load_run(whole.run_dir)
    assert members.labels == oof.labels


@pytest.mark.torch
def test_transformers_reads_the_exported_encoder(tmp_path):
    transformers = pytest.importorskip("transformers")
    whole = make(tmp_path, "whole", freeze="cnn", padding="transformers")
    train(whole, "x", example=False)
    (tmp_path / "out").mkdir()
    write_transformers(whole.run_dir, tmp_path / "out", 1)
    theirs = transformers.WhisperModel.from_pretrained(tmp_path / "out").eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "out")
    wave = np.random.default_rng(0).normal(0, 0.1, 9000).astype(np.float32)
    given = extractor([wave], sampling_rate=16_000, return_tensors="pt").input_features
    expected = theirs.encoder(given).last_hidden_state.detach().numpy()
    call = serjax.load_encoder(str(tmp_path / "out"))
    mine = call([wave], padding="transformers").hidden_states[-1]
    np.testing.assert_allclose(mine[0], expected[0, : mine.shape[1]], atol=1e-4)


def test_a_plan_reads_its_config_alone(tmp_path):
    trained = make(tmp_path, "planned", freeze="cnn")
    (tmp_path / "whisper" / "model.safetensors").unlink()
    assert plan(trained, "v5e-8", mesh=None, every_mesh=False, compile=False, clips=40, utilization=None) is not None
