"""The command line from recordings to answers: run folder, resuming, frozen encoders, and what bad input gets."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from flax import nnx
from safetensors.numpy import load_file

import serjax
from serjax.checkpoints.calibration import read_calibration
from serjax.checkpoints.huggingface import save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.evaluation.calibration_report import calibrated
from serjax.evaluation.out_of_fold import mean_of, read_oof_csv, read_seeds
from serjax.models.encoders.config import preset
from serjax.models.encoders.wav2vec2 import SpeechEncoder
from serjax.models.speech import Speech
from serjax.predict import main as predict_main
from serjax.runs.finetune import train
from serjax.runtime.constraints import from_json
from serjax.runtime.errors import UserError
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.metric_log import read_history

RUN_FILES = {
    "README.md",
    "calibration.json",
    "confusion.png",
    "curves.png",
    "experiment.json",
    "fold_1",
    "fold_2",
    "fold_3",
    "folds.json",
    "metrics.jsonl",
    "model.json",
    "oof.csv",
    "reliability.png",
    "report.json",
    "tensorboard",
}


def write_corpus(root, *, speakers=6, clips=3):
    """Tones whose class is their pitch, in the voice (the harmonics) of each speaker."""
    rng = np.random.default_rng(0)
    for label, pitch in (("high", 900), ("low", 200)):
        (root / label).mkdir(parents=True)
        for speaker in range(speakers):
            for number in range(clips):
                time_axis = np.arange(rng.integers(5000, 9000)) / 16000
                tone = np.sin(2 * np.pi * (pitch + 10 * speaker) * time_axis) + rng.normal(0, 0.1, time_axis.size)
                soundfile.write(root / label / f"spk{speaker}_{number}.wav", 0.3 * tone, 16000)
    return root


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "tones")


def small(corpus, out, name="run", **changes):
    experiment = Experiment(
        name=name,
        data=DataConfig(root=str(corpus), max_seconds=0.4, speaker_pattern=r"(?P<speaker>spk\d+)"),
        folds=FoldsConfig(count=3),
        model=Speech(size="tiny", attention_size=8, head_size=16),
        train=TrainConfig(epochs=2, batch_size=8),
        out=str(out),
    )
    return replace(experiment, **changes)


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    experiment = small(corpus, out)
    return experiment, train(experiment, "the command")


def test_run_folder_is_complete(run):
    experiment, report = run
    assert {path.name for path in experiment.run_dir.iterdir()} == RUN_FILES
    stored = from_json(Experiment, (experiment.run_dir / "experiment.json").read_text(), "experiment.json")
    assert replace(stored, out=experiment.out) == experiment
    assert json.loads((experiment.run_dir / "report.json").read_text()) == report
    oof = read_oof_csv(experiment.run_dir / "oof.csv")
    assert len(set(oof.ids)) == len(oof.ids) == 36
    for speaker in set(oof.speaker):
        assert len({fold for fold, who in zip(oof.fold, oof.speaker, strict=True) if who == speaker}) == 1


def test_saved_folds_answer_as_they_did_in_training(run):
    experiment, _ = run
    oof = read_oof_csv(experiment.run_dir / "oof.csv")
    calibration = read_calibration(experiment.run_dir, [(fold, 0) for fold in (1, 2, 3)])
    for fold in (1, 2, 3):
        weights = [float(fold == other) for other in (1, 2, 3)]
        rows = np.flatnonzero(oof.fold == fold)
        for raw, expected in ((True, oof.probability), (False, calibrated(oof, calibration))):
            alone = serjax.load(experiment.run_dir, weights, long_clips="head", raw=raw)
            answers = alone([Path(experiment.data.root) / f"{oof.ids[row]}.wav" for row in rows])
            for row, answer in zip(rows, answers, strict=True):
                scores = {entry["label"]: entry["score"] for entry in answer}
                np.testing.assert_allclose([scores[label] for label in oof.labels], expected[row], atol=1e-4)


def test_ensemble_takes_paths_arrays_and_lists(run):
    experiment, _ = run
    ensemble = serjax.load(experiment.run_dir)
    path = next(Path(experiment.data.root).rglob("*.wav"))
    samples, rate = soundfile.read(path, dtype="float32")
    one = ensemble(path)
    assert [entry["label"] for entry in one] == [entry["label"] for entry in sorted(one, key=lambda e: -e["score"])]
    assert sum(entry["score"] for entry in one) == pytest.approx(1, abs=1e-5)
    two = ensemble([(samples, rate), {"array": samples, "sampling_rate": rate}, str(path)])
    for other in two:
        assert [e["score"] for e in other] == pytest.approx([e["score"] for e in one], abs=1e-5)
    with pytest.raises(UserError, match="one for each of the folds 1, 2, 3"):
        serjax.load(experiment.run_dir, [1.0, 2.0])


def test_predict_prints_json_lines_and_names_bad_clips(run, capsys, tmp_path):
    experiment, _ = run
    path = next(Path(experiment.data.root).rglob("*.wav"))
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"")
    assert predict_main([str(experiment.run_dir), str(path), str(bad)]) == 2
    captured = capsys.readouterr()
    first, second = map(json.loads, captured.out.splitlines())
    assert {entry["label"] for entry in first["scores"]} == {"high", "low"}
    assert 0.3 < first["heard_s"] <= 0.4
    assert second["scores"] == []
    assert "bad.wav" in captured.err
    assert "trained on" in captured.err  # a clip of the corpus, known by its samples


def test_a_finished_run_is_not_trained_again(run):
    experiment, _ = run
    with pytest.raises(UserError, match="this run is finished"):
        train(experiment, "x")
    with pytest.raises(UserError, match=r"other seed; choose another --name"):
        train(replace(experiment, seed=1), "x")


@pytest.mark.parametrize("dropped", [0.0, pytest.param(0.2, marks=pytest.mark.slow)])
def test_frozen_encoder_trains_seeds_and_rates_side_by_side(corpus, tmp_path, dropped):
    experiment = small(
        corpus,
        tmp_path,
        model=Speech(
            size="tiny", freeze="encoder", weighted_layers=True, pooling="mean", final_dropout=dropped, head_size=16
        ),
        train=TrainConfig(epochs=3, batch_size=8, seeds=2, learning_rates=(1e-4, 1e-2)),
    )
    report = train(experiment, "x")
    assert report["seeds"]["count"] == 2
    assert {fold["learning_rate"] for fold in report["folds"]} <= {1e-4, 1e-2}
    shares = report["layer_weights"]["members"]
    assert [(one["fold"], one["seed"]) for one in shares] == [(fold, seed) for seed in (0, 1) for fold in (1, 2, 3)]
    assert (experiment.run_dir / "layer_weights.png").is_file()
    assert "![Shares of the layers](layer_weights.png)" in (experiment.run_dir / "README.md").read_text()
    (states,) = tmp_path.glob("features/*/rows.npy")
    assert (len(np.load(states, mmap_mode="r")) == 36) == (not dropped)
    seeds = read_seeds(experiment.run_dir / "oof.csv")
    calibration = read_calibration(experiment.run_dir, [(fold, seed) for seed in (0, 1) for fold in (1, 2, 3)])
    each = [calibrated(oof, calibration, seed) for seed, oof in enumerate(seeds)]
    oof = mean_of(seeds)
    rows = np.flatnonzero(oof.fold == 1)
    for raw, expected in ((True, oof.probability), (False, np.mean(each, 0))):
        ensemble = serjax.load(experiment.run_dir, [1, 0, 0], long_clips="head", raw=raw)
        answers = ensemble([Path(corpus) / f"{oof.ids[row]}.wav" for row in rows])
        for row, answer in zip(rows, answers, strict=True):
            scores = {entry["label"]: entry["score"] for entry in answer}
            np.testing.assert_allclose([scores[label] for label in oof.labels], expected[row], atol=1e-4)


@pytest.mark.slow
def test_a_rate_that_diverges_is_given_up_and_the_others_go_on(corpus, tmp_path, caplog):
    model = Speech(size="tiny", freeze="encoder", pooling="mean", head_size=8)
    settings = TrainConfig(epochs=3, batch_size=8, learning_rates=(1e30, 1e-3))
    report = train(small(corpus, tmp_path, model=model, train=settings), "x")
    assert {fold["learning_rate"] for fold in report["folds"]} == {1e-3}
    assert caplog.text.count("at learning rate 1e+30; that rate is given up.") == 3
    alone = small(corpus, tmp_path, "alone", model=model, train=replace(settings, learning_rates=(1e30,)))
    with pytest.raises(UserError, match=r"^fold 1: .* not finite at learning rate 1e\+30; lower"):
        train(alone, "x")
    assert not (alone.run_dir / "report.json").exists()


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_recordings(tmp_path, stop_after_an_epoch):
    root = write_corpus(tmp_path / "tones", speakers=4, clips=2)
    experiment = small(root, tmp_path)
    stop_after_an_epoch(train, experiment, "x")
    folds = (experiment.run_dir / "folds.json").read_text()
    (root / "low" / "spk0_0.wav").rename(root / "low" / "spk9_0.wav")
    with pytest.raises(UserError, match=r"recordings.*changed"):
        train(experiment, "x")
    assert (experiment.run_dir / "folds.json").read_text() == folds
    again = train(replace(experiment, overwrite=True), "x")
    assert again["facts"]["speakers"] == 5


def test_overwrite_deletes_nothing_before_the_new_run_can_begin(run, corpus):
    experiment, report = run
    wrong = replace(experiment, overwrite=True, data=replace(experiment.data, root="/nowhere"))
    with pytest.raises(UserError, match="no such folder"):
        train(wrong, "x")
    assert json.loads((experiment.run_dir / "report.json").read_text()) == report


def test_a_start_that_failed_leaves_the_name_free(corpus, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        train(small("/nowhere", tmp_path), "x")
    assert not (tmp_path / "run").exists()


def test_a_class_without_a_usable_clip_is_named(corpus, tmp_path):
    root = write_corpus(tmp_path / "tones", speakers=3, clips=1)
    (root / "silent").mkdir()
    for speaker in range(3):
        (root / "silent" / f"spk{speaker}_0.wav").write_bytes(b"")
    experiment = small(root, tmp_path)
    with pytest.raises(UserError, match="No clip of silent can be used"):
        train(replace(experiment, data=replace(experiment.data, skip_bad=True)), "x")


def test_a_fold_of_another_run_is_refused(run, tmp_path):
    experiment, _ = run
    folder = tmp_path / "copy"
    shutil.copytree(experiment.run_dir, folder)
    path = folder / "fold_2" / "config.json"
    path.write_text(path.read_text().replace('"high"', '"tall"'))
    with pytest.raises(UserError, match=r"fold_2/config\.json: its labels are \['tall', 'low'\]"):
        serjax.load(folder)
    shutil.rmtree(folder / "fold_3")
    with pytest.raises(UserError, match="fold_3: this fold of the run is missing"):
        serjax.load(folder)


@pytest.mark.parametrize("clip", [None, np.zeros(16000), {"array": np.zeros(16000)}, ("a.wav", "b.wav")])
def test_what_is_no_clip_gets_a_sentence(run, clip):
    with pytest.raises(UserError, match="give a path"):
        serjax.load(run[0].run_dir)(clip)


@pytest.fixture
def pretrained(tmp_path):
    """A small WavLM as others would publish it."""
    config = replace(preset("wavlm", "tiny"), num_hidden_layers=2, num_buckets=32, max_bucket_distance=80)
    encoder = SpeechEncoder(config, rngs=nnx.Rngs(5))
    save_pretrained(encoder, tmp_path / "wavlm", preprocessor=Preprocessor())
    return str(tmp_path / "wavlm")


@pytest.mark.slow
def test_two_stages_train_heads_and_then_the_last_layers(corpus, tmp_path, pretrained, stop_after_an_epoch, caplog):
    model = Speech(checkpoint=pretrained, freeze="layers", frozen_layers=1, pooling="mean", head="relu")
    settings = TrainConfig(epochs=2, head_epochs=3, head_lr=1e-2, batch_size=8)
    folds = FoldsConfig(count=3, together="yes")
    optimizer = OptimizerConfig(groups=((r"speech_encoder\..*", 0.3), (r"head\..*", 1.0)))
    experiment = small(corpus, tmp_path, model=model, train=settings, folds=folds, optimizer=optimizer)
    caplog.set_level("INFO", "serjax")
    report = train(experiment, "x")
    said = caplog.text
    assert (
        said.index("First stage") < said.index("epoch   3/3") < said.index("Second stage") < said.index("epoch   2/2")
    )
    first, second = (read_history(experiment.run_dir / stage) for stage in ("first_stage", "."))
    assert max(row["epoch"] for row in first) == 3
    # The second stage begins where the first one ended.
    assert np.mean([r["train_loss"] for r in second if r["epoch"] == 1]) < np.mean(
        [r["train_loss"] for r in first if r["epoch"] == 1]
    )
    assert report["facts"]["trainable"] < report["facts"]["parameters"]
    assert not list(experiment.run_dir.rglob("resume"))
    # A frozen layer stays, a tuned one moves.
    published = load_file(Path(pretrained) / "model.safetensors")
    saved = load_file(experiment.run_dir / "fold_1" / "model.safetensors")
    for layer, same in ((0, True), (1, False)):
        key = f"encoder.layers.{layer}.attention.q_proj.weight"
        assert np.array_equal(published[key], saved[f"wavlm.{key}"]) == same
    # One after the other, and stopped in both stages, it ends the same.
    broken = replace(experiment, name="broken", folds=replace(folds, together="no"))
    for _ in range(4):
        stop_after_an_epoch(train, broken, "x")
    again = train(broken, "x")
    for fold, other in zip(report["folds"], again["folds"], strict=True):
        assert fold["ua"] == pytest.approx(other["ua"])
        assert fold["kept_epoch"] == other["kept_epoch"]


@pytest.mark.slow
def test_heads_alone_are_called_as_in_the_whole_model(corpus, tmp_path, pretrained):
    model = Speech(checkpoint=pretrained, freeze="encoder", pooling="mean")
    experiment = small(corpus, tmp_path, model=model, optimizer=OptimizerConfig(groups=((r"speech_encoder\..*", 0.3),)))
    with pytest.raises(
        UserError, match=r"'speech_encoder.*' matches no trained parameter in full; they are called like 'head\."
    ):
        train(experiment, "x")
    train(replace(experiment, optimizer=OptimizerConfig(groups=((r"head\..*", 0.3),))), "x")


@pytest.mark.slow
def test_another_family_than_the_experiments_is_said(corpus, tmp_path, pretrained, caplog):
    caplog.set_level("INFO", "serjax")
    model = Speech(checkpoint=pretrained, freeze="encoder", pooling="mean")
    train(small(corpus, tmp_path, model=model, train=TrainConfig(epochs=1)), "x")
    assert "wavlm starts from" in caplog.text
    assert "; its own family counts, not model.family hubert." in caplog.text


def test_one_fold_of_a_run_is_no_model_by_itself(run):
    experiment, _ = run
    with pytest.raises(UserError, match=r"this is one fold of a run; give the run's folder, .*run\.$"):
        serjax.load(experiment.run_dir / "fold_1")


@pytest.mark.slow
def test_the_last_epoch_is_kept_where_it_is_asked_for(corpus, tmp_path):
    settings = TrainConfig(epochs=3, batch_size=8, patience=1, keep="last")
    experiment = small(corpus, tmp_path, folds=FoldsConfig(count=3, only=(1, 2)), train=settings)
    report = train(experiment, "x")
    assert [(fold["kept_epoch"], fold["epochs"]) for fold in report["folds"]] == [(3, 3), (3, 3)]
    assert "The last of 3 epochs was kept" in (experiment.run_dir / "README.md").read_text()


@pytest.mark.slow
def test_validation_on_the_test_fold_is_reported(corpus, tmp_path):
    experiment = small(corpus, tmp_path, folds=FoldsConfig(count=3, only=(2,), validation="test"))
    report = train(experiment, "x")
    assert report["last_epoch"] is not None
    assert any("optimistic" in note for note in report["notes"])


def command():
    # A shell's background job, such as a CI's, starts with SIGINT ignored.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import sys; from serjax import cli; from serjax.config.experiment import Experiment;"
        "from serjax.runs.finetune import train; from serjax.runtime.constraints import from_json;"
        "cli.run(lambda argv: train(from_json(Experiment, sys.stdin.read(), 'stdin'), 'x') and 0)"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_run_stopped_by_any_signal_resumes_to_identical_weights(corpus, tmp_path):
    from serjax.runtime.constraints import to_json

    whole = small(corpus, tmp_path / "whole", train=TrainConfig(epochs=9, batch_size=8))
    train(whole, "x")
    broken = replace(whole, out=str(tmp_path / "broken"))
    for epochs_seen, how in ((1, signal.SIGKILL), (3, signal.SIGINT), (5, signal.SIGTERM)):
        process = command()
        process.stdin.write(to_json(broken))
        process.stdin.close()
        log = broken.run_dir / "metrics.jsonl"
        while process.poll() is None and not (log.exists() and f'"epoch": {epochs_seen}' in log.read_text()):
            time.sleep(0.01)
        process.send_signal(how)
        assert process.wait() == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(how, -how)
        assert not (broken.run_dir / "report.json").exists()
    train(broken, "x")
    for fold in ("fold_1", "fold_2", "fold_3"):
        one, other = (load_file(e.run_dir / fold / "model.safetensors") for e in (whole, broken))
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    lines = [(e.run_dir / "metrics.jsonl").read_text().splitlines() for e in (whole, broken)]
    without_times = [[{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in one] for one in lines]
    assert without_times[0] == without_times[1]


@pytest.mark.slow
def test_bad_clips_stop_the_run_before_training(corpus, tmp_path):
    root = write_corpus(tmp_path / "tones", speakers=3, clips=1)
    (root / "low" / "spk0_broken.wav").write_bytes(b"RIFF")
    soundfile.write(root / "low" / "spk1_short.wav", np.zeros(100), 16000)
    experiment = small(root, tmp_path / "out")
    with pytest.raises(UserError, match=r"(?s)2 of 8 clips.*broken.*short"):
        train(experiment, "x")
    skipping = replace(experiment, data=replace(experiment.data, skip_bad=True), overwrite=True)
    report = train(skipping, "x")
    assert len(report["facts"]["skipped"]) == 2
