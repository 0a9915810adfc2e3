"""The page of a pretraining: its clips, losses, and how labels spread over what is known of clips."""

import numpy as np
import pytest
from matplotlib.image import imread
from tiny_pretraining import small

from serjax.config.pretraining import TaptConfig
from serjax.data.store.frame_labels import FrameLabels
from serjax.evaluation.clusters import spread
from serjax.runs.pretraining.corpus import Part, read_material
from serjax.runs.pretraining.report import histories, looked_at, spreads_of, write_page, write_spreads


@pytest.fixture(scope="module")
def material(run):
    return read_material(run, by_fold=False)


@pytest.fixture(scope="module")
def labels(run):
    return [FrameLabels(run.run_dir / f"fold_{fold}" / "labels") for fold in (1, 2)]


def test_tested_clips_are_looked_at_or_all(material):
    first = material.parts[0]
    assert looked_at(first, material.data) == first.test
    assert looked_at(Part(0, (1, 2), ()), material.data) == tuple(range(24))


def test_labels_spread_over_emotions_and_speakers_but_not_over_unknown_texts(material, labels):
    found = spreads_of(labels[0], material.data, range(24))
    assert set(found) == {"emotion", "speaker"}
    assert found["emotion"].names == ("high", "low")
    assert found["speaker"].names == ("spk0", "spk1", "spk2", "spk3")
    clips = material.data.store.utterances
    expected = spread([labels[0].of(clip.id) for clip in clips], [clip.label for clip in clips], 4)
    np.testing.assert_array_equal(found["emotion"].counts, expected.counts)


def test_log_of_every_part_is_read(run, material):
    found = histories(run, material)
    assert [[row["epoch"] for row in found[fold]] for fold in (1, 2)] == [[2, 4], [2, 4]]


def test_spreads_are_written_as_figure_table_and_files(tmp_path, material, labels):
    found = spreads_of(labels[0], material.data, range(24))
    text = write_spreads(tmp_path, {"TAPT": found, "CPT now": found}, "all clips")
    assert {path.name for path in tmp_path.iterdir()} == {"frame_labels.png", "clusters_tapt.csv", "clusters_cpt.csv"}
    assert text.startswith("How the labels of all clips spread")
    assert text.count("| emotion |") == 2
    assert (tmp_path / "clusters_tapt.csv").read_text().splitlines()[0] == "cluster,frames,emotion,high,low"


def test_page_says_what_was_heard_and_shows_losses_and_figures(run, material, labels):
    page = (run.run_dir / "README.md").read_text()
    assert "Masked prediction of 4 clusters of 39 MFCC values, 4 updates of 4 s a device" in page
    assert "from random weights of size tiny." in page
    assert "24 clips, 0 min. Each fold's encoder was pretrained without the clips that the fold tests." in page
    rows = [line for line in page.splitlines() if line.startswith(("| 1 |", "| 2 |"))]
    last = {fold: history[-1] for fold, history in histories(run, material).items()}
    for fold, row in enumerate(rows, 1):
        assert f"| {fold} | {len(material.parts[fold - 1].train)} | {last[fold]['train_masked_loss']:.3f} |" in row
    assert "the clips that fold 1 tests, which it was not pretrained on," in page
    assert page.rstrip().endswith("the command")
    for picture in ("progress.png", "frame_labels.png", "timeline.png"):
        assert f"({picture})" in page
        assert imread(run.run_dir / picture).std() > 0.05


def test_page_of_unlabelled_recordings_says_nothing_of_labels(run, labels, tmp_path, monkeypatch):
    experiment = small(f"{run.data.root}/high", tmp_path, tapt=TaptConfig(corpus="unlabelled"))
    material = read_material(experiment, by_fold=False)
    row = {"epoch": 4, "train_masked_loss": 1.5} | {
        f"train_{name}": 0.25 for name in ("masked_accuracy", "unmasked_accuracy", "masked")
    }
    monkeypatch.setattr("serjax.runs.pretraining.report.histories", lambda *_: {0: [row]})
    experiment.run_dir.mkdir(parents=True)
    write_page(experiment, material, labels[:1], "the command", "The start was pretrained on all clips.")
    page = (experiment.run_dir / "README.md").read_text()
    assert "Labels of the recordings were not looked at. The start was pretrained on all clips." in page
    assert "| all | 12 | 1.500 | 25.0 % | 25.0 % | 25.0 % |" in page
    assert "What the labels say" not in page
