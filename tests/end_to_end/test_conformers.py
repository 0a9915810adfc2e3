"""w2v-BERT 2.0 and wav2vec2-conformer in what takes an encoder: runs answer, train, resume, and go to transformers."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from noise import noisy
from saved_runs import FROZEN, SPEECH, write_run

import serjax
from serjax.checkpoints.formats.tensors import read_tensors
from serjax.checkpoints.huggingface import load_encoder, save_pretrained
from serjax.checkpoints.preprocessor import default_preprocessor
from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.inference.ensemble import Ensemble
from serjax.inference.export.program import program
from serjax.inference.export.transformers_folder import write_transformers
from serjax.inference.load import read_models
from serjax.inference.scores import Scoring
from serjax.models.base import EncoderLayout
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import preset
from serjax.models.speech import Speech
from serjax.runs.finetune import train
from serjax.runs.setup import make_plan
from serjax.training.config import TrainConfig

SHARED = Path(__file__).parents[2] / "../shared/data/emodb4/train"
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_depthwise_kernel_size": 3,
}
WAVES = {"conv_dim": (8, 8, 8), "conv_kernel": (20, 15, 4), "num_conv_pos_embeddings": 4}
ENCODERS = {
    "wav2vec2-bert": replace(preset("wav2vec2-bert", "tiny"), **SMALL),
    "wav2vec2-conformer": replace(
        preset("wav2vec2-conformer", "tiny"), **SMALL, **WAVES, position_embeddings_type="rotary"
    ),
}
families = pytest.mark.parametrize("family", ENCODERS)
pytestmark = pytest.mark.slow


def layout(family):
    return EncoderLayout(ENCODERS[family], normalize=family == "wav2vec2-conformer")


def write_checkpoint(family, folder):
    """Write an encoder whose running statistics are no 0 and 1, as others would publish it."""
    encoder = noisy(lambda rngs: build_encoder(ENCODERS[family], rngs=rngs))
    save_pretrained(encoder, folder, preprocessor=default_preprocessor(ENCODERS[family]))
    return str(folder)


@families
@pytest.mark.parametrize("model", [FROZEN, replace(SPEECH, weighted_layers=True)], ids=["frozen", "a fold"])
def test_a_run_answers_alone_and_in_a_batch(tmp_path, family, model):
    rng = np.random.default_rng(0)
    waves = [rng.normal(0, 0.1, length).astype(np.float32) for length in (8000, 5000, 600)]
    members, _ = write_run(tmp_path / "run", replace(model, family=family), layout=layout(family))
    ensemble = Ensemble(read_models(tmp_path / "run"))
    together = ensemble.logits(waves)
    for row, wave in enumerate(waves):
        alone = ensemble.logits([wave])[0]
        np.testing.assert_allclose(together[row], alone, atol=1e-4)
        states, frames = members[1].features(jnp.asarray(wave)[None], jnp.array([len(wave)]))
        np.testing.assert_allclose(members[1].head(states, frames)[0], alone[0], atol=1e-4)


@families
def test_a_fold_is_exported_as_their_classifier_and_read_back(tmp_path, family):
    members, _ = write_run(tmp_path / "run", replace(SPEECH, family=family), layout=layout(family))
    (tmp_path / "out").mkdir()
    _, sentence = write_transformers(tmp_path / "run", tmp_path / "out", 2)
    kind = {"wav2vec2-bert": "Bert", "wav2vec2-conformer": "Conformer"}[family]
    assert sentence.startswith(f"Wav2Vec2{kind}ForSequenceClassification.from_pretrained reads it")
    again = load_encoder(str(tmp_path / "out")).encoder
    for mine, other in zip(
        *(jax.tree.leaves(nnx.state(one)) for one in (again, members[2].speech_encoder)), strict=True
    ):
        np.testing.assert_array_equal(mine, other)


@families
def test_an_exported_program_takes_any_length(tmp_path, family):
    write_run(tmp_path / "run", replace(SPEECH, family=family), layout=layout(family))
    made = program(read_models(tmp_path / "run"), Scoring("softmax", np.array([0.5, 0.5])), "run")
    assert made.dynamic
    shapes = jax.eval_shape(made.call, made.weights, *made.inputs().values())
    assert [one.shape[1:] for one in shapes.values()] == [(2, 3), (3,)]


@families
def test_a_run_starts_from_weights_and_running_statistics(tmp_path, family):
    source = write_checkpoint(family, tmp_path / "published")
    plan = make_plan(Experiment("x", data=DataConfig(max_seconds=0.5), model=Speech(checkpoint=source)))
    expected = nnx.to_flat_state(nnx.state(load_encoder(source).encoder))
    assert {"speech_encoder." + ".".join(map(str, path)) for path, _ in expected} == set(plan.given)
    assert plan.model.encoder.normalize == (family == "wav2vec2-conformer")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings in ../shared/data are not here")
@families
def test_real_recordings_from_training_to_answers(tmp_path, family, stop_after_an_epoch):
    for label in ("anger", "sad"):
        (tmp_path / "corpus" / label).mkdir(parents=True)
        for speaker in ("03", "08", "09", "11"):
            for path in sorted((SHARED / label).glob(f"{speaker}*"))[:2]:
                (tmp_path / "corpus" / label / path.name).symlink_to(path.resolve())
    source = write_checkpoint(family, tmp_path / "published")
    data = DataConfig(root=str(tmp_path / "corpus"), max_seconds=1.0, speaker_pattern=r"(?P<speaker>\d\d)[ab]\d\d")
    model = Speech(checkpoint=source, pooling="mean", head="linear")
    whole = Experiment(
        name="whole",
        data=data,
        folds=FoldsConfig(count=2),
        model=model,
        train=TrainConfig(epochs=2, batch_size=4),
        out=str(tmp_path),
    )
    train(whole, "x")
    broken = replace(whole, name="broken")
    stop_after_an_epoch(train, broken, "x")
    train(broken, "x")
    published, kind = read_tensors(Path(source)), ENCODERS[family].model_type.replace("-", "_")
    one, other = (read_tensors(run.run_dir / "fold_1") for run in (whole, broken))
    for key, tensor in one.items():
        np.testing.assert_array_equal(tensor, other[key])
        own = key.removeprefix(f"{kind}.")
        if "running_" in key or "inv_freq" in key or "pos_conv_embed" in key:
            np.testing.assert_array_equal(tensor, published[own])
        elif own.endswith(("linear_q.weight", "batch_norm.weight", "ffn2.output_dense.bias")):
            assert not np.array_equal(tensor, published[own]), key
    clip = next((tmp_path / "corpus" / "sad").iterdir())
    answer = serjax.load(str(whole.run_dir))(str(clip))
    assert {one["label"] for one in answer} == {"anger", "sad"}
    (tmp_path / "out").mkdir()
    write_transformers(whole.run_dir, tmp_path / "out", 1)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == family
    answers = serjax.load(str(tmp_path / "out"))(str(clip))
    assert {one["label"] for one in answers} == {"anger", "sad"}
    frozen = replace(whole, name="frozen", model=replace(model, freeze="encoder"))
    train(frozen, "x")
    assert serjax.load(str(frozen.run_dir))(str(clip))
