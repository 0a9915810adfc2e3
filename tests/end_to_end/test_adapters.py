"""Adapters from real recordings to answers: trained, stopped and gone on with, exported for others and taken back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flax import nnx

import serjax
from serjax.checkpoints.huggingface import load_encoder, save_pretrained
from serjax.checkpoints.peft import read_peft
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.config.experiment import Experiment
from serjax.config.registry import find
from serjax.data.config import DataConfig, FoldsConfig
from serjax.evaluation.out_of_fold import read_oof_csv
from serjax.inference.ensemble import Ensemble
from serjax.inference.export.transformers_folder import write_transformers
from serjax.inference.load import read_models
from serjax.models.adapter_config import AdapterConfig
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import preset
from serjax.models.speech import Speech
from serjax.runs.finetune import train
from serjax.training.config import OptimizerConfig, TrainConfig

EMODB = Path(__file__).parents[2] / "../shared/data/emodb4/train"
ADAPTER = AdapterConfig(kind="lora", rank=4, dropout=0.1, targets="output_dense|q_proj", last_layers=2)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    encoder = build_encoder(preset("wavlm", "tiny"), rngs=nnx.Rngs(0))
    save_pretrained(encoder, folder, preprocessor=Preprocessor())
    return folder


@pytest.mark.skipif(not EMODB.is_dir(), reason="needs EMO-DB's four classes")
@pytest.mark.parametrize("once", [True, False])
def test_adapters_train_resume_answer_and_go_to_peft_and_back(tmp_path, base, stop_after_an_epoch, once):
    adapter = replace(ADAPTER, encode_once=once)
    experiment = replace(
        find("wavlm_lora", Experiment),
        name="whole",
        out=str(tmp_path),
        data=DataConfig(root=str(EMODB), max_seconds=0.5, max_clips=60, cache=str(tmp_path / "cache")),
        folds=FoldsConfig(count=2),
        model=Speech(checkpoint=str(base), pooling="mean", head="projector", adapter=adapter),
        optimizer=OptimizerConfig(max_lr=1e-2),
        train=TrainConfig(epochs=2, batch_size=8),
    )
    train(experiment, "x")
    stopped = replace(experiment, name="stopped")
    stop_after_an_epoch(train, stopped, "x")
    states = sum(path.stat().st_size for path in (stopped.run_dir / "resume").rglob("*") if path.is_file())
    encoder = (base / "model.safetensors").stat().st_size
    assert states < encoder
    train(stopped, "x")
    whole, again = (read_oof_csv(one.run_dir / "oof.csv") for one in (experiment, stopped))
    np.testing.assert_array_equal(again.probability, whole.probability)

    (tmp_path / "out").mkdir()
    write_transformers(experiment.run_dir, tmp_path / "out", 1, adapter=True)
    ensemble, alone = Ensemble(read_models(experiment.run_dir)), Ensemble(read_models(tmp_path / "out"))
    clip = next(row for row, fold in enumerate(whole.fold) if fold == 1)
    first = serjax.load(experiment.run_dir, [1, 0], long_clips="head", raw=True)
    answers = first([EMODB / f"{whole.ids[clip]}.flac"])
    scores = {entry["label"]: entry["score"] for entry in answers[0]}
    np.testing.assert_allclose([scores[label] for label in whole.labels], whole.probability[clip], atol=1e-4)
    wave = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    np.testing.assert_allclose(alone.logits([wave])[:, 0], ensemble.logits([wave])[:, 0], atol=1e-4)
    found = read_peft(str(tmp_path / "out" / "adapter"), preset("wavlm", "tiny"), str(base))
    assert (found.settings, found.base) == (ADAPTER, str(base))
    merged, exported = (load_encoder(str(tmp_path / "out" / part)).encoder for part in ("adapter", "."))
    for one, other in zip(*(nnx.to_flat_state(nnx.state(encoder)) for encoder in (merged, exported)), strict=True):
        np.testing.assert_allclose(one[1][...], other[1][...], atol=1e-6, err_msg=str(one[0]))
