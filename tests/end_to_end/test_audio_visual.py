"""Sound and video through the same engine: trained, warm-started in two stages, saved, asked again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import serjax
from serjax.audio.config import AugmentConfig
from serjax.config.experiment import Experiment, WarmStart
from serjax.data.config import DataConfig, FoldsConfig
from serjax.evaluation.out_of_fold import read_oof_csv
from serjax.models.adapter_config import AdapterConfig
from serjax.models.fusion.config import Fusion
from serjax.models.spectrogram import Spectrogram
from serjax.models.speech import Speech
from serjax.models.video import Video
from serjax.predict import main as predict_main
from serjax.runs.finetune import train
from serjax.runs.search import search_table
from serjax.runtime.constraints import to_json, validate
from serjax.runtime.errors import UserError
from serjax.training.config import TrainConfig
from serjax.video.config import VideoAugment, VideoConfig


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Clips of two labels by four speakers, and an archive of values that tell the labels apart."""
    root = tmp_path_factory.mktemp("av") / "clips"
    rng, ids, values = np.random.default_rng(0), [], []
    for label in ("anger", "happy"):
        (root / label).mkdir(parents=True)
        for speaker in range(4):
            for number in range(3):
                name = f"{label}{speaker}_{number}_spk{speaker}"
                soundfile.write(root / label / f"{name}.wav", rng.normal(0, 0.1, 8000), 16000)
                ids.append(name)
                values.append(rng.normal(3 * (label == "happy"), 1, 5))
    np.savez(root.parent / "units.npz", ids=np.array(ids), au=np.array(values, np.float32))
    return root


def features_of(corpus):
    return VideoConfig(face_features=str(corpus.parent / "units.npz"))


def gated(corpus, **options):
    return Fusion(**{"audio": Spectrogram(family="audio_cnn"), "video": features_of(corpus), **options})


def fused(corpus, out, **changes):
    experiment = Experiment(
        name="fused",
        data=DataConfig(root=str(corpus), max_seconds=0.5, speaker_pattern=r"(?P<speaker>spk\d)"),
        folds=FoldsConfig(count=2),
        model=gated(corpus),
        train=TrainConfig(epochs=2, batch_size=8),
        out=str(out),
    )
    return replace(experiment, **changes)


@pytest.mark.slow
def test_values_in_place_of_pictures_are_trained_saved_and_asked(corpus, tmp_path, capsys):
    experiment = fused(corpus, tmp_path)
    report = train(experiment, "the command")
    assert set(report["alone"]) == {"sound", "video"}
    oof = read_oof_csv(experiment.run_dir / "oof.csv")
    model = serjax.load(experiment.run_dir, [1.0, 0.0], raw=True)
    row = int(np.flatnonzero(oof.fold == 1)[0])
    path = corpus / f"{oof.ids[row]}.wav"
    with np.load(corpus.parent / "units.npz") as archive:
        values = archive["au"][archive["ids"].tolist().index(path.stem)]
    answer = {entry["label"]: entry["score"] for entry in model({"audio": path, "video": values[None]})}
    np.testing.assert_allclose([answer[label] for label in oof.labels], oof.probability[row], atol=1e-4)
    with pytest.warns(UserWarning, match="answered from sound alone"):
        alone = model(str(path))
    assert {entry["label"] for entry in alone} == set(oof.labels)
    assert predict_main([str(experiment.run_dir), str(path), "--json"]) == 0
    assert "answered from sound alone" in capsys.readouterr().err
    with pytest.raises(UserError, match="take 5 face features of a clip and no video"):
        model({"audio": path, "video": "clip.mp4"})


@pytest.mark.slow
def test_branches_start_from_runs_of_the_same_folds_in_two_stages(corpus, tmp_path):
    single = fused(corpus, tmp_path)
    sound = replace(single, name="sound", model=Spectrogram(family="audio_cnn"))
    video = replace(single, name="video", model=Video(video=features_of(corpus)))
    for one in (sound, video):
        train(one, "the command")
    start = WarmStart(audio=str(sound.run_dir), video=str(video.run_dir))
    two = fused(
        corpus, tmp_path, warm_start=start, stages="two", train=TrainConfig(epochs=1, batch_size=8, head_epochs=1)
    )
    train(two, "the command")
    assert (two.run_dir / "first_stage" / "metrics.jsonl").is_file()
    for changes, message in (
        ({"seed": 5}, "has learned from .* tests here"),
        (
            {"model": gated(corpus, audio=Spectrogram(family="audio_resnet18"))},
            "but this fusion has audio_resnet18; give such a run",
        ),
        ({"warm_start": WarmStart(video=str(sound.run_dir))}, "run of audio_cnn, but this fusion has video"),
        ({"folds": FoldsConfig(count=3)}, "has no fold 3|has learned from"),
    ):
        with pytest.raises(UserError, match=message):
            train(replace(two, name="other", **changes), "the command")


