"""Models of a run: written and read again, and folders whose files do not fit each other."""

import json
import os
import shutil
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from flax import nnx
from saved_runs import CUT, FROZEN, LABELS, SPEECH, write_run

from serjax.checkpoints.formats.tensors import read_tensors, write_tensors
from serjax.checkpoints.huggingface import ENCODER_SHARD
from serjax.checkpoints.run_models import FORMAT, fold_folder, load_run, read_run, save_models, write_model_json
from serjax.checkpoints.sequence_classification import from_transformers
from serjax.inference.ensemble import Ensemble
from serjax.models.functional import logits_of
from serjax.models.fusion.config import Fusion
from serjax.models.inputs import Inputs
from serjax.models.spectrogram import Functionals, Spectrogram
from serjax.models.video import Video
from serjax.runtime.errors import UserError
from serjax.video.config import VideoConfig

FACES = VideoConfig(face_features="features.npz")
MODELS = {
    "speech": SPEECH,
    "frozen CNN": CUT,
    "frozen encoder": FROZEN,
    "functionals": Functionals(),
    "video": Video(video=FACES),
    "fusion": Fusion(audio=Spectrogram(family="audio_cnn"), video=FACES, common=4),
}


def leaves(state):
    return {path: leaf[...] for path, leaf in nnx.to_flat_state(state) if isinstance(leaf, nnx.Param | nnx.BatchStat)}


@pytest.mark.parametrize("name", MODELS)
def test_models_come_back_as_they_were_saved(tmp_path, name):
    members, model = write_run(tmp_path, MODELS[name])
    found = load_run(tmp_path)
    assert (found.labels, found.folds) == (LABELS, (1, 2))
    assert (found.modalities, found.required, found.dtype) == (model.modalities, model.required, model.dtype)
    for row, member in enumerate(members.values()):
        own = nnx.merge_state(jax.tree.map(lambda leaf, row=row: leaf[row], found.params), found.shared)
        expected = leaves(nnx.state(member))
        got = leaves(own)
        assert got.keys() == expected.keys()
        for path, leaf in expected.items():
            if path[-1] != "masked_spec_embed":  # not written where frames are never masked
                np.testing.assert_array_equal(got[path], leaf, err_msg=str(path))


def test_loaded_model_answers_as_the_saved_one(tmp_path):
    members, model = write_run(tmp_path, CUT)
    found = load_run(tmp_path)
    inputs = Inputs(np.random.default_rng(0).normal(size=(1, 4_000)).astype(np.float32), np.array([4_000]))
    answer = jax.jit(partial(logits_of, inputs=inputs, key=None, dtype="float32"), static_argnums=0)
    for row, member in enumerate(members.values()):
        params = jax.tree.map(lambda leaf, row=row: leaf[row], found.params)
        saved = nnx.split(member, lambda path, _: model.trainable(path), ...)
        logits = answer(found.graphdef, params, found.shared)
        np.testing.assert_allclose(logits, answer(saved[0], saved[1], saved[2]), atol=1e-5)
        assert np.isfinite(logits).all()


def test_frozen_encoder_is_not_trained_and_shared(tmp_path):
    write_run(tmp_path, FROZEN)
    paths = {path[0] for path, _ in nnx.to_flat_state(load_run(tmp_path).params)}
    assert paths == {"head"}


def test_run_whose_encoder_lies_beside_its_folds_is_read_as_before(tmp_path):
    write_run(tmp_path, FROZEN)
    expected = load_run(tmp_path)
    write_tensors(tmp_path / "trunk" / "model.safetensors", encoder_tensors(tmp_path / "fold_1"))
    for fold in (1, 2):
        folder = tmp_path / f"fold_{fold}"
        head = from_transformers(SPEECH, read_tensors(folder))
        shutil.rmtree(folder)
        write_tensors(folder / "model.safetensors", {key: v for key, v in head.items() if key.startswith("head.")})
    found = load_run(tmp_path)
    for one, other in ((found.params, expected.params), (found.shared, expected.shared)):
        jax.tree.map(np.testing.assert_array_equal, one, other)


def encoder_tensors(folder):
    prefix = "wav2vec2."
    return {k.removeprefix(prefix): value for k, value in read_tensors(folder).items() if k.startswith(prefix)}


@pytest.mark.parametrize(("name", "kind"), [("functionals", "serjax_bilstm"), ("fusion", "serjax_fusion")])
def test_network_says_in_its_config_that_it_is_none_of_transformers(tmp_path, name, kind):
    members, _ = write_run(tmp_path, MODELS[name])
    settings = json.loads((tmp_path / "fold_1" / "config.json").read_text())
    assert (settings["model_type"], settings["architectures"]) == (kind, [type(members[1]).__name__])


def test_what_folds_have_in_common_is_not_stacked(tmp_path):
    write_run(tmp_path, CUT)
    found = load_run(tmp_path)
    assert {path[1] for path, _ in nnx.to_flat_state(found.shared)} == {"feature_extractor"}


def test_folds_with_frozen_parts_of_their_own_are_stacked_whole(tmp_path):
    members, _ = write_run(tmp_path, CUT)
    other = tmp_path / "other"
    write_run(other, CUT, folds=(3, 2))
    shutil.rmtree(tmp_path / "fold_2")
    shutil.copytree(other / "fold_2", tmp_path / "fold_2")
    found = load_run(tmp_path)
    assert not nnx.to_flat_state(found.shared)
    kernels = [leaf for path, leaf in leaves(found.params).items() if "feature_extractor" in path]
    assert any(not np.array_equal(leaf[0], leaf[1]) for leaf in kernels)
    assert members


