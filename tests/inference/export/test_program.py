"""Programs: what is exported of an ensemble, and what its description says."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from saved_runs import FROZEN, LABELS, SPEECH, write_run

from serjax.data.batching.lengths import bucket
from serjax.inference.ensemble import Ensemble
from serjax.inference.export.program import program
from serjax.inference.load import read_models
from serjax.models.spectrogram import Spectrogram
from serjax.runtime.errors import UserError


def of(folder, model=SPEECH, weights=None, **options):
    write_run(folder, model, **options)
    models = read_models(folder)
    return program(models, Ensemble(models, weights).scoring, "little"), Ensemble(models, weights)


@pytest.mark.parametrize("calibration", [(), [(3.0, (0.5,)), (0.5, (0.5,))]], ids=["raw", "calibrated"])
@pytest.mark.parametrize("weights", [None, (3.0, 1.0)])
def test_a_call_gives_the_logits_and_scores_of_the_ensemble(tmp_path, weights, calibration):
    made, ensemble = of(tmp_path, FROZEN, weights, calibration=calibration)
    assert (ensemble.scoring.temperature is not None) == bool(calibration)
    wave = np.random.default_rng(0).normal(size=(2, 8000)).astype(np.float32)
    wave[1, 5000:] = 0
    found = jax.jit(made.call)(made.weights, wave, np.array([8000, 5000], np.int32))
    logits = ensemble.logits([wave[0], wave[1, :5000]])
    np.testing.assert_allclose(found["logits"], logits, atol=1e-5)
    np.testing.assert_allclose(found["scores"], ensemble.scoring.scores(logits), atol=1e-6)


def test_encoders_take_clips_of_any_length_and_spectrograms_one(tmp_path):
    made, _ = of(tmp_path / "a", max_seconds=2.0)
    assert made.dynamic
    assert str(made.inputs()["wave"].shape) == "(batch, time)"
    assert made.lengths() == [16_000, bucket(16_001), bucket(20_161), bucket(25_281), bucket(31_681)]
    assert made.lengths()[-1] >= 32_000
    made, _ = of(tmp_path / "b", Spectrogram(family="audio_cnn"), max_seconds=2.0)
    assert not made.dynamic
    assert made.inputs()["wave"].shape[1] == 32_000
    assert made.lengths() == [32_000]


def test_the_description_is_json_that_tells_how_to_call_it(tmp_path):
    made, _ = of(tmp_path, replace(SPEECH, dtype="bfloat16"), (3.0, 1.0), highpass=20.0, eval_crop="centre")
    told = json.loads(json.dumps(made.describe("onnx", {"model.onnx": "it"})))
    assert told["labels"] == list(LABELS)
    assert (told["folds"], told["weights"]) == ([1, 2], [0.75, 0.25])
    assert (told["sampling_rate"], told["window_seconds"], told["crop"]) == (16_000, 0.5, "centre")
    assert told["before"] == {"highpass_hz": 20.0, "vad": "none"}
    assert (told["outputs"], told["dtype"], told["temperatures"]) == ("softmax", "float32", None)
    assert told["min_samples"] == made.models.min_samples
    assert {leaf.dtype for leaf in jax.tree.leaves(made.weights)} == {np.dtype("float32")}


def test_models_of_video_are_refused(tmp_path):
    write_run(tmp_path)
    models = read_models(tmp_path)._replace(modalities=frozenset({"sound", "video"}), video=object())
    with pytest.raises(UserError, match="little: it takes video, and models of sound alone are exported"):
        program(models, Ensemble(models).scoring, "little")
