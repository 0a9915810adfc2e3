"""Folds as transformers loads them: the whole classifier where it has such a head, else a refusal."""

import json
import os
import warnings
from dataclasses import replace

import numpy as np
import pytest
from flax import nnx
from saved_runs import ENCODER, LABELS, SPEECH, write_run

import serjax
from serjax.checkpoints.formats.tensors import read_tensors
from serjax.checkpoints.huggingface import ENCODER_SHARD, load_encoder
from serjax.checkpoints.sequence_classification import from_transformers, in_transformers, to_transformers
from serjax.models.base import EncoderLayout
from serjax.models.functional import logits_of
from serjax.models.inputs import Inputs
from serjax.models.speech import Speech

PROJECTOR = replace(SPEECH, head="projector", head_size=5)
HEADS = {
    "linear": SPEECH,
    "projector": PROJECTOR,
    "weighted": replace(SPEECH, weighted_layers=True),
    "weighted projector": replace(PROJECTOR, weighted_layers=True),
    "frozen": replace(SPEECH, freeze="encoder"),
    "frozen projector": replace(PROJECTOR, freeze="encoder", weighted_layers=True),
}
OTHERS = {
    "attentive": Speech(freeze="nothing"),
    "stat": replace(SPEECH, pooling="stat"),
    "relu": replace(SPEECH, head="relu"),
    "frozen": Speech(freeze="encoder"),
}
OUT = "head.classifier.out_proj"
WAVE = np.random.default_rng(0).normal(0.02, 0.2, 6000).astype(np.float32)


def with_layout(config, **changes):
    return replace(config, layout=EncoderLayout(replace(ENCODER, **changes), normalize=True))


def test_heads_that_transformers_has_are_mean_and_linear():
    assert all(in_transformers(with_layout(config)) for config in HEADS.values())
    assert not any(in_transformers(with_layout(config)) for config in OTHERS.values())


def test_weighted_sum_of_a_pre_ln_encoder_is_none_of_them():
    assert in_transformers(with_layout(SPEECH, do_stable_layer_norm=True))
    assert not in_transformers(with_layout(HEADS["weighted"], do_stable_layer_norm=True))


@pytest.mark.parametrize("name", HEADS)
def test_head_comes_back_as_it_was(name):
    rng, config = np.random.default_rng(0), with_layout(HEADS[name])
    width = 16 if config.head == "linear" else 5
    head = {f"{OUT}.weight": rng.normal(size=(3, width)), f"{OUT}.bias": rng.normal(size=3)}
    if config.head == "projector":
        head |= {
            "head.classifier.dense.weight": rng.normal(size=(5, 16)),
            "head.classifier.dense.bias": rng.normal(size=5),
        }
    if config.weighted_layers:
        head["head.layer_weights"] = rng.normal(size=2)
    stored = to_transformers(config, head)
    assert not any(key.startswith("head.") for key in stored)
    found = from_transformers(config, stored)
    assert found.keys() == head.keys()
    for key, value in head.items():
        np.testing.assert_array_equal(found[key], value)


def test_two_linear_layers_that_were_trained_further_are_one():
    config, rng = with_layout(SPEECH), np.random.default_rng(0)
    stored = to_transformers(config, {f"{OUT}.weight": rng.normal(size=(3, 4)), f"{OUT}.bias": rng.normal(size=3)})
    stored["classifier.weight"] = rng.normal(size=(3, 3))
    x = rng.normal(size=4)
    found = from_transformers(config, stored)
    np.testing.assert_allclose(
        found[f"{OUT}.weight"] @ x + found[f"{OUT}.bias"],
        stored["classifier.weight"] @ (stored["projector.weight"] @ x + stored["projector.bias"])
        + stored["classifier.bias"],
    )


@pytest.mark.parametrize("name", HEADS)
def test_fold_is_a_published_classifier_too(tmp_path, name):
    members, _ = write_run(tmp_path, HEADS[name])
    settings = json.loads((tmp_path / "fold_2" / "config.json").read_text())
    assert settings["architectures"] == ["Wav2Vec2ForSequenceClassification"]
    assert settings["model_type"] == "wav2vec2"
    answer = {entry["label"]: entry["score"] for entry in serjax.load(tmp_path / "fold_2")((WAVE, 16_000))}
    own = np.exp(mine(members[2]))
    np.testing.assert_allclose([answer[label] for label in LABELS], own / own.sum(), atol=1e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_head_of_another_kind_has_a_model_type_that_only_serjax_knows(tmp_path, name):
    members, _ = write_run(tmp_path, OTHERS[name])
    settings = json.loads((tmp_path / "fold_1" / "config.json").read_text())
    assert (settings["architectures"], settings["model_type"]) == (["SpeechClassifier"], "serjax_wav2vec2")
    assert settings["id2label"] == {"0": "angry", "1": "happy", "2": "sad"}
    assert load_encoder(str(tmp_path / "fold_1")).encoder.config == members[1].speech_encoder.config


def test_frozen_encoder_is_in_every_fold_and_on_the_disk_once(tmp_path):
    write_run(tmp_path, HEADS["frozen"])
    one, two = (tmp_path / f"fold_{fold}" / ENCODER_SHARD for fold in (1, 2))
    assert os.path.samefile(one, two)
    keys = read_tensors(tmp_path / "fold_2").keys()
    assert {key.split(".")[0] for key in keys} == {"wav2vec2", "projector", "classifier"}


def mine(member):
    """Return a model's logits of one clip, which it normalises itself."""
    inputs = Inputs(WAVE[None], np.array([len(WAVE)]))
    graphdef, state = nnx.split(member)
    return np.asarray(logits_of(graphdef, state, nnx.State({}), inputs, None, "float32"))[0]


@pytest.mark.torch
class TestInTransformers:
    """The auto classes of transformers load what a fold is, or nothing."""

    @pytest.fixture
    def transformers(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import transformers
        return transformers

    @pytest.mark.parametrize("name", HEADS)
    def test_logits_are_equal(self, tmp_path, transformers, name):
        import torch

        members, _ = write_run(tmp_path, HEADS[name])
        auto = transformers.AutoModelForAudioClassification
        model, told = auto.from_pretrained(tmp_path / "fold_2", output_loading_info=True)
        # Made at random is nothing but the embedding of masked frames, which evaluation does not use.
        assert set(told["missing_keys"]) <= {"wav2vec2.masked_spec_embed"}
        assert not told["unexpected_keys"]
        extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "fold_2")
        with torch.no_grad():
            values = extractor(WAVE, sampling_rate=16_000, return_tensors="pt")
            logits = model.eval()(**values).logits[0].numpy()
        np.testing.assert_allclose(mine(members[2]), logits, atol=1e-4)
        assert list(model.config.id2label.values()) == list(LABELS)

    @pytest.mark.parametrize("name", OTHERS)
    def test_other_heads_are_refused(self, tmp_path, transformers, name):
        import torch

        members, _ = write_run(tmp_path, OTHERS[name])
        with pytest.raises(ValueError, match="serjax_wav2vec2"):
            transformers.AutoModelForAudioClassification.from_pretrained(tmp_path / "fold_1")
        encoder = transformers.Wav2Vec2Model.from_pretrained(tmp_path / "fold_1").eval()
        normal = (WAVE - WAVE.mean()) / np.sqrt(WAVE.var() + 1e-7)
        with torch.no_grad():
            states = encoder(torch.tensor(normal)[None]).last_hidden_state.numpy()
        found, _ = members[1].features(WAVE[None], np.array([len(WAVE)]))
        np.testing.assert_allclose(np.asarray(found)[:, -1], states, atol=1e-4)
