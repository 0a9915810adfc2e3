"""A whole study: its page, its resumption, its growth, and failures that do not stop it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from little_study import make_study, write_emobox

from serjax.evaluation.metrics import confusion, scores
from serjax.evaluation.out_of_fold import mean_of, read_seeds
from serjax.runs.study import engines
from serjax.runs.study.cells import Cell, run_folder
from serjax.runs.study.run import run_one, run_study
from serjax.runs.study.settings import parse_corpora, parse_encoder
from serjax.runtime.errors import UserError

ONE = Cell("train", "tiny", "one")


def finished(tones, out, monkeypatch, fails=(), **changes):
    """Return the report of a study whose cells are not trained: each fails or leaves the cells as they are."""
    asked = []

    def run_cell(study, cell, command):
        asked.append(cell)
        if cell in fails:
            engines.fail(study, cell, "It failed.")

    monkeypatch.setattr(engines, "run_cell", run_cell)
    return run_study(make_study(tones, out, **changes), "command"), asked


@pytest.mark.slow
def test_every_cell_has_the_score_of_its_answers(crossed):
    study, report = crossed
    assert [(cell["train"], cell["test"]) for cell in report["cells"]] == [
        ("one", "one"),
        ("one", "two"),
        ("two", "one"),
        ("two", "two"),
    ]
    seeds = mean_of(read_seeds(run_folder(study, "tiny", "one") / "oof.csv"))
    expected = scores(confusion(seeds.label, seeds.prediction, 2))
    for metric, found in report["cells"][0]["scores"].items():
        assert found["score"] == pytest.approx(float(expected[metric]))
        assert found["low"] <= found["score"] <= found["high"]
    assert json.loads((study.folder / "report.json").read_text()) == report
    assert (study.folder / "index.html").stat().st_size > 10_000


@pytest.mark.slow
def test_a_finished_study_is_read_and_not_trained_again(crossed, monkeypatch):
    study, report = crossed
    monkeypatch.setattr(engines, "run_cell", None)
    again = run_study(replace(study, labels=None), "the command")
    assert again == report


@pytest.mark.slow
def test_a_study_that_was_stopped_goes_on_with_the_cell(study, monkeypatch, stop_after_an_epoch):
    study = replace(study, protocol="speaker", corpora=study.corpora[:1])
    stop_after_an_epoch(run_study, study)
    assert not (study.folder / "report.json").exists()
    report = run_study(study)
    assert report["cells"][0]["scores"] is not None
    lines = (run_folder(study, "tiny", "one") / "metrics.jsonl").read_text().splitlines()
    epochs = [json.loads(line)["epoch"] for line in lines]
    assert epochs == sorted(epochs)
    assert epochs.count(1) == 8  # 2 folds, 2 seeds, 2 rates: the first epoch was not done twice


def test_a_failed_cell_stands_in_the_report_and_is_tried_again(tones, tmp_path, monkeypatch):
    report, asked = finished(tones, tmp_path, monkeypatch, [ONE], protocol="speaker")
    assert asked == [ONE, Cell("train", "tiny", "two")]
    assert [cell["sentence"] for cell in report["cells"]] == ["It failed.", "not done yet"]
    page = (tmp_path / "study" / "README.md").read_text()
    assert "It failed." in page
    assert "2 of 2 cells have no scores" in page
    _, asked = finished(tones, tmp_path, monkeypatch, protocol="speaker")
    assert asked == [ONE, Cell("train", "tiny", "two")]


def test_a_study_grows_by_encoders_and_refuses_other_settings(tones, tmp_path, monkeypatch):
    finished(tones, tmp_path, monkeypatch)
    more = (parse_encoder("tiny=random:hubert:tiny"), parse_encoder("other=random:wavlm:tiny"))
    report, _ = finished(tones, tmp_path, monkeypatch, encoders=more)
    assert report["encoders"] == ["tiny", "other"]
    with pytest.raises(UserError, match="another study was made here, with other epochs, seed; choose another --name"):
        finished(tones, tmp_path, monkeypatch, epochs=3, seed=1)
    with pytest.raises(UserError, match="another study was made here, with other encoders"):
        finished(tones, tmp_path, monkeypatch, encoders=(parse_encoder("tiny=random:wavlm:tiny"),))
    with pytest.raises(UserError, match="the folder is not empty and holds no study"):
        finished(tones, tones.parent, monkeypatch, name=tones.name)


def test_a_folder_with_clips_in_its_cache_alone_is_begun(tones, tmp_path, monkeypatch):
    # Looking at the corpora renders the synthetic one there, before the study begins.
    (tmp_path / "study" / "cache").mkdir(parents=True)
    finished(tones, tmp_path, monkeypatch)
    assert (tmp_path / "study" / "study.json").is_file()


def test_overwriting_deletes_the_cells(tones, tmp_path, monkeypatch):
    finished(tones, tmp_path, monkeypatch, [ONE])
    assert any((tmp_path / "study" / "cells").rglob("*.failed"))
    monkeypatch.setattr(engines, "run_cell", lambda *_: None)
    run_study(make_study(tones, tmp_path, epochs=3), overwrite=True)
    assert not any((tmp_path / "study" / "cells").rglob("*.failed"))


def test_a_job_does_one_cell_of_a_study_that_was_begun(tones, tmp_path, monkeypatch):
    finished(tones, tmp_path, monkeypatch)
    done = []
    monkeypatch.setattr("serjax.runs.study.run.run_cell", lambda study, cell, command: done.append((cell, command)))
    run_one(tmp_path / "study", ONE)
    assert done == [(ONE, "command")]
    with pytest.raises(UserError, match=r"there is no study\.json"):
        run_one(tmp_path, ONE)


@pytest.mark.slow
def test_emobox_s_protocol_takes_its_list_map_and_folds(tones, tmp_path):
    folder = write_emobox(tmp_path / "EmoBox", tones / "one")
    study = make_study(
        tones,
        tmp_path,
        protocol="emobox",
        corpora=parse_corpora([f"emodb={folder}"], {}, "emobox"),
        encoders=(parse_encoder("wavlm-base=random:wavlm:tiny"),),
        seeds=1,
        learning_rates=(),
    )
    report = run_study(study)
    (cell,) = report["cells"]
    assert cell["sentence"] is None
    assert cell["classes"] == ["High", "Low"]
    assert (cell["clips"], cell["speakers"]) == (16, None)
    found = read_seeds(run_folder(study, "wavlm-base", "emodb") / "oof.csv")[0]
    assert np.unique(found.fold).tolist() == [1, 2]
    assert report["study"]["learning_rates"] == [1e-4]
    assert report["published"]["scores"]["emodb"] == {}  # the weights are random, whatever the encoder is called
    assert len(report["published"]["others"]["emodb"]) == 5