@pytest.mark.slow
def test_every_combination_is_tried_once(corpus, tmp_path):
    experiment = fused(corpus, tmp_path, search=(("seed", 0, "1"), ("model.dropout", 0.1)), train=TrainConfig(epochs=1))
    first = serjax.run(experiment)
    assert {Path(row["run"]).name for row in first["search"]} == {
        "seed=0 model.dropout=0.1",
        "seed=1 model.dropout=0.1",
    }
    reports = [Path(row["run"]) / "report.json" for row in first["search"]]
    stamps = [path.stat().st_mtime_ns for path in reports]
    assert serjax.run(experiment) == first
    assert [path.stat().st_mtime_ns for path in reports] == stamps
    assert (experiment.run_dir / "search.md").read_text() == search_table(first["search"])
    assert search_table(first["search"]).count("| best | 0.1 | 2 |") == 1
    for tried, message in (
        ((("model.dropot", 1),), r"model\.dropot: there is no such field; did you mean model\.dropout\?"),
        ((("model.dropout", 0.1, 1.5),), r"model\.dropout is 1\.5; it must be below 1"),
        ((("seed",),), "--search seed: give values after it"),
        ((("name", "x"),), "--search name: it does not change what is trained"),
        ((("seed", 1), ("seed", 2)), "a field is given twice"),
    ):
        with pytest.raises(UserError, match=message):
            serjax.run(replace(experiment, name="wrong", search=tried))
    assert not (experiment.run_dir.parent / "wrong").exists()


@pytest.mark.slow
def test_adapters_of_wavlm_are_trained_saved_and_asked(corpus, tmp_path):
    adapter = AdapterConfig(kind="lora", rank=2, dropout=0.1, last_layers=1)
    model = gated(corpus, audio=Speech(family="wavlm", size="tiny", adapter=adapter))
    experiment = fused(corpus, tmp_path, model=model, train=TrainConfig(epochs=1, batch_size=8))
    train(experiment, "the command")
    oof = read_oof_csv(experiment.run_dir / "oof.csv")
    ask = serjax.load(experiment.run_dir, [1.0, 0.0], raw=True)
    row = int(np.flatnonzero(oof.fold == 1)[0])
    path = corpus / f"{oof.ids[row]}.wav"
    with np.load(corpus.parent / "units.npz") as archive:
        values = archive["au"][archive["ids"].tolist().index(path.stem)]
    answer = {entry["label"]: entry["score"] for entry in ask({"audio": path, "video": values[None]})}
    np.testing.assert_allclose([answer[label] for label in oof.labels], oof.probability[row], atol=1e-4)


@pytest.mark.slow
def test_drawn_faces_and_cross_attention(corpus, tmp_path, capsys):
    pictures = VideoConfig(drawn=True, frames=2, size=32, augment=VideoAugment(noise_p=1.0))
    model = gated(corpus, kind="xattn", video=pictures, d_model=8, heads=2)
    experiment = fused(corpus, tmp_path, model=model)
    report = train(experiment, "the command")
    assert report["alone"] == {}
    path = next(corpus.rglob("*.wav"))
    with pytest.raises(UserError, match="it has no video, which these models were not trained to do without"):
        serjax.load(experiment.run_dir)(path)
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    model = serjax.load(experiment.run_dir)
    sample = model.read({"audio": path, "video": frames})
    shares, step = model.attention(sample)
    assert shares.shape[0] == 2
    assert step > 0
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-4)
    with pytest.raises(UserError, match=r"the video is uint8 \[2, 16, 16, 3\]"):
        model({"audio": path, "video": frames[:, :16, :16]})


def test_what_a_fusion_cannot_do_is_named(corpus, tmp_path):
    for changes, message in (
        ({"augment": AugmentConfig(mixup=0.2)}, "mixup is given, but model.family fusion"),
        ({"model": gated(corpus, audio=Speech())}, "model.audio.family is hubert"),
        (
            {"model": Video(video=features_of(corpus)), "warm_start": WarmStart(audio="x")},
            "warm_start is given",
        ),
    ):
        with pytest.raises(UserError, match=message):
            validate(fused(corpus, tmp_path, **changes))
    assert json.loads(to_json(fused(corpus, tmp_path)))["model"]["kind"] == "gated"
