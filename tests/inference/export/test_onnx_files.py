"""ONNX files: logits of the ensemble in ONNX Runtime, one clip in audonnx's graph, 8 bits, weights beside the file."""

import json
from dataclasses import replace

import numpy as np
import pytest
from exported_clips import clips
from onnx_runs import session
from saved_runs import FROZEN, LABELS, SPEECH, layout_with, write_run

from serjax.inference.ensemble import Ensemble
from serjax.inference.export import onnx_files
from serjax.inference.export.onnx_files import write_onnx
from serjax.inference.export.program import program
from serjax.inference.load import read_models
from serjax.models.spectrogram import Functionals, Spectrogram
from serjax.runtime.errors import UserError

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
pytestmark = pytest.mark.onnx
PRE_LN = {"model_type": "hubert", "feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
CASES = {
    "wav2vec2": (SPEECH, {}),
    "frozen": (replace(FROZEN, pooling="attentive", head="layernorm_gelu", weighted_layers=True), {}),
    "hubert_large": (replace(SPEECH, pooling="stat", head="layernorm_relu"), PRE_LN),
    "other_activations": (replace(SPEECH, head="relu"), {"hidden_act": "gelu_new", "feat_extract_activation": "silu"}),
    "cnn": (replace(SPEECH, freeze="cnn", pooling="tanh_attention", head="projector"), {}),
    "layers": (replace(SPEECH, freeze="layers", frozen_layers=1), {"num_hidden_layers": 2}),
    "wavlm": (FROZEN, {"model_type": "wavlm", "num_buckets": 8, "max_bucket_distance": 12}),
    "wavlm_folds": (SPEECH, {"model_type": "wavlm"}),
    "audio_cnn": (Spectrogram(family="audio_cnn", pad_mode="repeat", target_dbfs=-20), {}),
    "resnet": (Spectrogram(family="audio_resnet18"), {}),
    "efficientnet": (Spectrogram(family="efficientnet"), {}),
}
SLOW = {"resnet", "efficientnet"}


def made_of(folder, model=SPEECH, **options):
    write_run(folder, model, **options)
    models = read_models(folder)
    ensemble = Ensemble(models)
    return program(models, ensemble.scoring, "little"), ensemble


@pytest.mark.parametrize("name", [pytest.param(one, marks=pytest.mark.slow) if one in SLOW else one for one in CASES])
def test_onnx_runtime_computes_the_ensembles_logits_at_three_lengths(tmp_path, name):
    model, changes = CASES[name]
    made, ensemble = made_of(tmp_path / "run", model, layout=layout_with(**changes))
    write_onnx(made, tmp_path)
    running = session(str(tmp_path / "model.onnx"))
    for lengths in ((3200,), (8000, 2500, 6100), (5000, 5000)):
        wave, true, logits = clips(made, ensemble, 0, *lengths)
        found, scores = running.run(["logits", "scores"], {"wave": wave, "lengths": true})
        largest = max(1, float(np.abs(logits).max()))
        np.testing.assert_allclose(found, logits, atol=1e-4 * (largest if isinstance(model, Spectrogram) else 1))
        np.testing.assert_allclose(scores, ensemble.scoring.scores(logits), atol=1e-4)


@pytest.mark.parametrize("head", ["linear", "projector"])
def test_a_published_classifier(tmp_path, head):
    write_run(tmp_path / "run", replace(SPEECH, head=head, weighted_layers=True), folds=(1,))
    models = read_models(tmp_path / "run" / "fold_1")
    ensemble = Ensemble(models)
    made = program(models, ensemble.scoring, "published")
    write_onnx(made, tmp_path)
    wave, true, logits = clips(made, ensemble, 0, 8000, 2500)
    found = session(str(tmp_path / "model.onnx")).run(["logits"], {"wave": wave, "lengths": true})[0]
    np.testing.assert_allclose(found, logits, atol=1e-4)


def test_the_step_of_a_bilstm_that_has_no_operator_is_named(tmp_path):
    made, _ = made_of(tmp_path / "run", Functionals())
    with pytest.raises(UserError, match=r"the model computes `[a-z_]+.*no operator of ONNX; take --to stablehlo"):
        write_onnx(made, tmp_path)


def test_the_file_tells_its_labels_and_inputs(tmp_path):
    made, _ = made_of(tmp_path / "run")
    files = write_onnx(made, tmp_path)
    assert set(files) == {path.name for path in tmp_path.iterdir()} - {"run"}
    model = onnx.load(tmp_path / "model.onnx")
    properties = {one.key: json.loads(one.value) for one in model.metadata_props}
    assert properties == {"labels": list(LABELS), "outputs": "softmax", "sampling_rate": 16000}
    running = session(str(tmp_path / "model.onnx"))
    assert [(one.name, one.shape) for one in running.get_inputs()] == [
        ("wave", ["batch", "time"]),
        ("lengths", ["batch"]),
    ]
    assert {one.name: one.shape for one in running.get_outputs()} == {"logits": ["batch", 2, 3], "scores": ["batch", 3]}


def test_a_frozen_encoder_is_in_the_file_once(tmp_path):
    sizes = {}
    for name, folds in (("one", (1,)), ("two", (1, 2))):
        (tmp_path / name).mkdir()
        write_onnx(made_of(tmp_path / name / "run", FROZEN, folds=folds)[0], tmp_path / name)
        sizes[name] = (tmp_path / name / "model.onnx").stat().st_size
    assert sizes["two"] < 1.1 * sizes["one"]


@pytest.mark.parametrize("beside", [False, True], ids=["one_file", "weights_beside"])
def test_audonnx_gets_a_graph_of_one_clip_with_the_same_weights(tmp_path, monkeypatch, beside):
    if beside:
        monkeypatch.setattr(onnx_files, "LARGEST", 1000)
    made, ensemble = made_of(tmp_path / "run", replace(SPEECH, head="relu", head_size=64))
    files = write_onnx(made, tmp_path)
    assert ("model.onnx.data" in files) == beside
    wave, lengths, logits = clips(made, ensemble, 1, 7000)
    whole = session(str(tmp_path / "model.onnx")).run(["logits"], {"wave": wave, "lengths": lengths})[0]
    running = session(str(tmp_path / "audonnx.onnx"))
    assert [(one.name, one.shape) for one in running.get_inputs()] == [("signal", [1, "time"])]
    np.testing.assert_array_equal(running.run(["logits"], {"signal": wave})[0], whole)
    np.testing.assert_allclose(whole, logits, atol=1e-4)
    # Arrays above 1 KB are in the other file.
    held = onnx.load(tmp_path / "audonnx.onnx", load_external_data=False).graph.initializer
    assert any(one.external_data for one in held)
    assert all(len(one.raw_data) < onnx_files.SMALL for one in held)


def test_audonnx_reads_the_folder(tmp_path):
    audonnx = pytest.importorskip("audonnx", reason="needs audonnx")
    made, ensemble = made_of(tmp_path / "run")
    write_onnx(made, tmp_path)
    model = audonnx.load(str(tmp_path))
    wave, _, logits = clips(made, ensemble, 1, 7000)
    found = model(wave[0], 16_000)
    np.testing.assert_allclose(found["logits"], logits, atol=1e-4)
    np.testing.assert_allclose(found["scores"], ensemble.scoring.scores(logits), atol=1e-5)
    assert model.labels("scores") == list(LABELS)


def test_eight_bits_are_smaller_and_nearly_the_same(tmp_path):
    made, ensemble = made_of(tmp_path / "run", FROZEN, layout=layout_with(hidden_size=128, intermediate_size=256))
    write_onnx(made, tmp_path, int8=True)
    sizes = [(tmp_path / name).stat().st_size for name in ("model.onnx", "model.int8.onnx")]
    assert sizes[1] < 0.5 * sizes[0]
    wave, lengths, logits = clips(made, ensemble, 2, 8000, 4000)
    found = session(str(tmp_path / "model.int8.onnx")).run(["logits"], {"wave": wave, "lengths": lengths})[0]
    assert 0 < np.abs(found - logits).max() < 0.1
