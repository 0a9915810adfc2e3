"""Pretraining from the command line: encoders that hear nothing of what their fold tests, and what comes after."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread
from tiny_pretraining import SAMPLES, small, weights

from serjax.checkpoints.formats.tensors import read_tensors
from serjax.checkpoints.huggingface import load_encoder
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.config.experiment import Experiment
from serjax.config.pretraining import LabelsConfig, StartConfig, TaptConfig
from serjax.data.config import FoldsConfig
from serjax.data.store.frame_labels import FrameLabels
from serjax.features.config import ClusterConfig
from serjax.models.speech import Speech
from serjax.runs.finetune import train
from serjax.runs.pretraining.corpus import read_material
from serjax.runs.pretraining.run import pretrain
from serjax.runs.starts import find_encoders
from serjax.runtime.errors import UserError
from serjax.training.config import TrainConfig


def test_every_fold_has_labels_centroids_and_an_encoder_of_its_own(run, corpus):
    folder = run.run_dir
    first, second = (weights(folder / f"fold_{fold}" / "encoder") for fold in (1, 2))
    assert any(not np.array_equal(first[name], second[name]) for name in first)
    for fold in (1, 2):
        labels = FrameLabels(folder / f"fold_{fold}" / "labels")
        assert (len(labels), labels.clusters) == (24, 4)
        assert (folder / f"fold_{fold}" / "centres.safetensors").is_file()
    page = (folder / "README.md").read_text()
    assert "was pretrained without the clips that the fold tests" in page
    for picture in ("progress.png", "frame_labels.png", "timeline.png"):
        # Several hundred pixels each way, of more than one colour.
        image = imread(folder / picture)
        assert min(image.shape[:2]) > 300
        assert image.std() > 0.05
    assert not list(folder.glob("**/resume"))
    material = read_material(run, by_fold=False)
    for part in material.parts:
        assert not set(part.train) & set(part.test)
        assert len(part.train) + len(part.test) == 24


@pytest.mark.slow
def test_clips_that_are_not_kept_give_the_same_encoders(run, corpus, tmp_path):
    again = small(corpus, tmp_path)
    again = replace(again, data=replace(again.data, keep_decoded=False))
    pretrain(again, "the command")
    (samples,) = (tmp_path / "clips").glob("*/samples.npy")
    assert samples.stat().st_size == 128
    names = [path.relative_to(run.run_dir) for path in sorted(run.run_dir.rglob("*.safetensors"))]
    assert names
    for name in names:
        assert (again.run_dir / name).read_bytes() == (run.run_dir / name).read_bytes()


@pytest.mark.slow
def test_step_by_step_is_the_same_as_at_once(run, tmp_path):
    experiment = replace(run, out=str(tmp_path))
    with pytest.raises(UserError, match="there are no labels of this experiment"):
        pretrain(experiment, "", "masked")
    pretrain(experiment, "", "labels")
    assert not (experiment.run_dir / "fold_1" / "encoder").exists()
    pretrain(experiment, "", "masked")
    for fold in (1, 2):
        found, expected = (weights(one.run_dir / f"fold_{fold}" / "encoder") for one in (experiment, run))
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)
    with pytest.raises(UserError, match=r"this run is finished, its results are in README\.md"):
        pretrain(experiment, "")


def finetuning(run, out, **changes):
    experiment = Experiment(
        name="finetuned",
        data=replace(run.data, max_seconds=0.4),
        folds=run.folds,
        model=Speech(checkpoint=str(run.run_dir), attention_size=8, head_size=16),
        train=TrainConfig(epochs=1, batch_size=8),
        out=str(out),
    )
    return replace(experiment, **changes)


@pytest.mark.slow
def test_each_fold_is_fine_tuned_from_its_own_encoder(run, tmp_path):
    experiment = finetuning(run, tmp_path)
    train(experiment, "")
    for fold in (1, 2):
        # The convolutions are frozen, and so are those of the fold's own pretraining.
        found = weights(experiment.run_dir / f"fold_{fold}")
        start = weights(run.run_dir / f"fold_{fold}" / "encoder")
        for name in (name for name in start if name.startswith("feature_extractor")):
            np.testing.assert_array_equal(found[name], start[name], err_msg=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 5}, "has learned from .*, which fold 1 tests here"),
        ({"folds": FoldsConfig(kind="speaker", count=4)}, "has learned from|it has no fold 3"),
        ({"model": {"freeze": "encoder"}}, "but a frozen encoder"),
    ],
)
def test_fine_tuning_with_other_folds_is_refused(run, tmp_path, changes, message):
    experiment = finetuning(run, tmp_path)
    model = changes.get("model")
    experiment = replace(experiment, **(changes if model is None else {"model": replace(experiment.model, **model)}))
    with pytest.raises(UserError, match=message):
        train(experiment, "")
    assert not experiment.run_dir.exists()


@pytest.mark.slow
@pytest.mark.parametrize("together", ["yes", "no"])
def test_each_fold_is_pretrained_further_from_its_own_encoder(run, corpus, tmp_path, together):
    cluster = replace(run.labels.cluster, clusters=3)
    source = shutil.copytree(run.run_dir, tmp_path / "source")
    (source / "pretrained.json").write_text(json.dumps({"corpus": "all", "folds": [1, 2]}))
    experiment = small(
        corpus,
        tmp_path,
        model=StartConfig(checkpoint=str(source)),
        labels=LabelsConfig(layer=1, cluster=cluster),
        folds=replace(run.folds, together=together),
        masked=replace(run.masked, updates=2, feature_grad_mult=0.0),
    )
    pretrain(experiment, "")
    for fold in (1, 2):
        start, found = (weights(one.run_dir / f"fold_{fold}" / "encoder") for one in (run, experiment))
        for name in start:
            assert np.array_equal(found[name], start[name]) == name.startswith("feature_extractor"), name
        assert FrameLabels(experiment.run_dir / f"fold_{fold}" / "labels").source["layer"] == 1
    # What the start was pretrained on is said of all that rests on it.
    assert f"The encoder of {source} was pretrained on all clips" in (experiment.run_dir / "README.md").read_text()
    assert f"The encoder of {experiment.run_dir} was" in find_encoders(str(experiment.run_dir)).warning


@pytest.mark.slow
def test_one_encoder_hears_everything_where_asked_and_the_report_says_so(run, corpus, tmp_path):
    more = tmp_path / "more"
    shutil.copytree(corpus / "high", more)
    soundfile.write(more / "another.wav", np.random.default_rng(0).normal(0, 0.1, SAMPLES), 16_000)
    tapt = TaptConfig(corpus="all", more=(str(more),))
    experiment = small(corpus, tmp_path, tapt=tapt)
    pretrain(experiment, "")
    assert len(FrameLabels(experiment.run_dir / "labels")) == 24 + 13
    material = read_material(experiment, by_fold=False)
    assert len(material.parts[0].train) == 25
    finetuned = finetuning(experiment, tmp_path)
    report = train(finetuned, "")
    assert "pretrained on all clips, tested ones too" in " ".join(report["facts"]["leakage_notes"])
    assert find_encoders(str(finetuned.run_dir)).warning in report["facts"]["leakage_notes"]


@pytest.mark.slow
def test_unlabelled_recordings_are_pretrained_on(corpus, tmp_path):
    root = tmp_path / "recordings"
    shutil.copytree(corpus / "high", root)
    masked = replace(small(corpus, tmp_path).masked, updates=1)
    experiment = small(root, tmp_path, tapt=TaptConfig(corpus="unlabelled"), masked=masked)
    # Files of half the size, of an encoder that is told how loud a clip is.
    experiment = replace(experiment, model=StartConfig(size="tiny", normalize=False), save_as="float16")
    pretrain(experiment, "")
    assert load_encoder(str(experiment.run_dir / "encoder")).preprocessor == Preprocessor(normalize=False)
    assert {one.dtype for one in read_tensors(experiment.run_dir / "encoder").values()} == {np.dtype(np.float16)}
    assert json.loads((experiment.run_dir / "pretrained.json").read_text()) == {"corpus": "unlabelled", "folds": []}
    assert "What the labels say" not in (experiment.run_dir / "README.md").read_text()


def test_material_that_does_not_fit_is_refused(run, corpus, tmp_path):
    base = small(corpus, tmp_path)
    layer = LabelsConfig(layer=9, checkpoint=str(run.run_dir), cluster=base.labels.cluster)
    for changes, message in (
        ({"labels": layer}, "layer 9 are asked for; the encoder has layers 0 to 3"),
        ({"labels": replace(layer, layer=1), "seed": 5}, "which fold 1 tests here"),
        ({"labels": replace(base.labels, cluster=ClusterConfig(clusters=60_000))}, "frames for 60000 clusters"),
        ({"masked": replace(base.masked, seconds=1e4)}, "less than one batch"),
        ({"model": StartConfig(checkpoint=str(run.run_dir)), "seed": 5}, "which fold 1 tests here"),
        ({"model": StartConfig(checkpoint=str(run.run_dir)), "out": run.out}, "it is this very run"),
        (
            {"model": StartConfig(checkpoint=str(run.run_dir)), "tapt": TaptConfig(corpus="unlabelled")},
            "but unlabelled recordings have no folds",
        ),
        ({"tapt": TaptConfig(more=(str(tmp_path / "none"),))}, "there is no such folder"),
    ):
        with pytest.raises(UserError, match=message):
            pretrain(replace(base, overwrite=True, **changes), "")