@pytest.mark.parametrize("model", [SPEECH, CUT, FROZEN], ids=["speech", "frozen CNN", "frozen encoder"])
def test_models_of_all_seeds_answer_together(tmp_path, model):
    members, config = write_run(tmp_path, model)
    other = {fold: nnx.clone(one) for fold, one in members.items()}
    for one in other.values():
        bias = one.head.classifier.out_proj.bias
        bias.set_value(bias[...] + np.array([3.0, 0.0, -3.0]))
    settings = replace(read_run(tmp_path), seeds=2)
    save_models(tmp_path, settings, members, other)
    assert {path.name for path in (tmp_path / "seed_1").iterdir()} == {"fold_1", "fold_2"}
    if config.frozen_encoder:
        assert os.path.samefile(tmp_path / "fold_1" / ENCODER_SHARD, tmp_path / "seed_1" / "fold_2" / ENCODER_SHARD)
    found = load_run(tmp_path)
    assert found.folds == (1, 2, 1, 2)
    wave = np.random.default_rng(0).normal(size=4_000).astype(np.float32)
    own = [Ensemble(load_one(tmp_path, settings, seed)) for seed in (0, 1)]
    both = Ensemble(found)
    sample = both.read((wave, 16_000))
    expected = np.mean([one.probabilities([sample]) for one in own], 0)
    assert abs(own[0].probabilities([sample]) - own[1].probabilities([sample])).max() > 0.1
    np.testing.assert_allclose(both.probabilities([sample]), expected, atol=1e-5)
    # A weight is a fold's, in all seeds.
    alone = [Ensemble(load_one(tmp_path, settings, seed), [1, 0]).probabilities([sample]) for seed in (0, 1)]
    first = np.mean(alone, 0)
    np.testing.assert_allclose(Ensemble(found, [1, 0]).probabilities([sample]), first, atol=1e-5)
    with pytest.raises(UserError, match="expected 2 numbers, one for each of the folds 1, 2,"):
        Ensemble(found, [1, 0, 1, 0])
    shutil.rmtree(tmp_path / "seed_1" / "fold_2")
    with pytest.raises(UserError, match="seed_1/fold_2: this fold of the run is missing"):
        load_run(tmp_path)


def load_one(folder, settings, seed):
    """Return the models of one seed."""
    alone = folder / f"alone_{seed}"
    if not alone.is_dir():
        alone.mkdir()
        (alone / "experiment.json").write_text("{}")
        write_model_json(alone, replace(settings, seeds=1))
        for fold in settings.folds:
            shutil.copytree(fold_folder(folder, fold, seed), alone / f"fold_{fold}")
    return load_run(alone)


def test_model_json_says_all_settings(tmp_path):
    _, model = write_run(tmp_path, SPEECH, max_seconds=0.7, eval_crop="centre")
    run = read_run(tmp_path)
    assert run.model == model
    assert (run.max_seconds, run.eval_crop, run.format) == (0.7, "centre", FORMAT)
    found = load_run(tmp_path)
    assert (found.max_seconds, found.crop, found.min_samples) == (0.7, "centre", model.min_samples)


def edit(**changes):
    def change(folder):
        path = folder / "model.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def edit_model(**changes):
    def change(folder):
        path = folder / "model.json"
        content = json.loads(path.read_text())
        content["model"] |= changes
        path.write_text(json.dumps(content))

    return change


def relabel(folder):
    path = folder / "fold_2" / "config.json"
    path.write_text(path.read_text().replace('"happy"', '"glad"'))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "experiment.json").unlink(), r"it holds no experiment\.json \(a run's\) and no config\.json"),
        (lambda f: (f / "model.json").unlink(), "the run is not finished; run its command again"),
        (lambda f: shutil.rmtree(f / "fold_2"), "fold_2: this fold of the run is missing; copy it here too"),
        (lambda f: (f / "fold_1" / "model.safetensors").write_bytes(b""), r"fold_1"),
        (relabel, r"fold_2/config\.json: its labels are \['angry', 'glad', 'sad'\], but the run's are"),
        (edit(labels=[]), r"model\.json: it names no labels or no folds; train the run again"),
        (edit(folds=[]), r"model\.json: it names no labels or no folds"),
        (edit(format=1), "it has format 1, but this version of serjax reads format 2; .* or use serjax 0.1.0"),
        (edit(format=99), "it has format 99, .* or use a newer serjax"),
        (edit(max_seconds=-1), r"model\.json: max_seconds does not fit this version of serjax"),
        (edit_model(family="none"), r"model\.json: model does not fit this version of serjax"),
        (edit_model(head="layernorm_gelu"), r"(?s)do not fit the model.*head\."),
    ],
)
def test_damaged_run_is_refused(tmp_path, change, message):
    write_run(tmp_path)
    change(tmp_path)
    with pytest.raises(UserError, match=message):
        load_run(tmp_path)


def test_model_json_of_before_versions_is_refused(tmp_path):
    write_run(tmp_path)
    path = tmp_path / "model.json"
    content = json.loads(path.read_text())
    del content["format"]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="it has format 1"):
        read_run(tmp_path)
