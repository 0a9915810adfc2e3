"""A saved ensemble is scored on labelled clips, by `serjax.evaluate` as by hand."""

import json

import numpy as np
import pytest
import soundfile
from flax import nnx

import serjax
from serjax.checkpoints.run_models import RunModels, save_models
from serjax.data.config import DataConfig
from serjax.data.folds.fold import Fold, save_folds
from serjax.data.known_clips import write_adapted
from serjax.data.store.clips import open_store
from serjax.data.utterance import Utterance
from serjax.evaluate import main
from serjax.evaluation.calibration import quality
from serjax.evaluation.out_of_fold import read_oof_csv, write_oof_csv
from serjax.models.spectrogram import Functionals
from serjax.runs.evaluate import evaluate
from serjax.runtime.errors import UserError


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Noise of two classes by three speakers."""
    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for label in ("high", "low"):
        (root / label).mkdir()
        for number in range(6):
            wave = 0.1 * rng.normal(size=rng.integers(6000, 20000))
            soundfile.write(root / label / f"spk{number % 3}_{number}.wav", wave, 16000)
    return root


@pytest.fixture
def run(tmp_path):
    """A run folder of two folds, from random weights."""
    config = Functionals(seconds=1.0)
    models = RunModels(("low", "neutral", "high"), (1, 2), config, 1.0, "head", "none")
    save_models(tmp_path / "run", models, {fold: config.build(3, rngs=nnx.Rngs(fold)) for fold in (1, 2)})
    (tmp_path / "run" / "experiment.json").write_text("{}")
    (tmp_path / "run" / "report.json").write_text("{}")
    return tmp_path / "run"


def test_scores_are_those_of_the_ensemble_s_answers(run, clips, capsys):
    arguments = [str(run), "--data.root", str(clips), "--data.speaker-pattern", r"(?P<speaker>spk\d)"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    folder = run / "evaluation"
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "confusion.png",
        "reliability.png",
        "predictions.csv",
        "report.json",
    }
    answers = read_oof_csv(folder / "predictions.csv")
    found = serjax.load(run)([clips / f"{name}.wav" for name in answers.ids])
    for row, scores in zip(answers.probability, found, strict=True):
        given = {entry["label"]: entry["score"] for entry in scores}
        assert given == pytest.approx(dict(zip(answers.labels, row, strict=True)), abs=1e-6)
    report = json.loads((folder / "report.json").read_text())
    right = np.mean(answers.prediction == answers.label)
    assert report["scores"]["wa"]["score"] == pytest.approx(right)
    assert f"{100 * right:.1f}" in printed
    assert report["interval"]["resampled"] == "speakers"
    assert report["calibration"] == quality(answers.probability, answers.label)
    assert np.sum(report["confusion"]) == 12
    page = (folder / "README.md").read_text()
    assert f"# run on {clips.name}" in page
    assert "python -m serjax.evaluate" in page
    with pytest.raises(UserError, match="the folder is not empty; choose another --out, or --overwrite"):
        main(arguments)
    assert main([*arguments, "--overwrite", "--data.max-clips", "4"]) == 0
    assert len(read_oof_csv(folder / "predictions.csv").ids) == 4


def test_clips_that_are_not_kept_get_the_same_answers(run, clips, tmp_path):
    for name, more in (("kept", []), ("index", ["--data.no-keep-decoded"])):
        out, cache = tmp_path / name, tmp_path / f"{name} cache"
        assert main([str(run), "--data.root", str(clips), "--out", str(out), "--data.cache", str(cache), *more]) == 0
    kept, index = ((tmp_path / name / "predictions.csv").read_bytes() for name in ("kept", "index"))
    assert index == kept
    sizes = {
        name: sum(path.stat().st_size for path in (tmp_path / f"{name} cache").rglob("samples.npy"))
        for name in ("kept", "index")
    }
    assert sizes["index"] == 128 < sizes["kept"]


def test_clips_that_the_run_was_trained_on_are_told(run, clips, tmp_path):
    first = evaluate(run, DataConfig(root=str(clips)), out=tmp_path / "one")
    assert not any("trained on" in note for note in first["notes"])
    assert any("names seem to hold speakers; with --data.speaker-pattern" in note for note in first["notes"])
    write_oof_csv(run / "oof.csv", read_oof_csv(tmp_path / "one" / "predictions.csv"))
    again = evaluate(run, DataConfig(root=str(clips)), out=tmp_path / "two")
    assert any(note.startswith("12 of these clips have names of clips") for note in again["notes"])


def test_clips_are_known_by_their_samples_whatever_their_names(run, clips, tmp_path):
    utterances = [
        Utterance(f"{path.parent.name} {path.name}", path, path.parent.name) for path in sorted(clips.rglob("*.wav"))
    ]
    store = open_store(utterances, tmp_path / "store", skip_bad=False)
    fold = Fold(1, tuple(range(5)), (), tuple(range(5, 12)))
    save_folds(run / "folds.json", (fold,), utterances, kind="files", seed=0, hashes=store.hashes)
    found = evaluate(run, DataConfig(root=str(clips)), out=tmp_path / "one")
    assert any(note.startswith("5 of these clips hold samples that the run was trained on") for note in found["notes"])
    assert not any("adapted" in note for note in found["notes"])
    write_adapted(run, store.hashes[5:8])
    found = evaluate(run, DataConfig(root=str(clips)), out=tmp_path / "adapted")
    assert any(note.startswith("The run adapted its heads to 3 of these clips") for note in found["notes"])
    others = tmp_path / "others"
    for path in sorted(clips.rglob("*.wav")):
        (others / path.parent.name).mkdir(parents=True, exist_ok=True)
        wave = np.random.default_rng(len(path.name)).normal(0, 0.1, 7_000)
        soundfile.write(others / path.parent.name / path.name, wave, 16_000)
    write_oof_csv(run / "oof.csv", read_oof_csv(tmp_path / "one" / "predictions.csv"))
    found = evaluate(run, DataConfig(root=str(others)), out=tmp_path / "two")
    assert not any("trained on" in note for note in found["notes"])


def test_what_cannot_be_scored_gets_a_sentence(run, clips, tmp_path):
    names = tmp_path / "names.json"
    names.write_text('{"high": "joy", "low": "low"}')
    wrong = DataConfig(root=str(clips), label_map=str(names))
    with pytest.raises(UserError, match="the model has no class joy, only low, neutral, high; translate"):
        evaluate(run, wrong, out=tmp_path / "out")
    with pytest.raises(UserError, match=r"data\.max_seconds is given, but it is the run's own"):
        evaluate(run, DataConfig(root=str(clips), max_seconds=9.0), out=tmp_path / "out")
    bad = tmp_path / "bad"
    for label in ("high", "low"):
        (bad / label).mkdir(parents=True)
        for path in sorted((clips / label).iterdir())[:2]:
            (bad / label / path.name).write_bytes(path.read_bytes())
    (bad / "low" / "empty.wav").write_bytes(b"")
    with pytest.raises(UserError, match=r"empty\.wav"):
        evaluate(run, DataConfig(root=str(bad)), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    found = evaluate(run, DataConfig(root=str(bad), skip_bad=True), out=tmp_path / "out")
    assert found["interval"]["clips"] == 4
    assert "1 clips that cannot be used were skipped." in found["notes"]
