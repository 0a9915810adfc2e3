"""Folders for transformers: a fold's classifier, or its encoder and head apart."""

import json
from dataclasses import replace

import numpy as np
import pytest
from saved_runs import FROZEN, LABELS, SPEECH, write_run

from serjax.checkpoints.formats.tensors import read_file, read_tensors
from serjax.checkpoints.huggingface import load_encoder
from serjax.checkpoints.published import load_published
from serjax.inference.ensemble import Ensemble
from serjax.inference.export.transformers_folder import write_transformers
from serjax.inference.load import read_models
from serjax.models.spectrogram import Spectrogram
from serjax.runtime.errors import UserError


def written(folder, model, fold):
    write_run(folder / "run", model)
    (folder / "out").mkdir()
    return write_transformers(folder / "run", folder / "out", fold)


@pytest.mark.parametrize(
    "model", [SPEECH, replace(FROZEN, head="projector", weighted_layers=True)], ids=["own", "frozen"]
)
def test_a_head_that_transformers_has_is_a_classifier(tmp_path, model):
    files, sentence = written(tmp_path, model, 2)
    assert sentence == "Wav2Vec2ForSequenceClassification.from_pretrained reads it: fold 2 of run."
    assert set(files) == {path.name for path in (tmp_path / "out").iterdir()}
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["model_type"], list(config["id2label"].values())) == ("wav2vec2", list(LABELS))
    assert not any(path.is_symlink() for path in (tmp_path / "out").iterdir())
    own, other = read_tensors(tmp_path / "run" / "fold_2"), read_tensors(tmp_path / "out")
    assert own.keys() == other.keys()
    # It answers as the fold does, and is the ensemble of nobody else.
    ensemble, alone = Ensemble(read_models(tmp_path / "run")), Ensemble(read_models(tmp_path / "out"))
    wave = np.random.default_rng(0).normal(size=6000).astype(np.float32)
    np.testing.assert_allclose(alone.logits([wave])[:, 0], ensemble.logits([wave])[:, 1], atol=1e-5)


def test_another_head_stands_beside_the_encoder(tmp_path):
    files, sentence = written(tmp_path, replace(SPEECH, pooling="attentive", head="relu"), 1)
    assert sentence.startswith("Wav2Vec2ForSequenceClassification of transformers has no such head (pooling attentive")
    assert set(files) == {path.name for path in (tmp_path / "out").iterdir()}
    head = read_file(tmp_path / "out" / "head.safetensors")
    assert {key.split(".")[0] for key in head} == {"head"}
    encoder = load_encoder(str(tmp_path / "out"))
    assert encoder.notes == ()
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == ["Wav2Vec2Model"]
    told = json.loads((tmp_path / "out" / "head.json").read_text())
    with pytest.raises(UserError, match=r"/out: its head stands apart \(head\.json\), .* give the run that it was exp"):
        load_published(str(tmp_path / "out"))
    assert told == {"labels": list(LABELS), "pooling": "attentive", "head": "relu", "weighted_layers": False}


@pytest.mark.torch
def test_transformers_computes_the_folds_logits(tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    written(tmp_path, SPEECH, 1)
    classifier = transformers.AutoModelForAudioClassification.from_pretrained(tmp_path / "out").eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "out")
    wave = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    with torch.no_grad():
        found = classifier(**extractor(wave, sampling_rate=16_000, return_tensors="pt")).logits.numpy()
    expected = Ensemble(read_models(tmp_path / "run")).logits([wave])[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert classifier.config.id2label == dict(enumerate(LABELS))


@pytest.mark.torch
def test_transformers_computes_the_hidden_states_of_an_encoder_apart(tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    written(tmp_path, replace(SPEECH, pooling="stat"), 1)
    model = transformers.AutoModel.from_pretrained(tmp_path / "out").eval()
    wave = np.random.default_rng(0).normal(0, 0.1, (1, 8000)).astype(np.float32)
    with torch.no_grad():
        found = model(torch.tensor(wave)).last_hidden_state.numpy()
    expected = load_encoder(str(tmp_path / "out")).encoder(wave, np.array([8000], np.int32)).hidden_states[-1]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "fold", "message"),
    [
        (SPEECH, 3, "--fold 3: .*run has the folds 1, 2; give one of them"),
        (SPEECH, None, "the run has the folds 1, 2; give one with --fold. The ensemble averages the folds'"),
        (Spectrogram(family="audio_cnn"), 1, "transformers has no audio_cnn that serjax trains; take --to stablehlo"),
    ],
)
def test_what_cannot_be_written_gets_a_sentence(tmp_path, model, fold, message):
    with pytest.raises(UserError, match=message):
        written(tmp_path, model, fold)
