"""Exports into folders: whole or not at all, and a sentence for what cannot be."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from saved_runs import SPEECH, write_run

from serjax.checkpoints.calibration import write_calibration
from serjax.evaluation.calibration_report import Calibration, MemberCalibration
from serjax.inference.ensemble import Ensemble
from serjax.inference.export import write
from serjax.inference.export.write import Options, export
from serjax.inference.load import read_models
from serjax.runtime.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "little"
    write_run(folder, replace(SPEECH, dtype="bfloat16"))
    return folder


def test_a_folder_has_its_files_and_a_description(run, tmp_path, caplog):
    caplog.set_level("INFO", "serjax")
    (tmp_path / "out").mkdir()
    files = export(str(run), "stablehlo", tmp_path / "out")
    assert set(files) == {path.name for path in (tmp_path / "out").iterdir()}
    told = json.loads((tmp_path / "out" / "export.json").read_text())
    assert (told["kind"], told["source"], told["folds"]) == ("stablehlo", "little", [1, 2])
    assert told["files"].items() <= files.items()
    assert caplog.messages == [
        "little: 2 members, clips of any length; it was trained in bfloat16 and is exported in float32."
    ]


def arrays(path):
    with np.load(path) as file:
        return dict(file)


def test_a_fold_alone_and_weights(run, tmp_path):
    export(str(run), "stablehlo", tmp_path / "one", Options(fold=2))
    told = json.loads((tmp_path / "one" / "export.json").read_text())
    assert (told["folds"], told["weights"]) == ([2], [1.0])
    one = sum(array.size for array in arrays(tmp_path / "one" / "weights.npz").values())
    export(str(run), "stablehlo", tmp_path / "two", Options(weights=(1.0, 3.0)))
    assert json.loads((tmp_path / "two" / "export.json").read_text())["weights"] == [0.25, 0.75]
    two = sum(array.size for array in arrays(tmp_path / "two" / "weights.npz").values())
    assert two == 2 * one


def test_scores_are_calibrated_where_the_run_is(tmp_path):
    write_run(tmp_path / "run")
    members = tuple(MemberCalibration(fold, 0, fold / 4, (0.1, 0.2)) for fold in (1, 2))
    write_calibration(tmp_path / "run", Calibration(members))
    wave = np.random.default_rng(0).normal(0, 0.1, (1, 8000)).astype(np.float32)
    for fold, temperatures in ((None, [0.25, 0.5]), (2, [0.5])):
        out = tmp_path / f"out_{fold}"
        export(str(tmp_path / "run"), "stablehlo", out, Options(fold=fold))
        assert json.loads((out / "export.json").read_text())["temperatures"] == temperatures
        program = jax.export.deserialize(bytearray((out / "cpu.stablehlo").read_bytes()))
        found = program.call(arrays(out / "weights.npz"), wave, np.array([8000], np.int32))
        models = read_models(tmp_path / "run")
        scoring = Ensemble(models, [1, 1] if fold is None else [0, 1]).scoring
        logits = Ensemble(models).logits([wave[0]])
        np.testing.assert_allclose(found["scores"], scoring.scores(logits), atol=1e-5)


def test_a_classifier_of_transformers_is_written_and_read_back(run, tmp_path):
    export(str(run), "hf", tmp_path / "hf", Options(fold=1))
    told = json.loads((tmp_path / "hf" / "export.json").read_text())
    assert told["about"] == "Wav2Vec2ForSequenceClassification.from_pretrained reads it: fold 1 of little."
    export(str(tmp_path / "hf"), "stablehlo", tmp_path / "again")
    assert json.loads((tmp_path / "again" / "export.json").read_text())["window_seconds"] == 30.0
    with pytest.raises(UserError, match="hf: it is a checkpoint of transformers already; give a run"):
        export(str(tmp_path / "hf"), "hf", tmp_path / "third")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("stablehlo", Options(fold=7), "--fold 7: .*little has the folds 1, 2; give one of them"),
        ("hf", Options(fold=7), "--fold 7: .*little has the folds 1, 2; give one of them"),
        ("stablehlo", Options(int8=True), "--int8 rounds an ONNX model, but --to stablehlo writes none"),
        ("hf", Options(weights=(1.0, 1.0)), "--weights weighs folds, but --to hf writes one of them"),
        ("stablehlo", Options(weights=(1.0,)), "weights: got .*expected 2 numbers"),
    ],
)
def test_options_that_do_not_fit_get_a_sentence(run, tmp_path, kind, options, message):
    with pytest.raises(UserError, match=message):
        export(str(run), kind, tmp_path / "out", options)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_model_gets_a_sentence(tmp_path):
    (tmp_path / "nothing").mkdir()
    for kind in ("onnx", "stablehlo", "hf"):
        with pytest.raises(UserError, match=r"nothing: it holds no experiment\.json"):
            export(str(tmp_path / "nothing"), kind, tmp_path / "out")
        with pytest.raises(UserError, match="missing"):
            export(str(tmp_path / "missing"), kind, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["nothing"]


def test_files_that_are_there_stay(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match=r"--out .*out: it is not an empty folder; give a new one"):
        export(str(run), "stablehlo", tmp_path / "out")
    with pytest.raises(UserError, match="it is not an empty folder"):
        export(str(run), "stablehlo", tmp_path / "out" / "mine.txt")
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_an_export_that_breaks_off_leaves_nothing(run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "write_stablehlo", full)
    with pytest.raises(UserError, match="the disk is full"):
        export(str(run), "stablehlo", tmp_path / "out")
    assert not list(tmp_path.iterdir())
