"""The baselines of Odyssey 2024 answer as their authors' layout does."""

import json

import numpy as np
import pytest
import soundfile
from releases import EMOTIONS, ODYSSEY, WAVLM, describe, odyssey
from safetensors.numpy import load_file, save_file

import serjax
from serjax.checkpoints.huggingface import load_encoder
from serjax.predict import main
from serjax.runtime.errors import UserError

ATTRIBUTES = ("arousal", "dominance", "valence")


def named(*labels, **config):
    return {"num_classes": len(labels), "id2label": dict(enumerate(labels)), **config}


def test_the_command_line_answers_in_published_names(tmp_path, capsys):
    soundfile.write(tmp_path / "clip.wav", np.random.default_rng(0).normal(0, 0.1, 8_000), 16_000)
    assert main([str(odyssey(tmp_path / "model")), str(tmp_path / "clip.wav")]) == 0
    scores = {entry["label"]: entry["score"] for entry in json.loads(capsys.readouterr().out)["scores"]}
    assert scores.keys() == set(EMOTIONS)
    assert sum(scores.values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("labels", [ATTRIBUTES, ("Arousal",)])
def test_attributes_are_values(tmp_path, labels):
    model = serjax.load(odyssey(tmp_path, **named(*labels)))
    assert (model.labels, model.outputs) == (labels, "identity")


def test_its_encoder_alone_is_there_to_be_trained_on(tmp_path):
    loaded = load_encoder(str(odyssey(tmp_path)))
    weights = load_file(tmp_path / "model.safetensors")["ssl_model.encoder.layer_norm.weight"]
    np.testing.assert_array_equal(loaded.encoder.encoder.layer_norm.scale[...], weights)
    assert "also holds pool_model, ser_model; only the encoder was loaded" in loaded.notes[0]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"ssl_type": "someone/an-encoder"}, "ssl_type is someone/an-encoder, an encoder whose layout serjax does not"),
        ({"mean": None}, r"config\.json: mean does not fit"),
        ({"std": 0}, r"config\.json: std does not fit"),
        ({"sampling_rate": 8000}, r"config\.json: sampling_rate does not fit"),
        ({"hidden_size": 32}, "hidden_size is 32, but that of microsoft/wavlm-large is 16"),
        ({"num_classes": 3}, r"id2label names the outputs \[0, 1, 2, 3, 4, 5, 6, 7\], but the head has 3"),
        ({"problem_type": "ranking"}, "problem_type is 'ranking'"),
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path, config, message):
    odyssey(tmp_path, **config)
    if "ssl_type" in config:
        (tmp_path / "encoder_config.json").unlink()
    with pytest.raises(UserError, match=message):
        serjax.load(tmp_path)


def test_files_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(UserError, match=r"(?s)1 missing, 0 left over.*missing: pool_model\.attention"):
        serjax.load(odyssey(tmp_path, drop=("pool_model.attention",)))
    with pytest.raises(UserError, match=r"--layer-sum 5: .* has no weighted sum of layers"):
        serjax.load(odyssey(tmp_path), layer_sum="5")
    tensors = load_file(tmp_path / "model.safetensors")
    save_file(tensors | {"ser_model.out.0.bias": np.zeros(3, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"misfit: ser_model\.out\.0\.bias is float32 \(3,\)"):
        serjax.load(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match="it holds no weights"):
        serjax.load(tmp_path)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")
@pytest.mark.parametrize("layers", [1, 2])
def test_answers_equal_a_plain_writing_in_pytorch(tmp_path, layers):
    import torch
    from release_modules import Odyssey, compare, shaken

    settings = ODYSSEY | named(*ATTRIBUTES, classifier_hidden_layers=layers)
    model = shaken(Odyssey(WAVLM, settings))
    describe(tmp_path, WAVLM, settings)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    compare(tmp_path, model)
    (tmp_path / "config.json").write_text(json.dumps(settings | {"problem_type": "single_label_classification"}))
    compare(tmp_path, model)
