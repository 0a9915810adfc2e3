"""emotion2vec in what takes an encoder: runs of it are exported to a directory, and read back from it."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx
from saved_runs import LABELS, SPEECH, write_run

from serjax.checkpoints.huggingface import load_encoder
from serjax.checkpoints.published import load_published
from serjax.inference.ensemble import Ensemble
from serjax.inference.export.transformers_folder import write_transformers
from serjax.inference.load import read_models
from serjax.models.base import EncoderLayout
from serjax.models.encoders.config import preset
from serjax.models.inputs import Inputs
from serjax.models.speech import Speech

ENCODER = replace(preset("emotion2vec", "tiny"), hidden_size=16, conv_dim=(8, 8, 8), intermediate_size=24)
LAYOUT = EncoderLayout(ENCODER, normalize=True)


@pytest.mark.parametrize("head", ["linear", "frame_relu"])
def test_a_run_goes_to_a_directory_and_back(tmp_path, head):
    members, _ = write_run(tmp_path / "run", replace(SPEECH, family="emotion2vec", head=head), layout=LAYOUT)
    assert read_models(tmp_path / "run").labels == LABELS
    (tmp_path / "out").mkdir()
    _, sentence = write_transformers(tmp_path / "run", tmp_path / "out", 2)
    assert sentence.startswith("transformers has no emotion2vec, so the directory is for serjax: serjax.load")
    loaded = load_encoder(str(tmp_path / "out"))
    assert loaded.preprocessor.normalize
    for mine, other in zip(
        *(jax.tree.leaves(nnx.state(one)) for one in (loaded.encoder, members[2].speech_encoder)), strict=True
    ):
        np.testing.assert_array_equal(mine, other)
    if head == "linear":
        models = load_published(str(tmp_path / "out"))
        assert models.labels == LABELS
        np.testing.assert_array_equal(
            models.params["projector"]["kernel"][...][0], members[2].head.classifier.out_proj.kernel[...]
        )


@pytest.mark.parametrize("freeze", ["encoder", "cnn"])
def test_a_sum_of_layers_is_each_folds_own_and_comes_back(tmp_path, freeze):
    speech = replace(SPEECH, family="emotion2vec", weighted_layers=True, freeze=freeze)
    members, _ = write_run(tmp_path / "run", speech, layout=LAYOUT)
    models = read_models(tmp_path / "run")
    shares = models.params["head"]["layer_weights"][...]
    assert shares.shape == (2, ENCODER.num_hidden_layers + 1)
    wave = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    answers = Ensemble(models).logits([wave])[0]
    inputs = Inputs(wave[None], np.array([4000]))
    for fold, answer in zip(members, answers, strict=True):
        head, whole = members[fold].head, nnx.jit(lambda model: model(inputs))(members[fold])
        np.testing.assert_allclose(answer, whole[0], atol=1e-5)
        np.testing.assert_array_equal(shares[fold - 1], head.layer_weights[...])
        # As a training on stored states hears it, which keeps one mean a layer of a frozen encoder.
        states, frames = nnx.jit(lambda model: model.shared_states(*inputs.sound))(members[fold])
        assert states.shape[1] == ENCODER.num_hidden_layers + 1
        mean = states.mean(axis=2, keepdims=True)
        np.testing.assert_allclose(head(mean, np.ones_like(frames))[0], answer, atol=1e-5)
    (tmp_path / "out").mkdir()
    write_transformers(tmp_path / "run", tmp_path / "out", 2)
    alone = Ensemble(load_published(str(tmp_path / "out")))
    np.testing.assert_allclose(alone.logits([wave])[0][0], answers[1], atol=1e-5)


@pytest.mark.parametrize("freeze", ["nothing", "cnn", "layers", "encoder"])
def test_what_is_frozen(freeze):
    model = Speech(family="emotion2vec", freeze=freeze, frozen_layers=1, layout=LAYOUT)
    paths = {
        "convolutions": ("speech_encoder", "feature_extractor", "conv_layers", 0, "conv", "kernel"),
        "tokens": ("speech_encoder", "encoder", "extra_tokens"),
        "ALiBi": ("speech_encoder", "encoder", "alibi_scale"),
        "norm": ("speech_encoder", "encoder", "layer_norm", "scale"),
        "layer 0": ("speech_encoder", "encoder", "layers", 0, "norm1", "scale"),
        "layer 1": ("speech_encoder", "encoder", "layers", 1, "norm1", "scale"),
        "head": ("head", "classifier", "kernel"),
    }
    trained = {"nothing": 7, "cnn": 6, "layers": 2, "encoder": 1}
    assert sum(map(model.trainable, paths.values())) == trained[freeze]
    assert model.trainable(paths["head"])
