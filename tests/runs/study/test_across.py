"""Heads that answer another corpus from stored features, as their run does from the recordings."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

import serjax
from serjax.evaluation.out_of_fold import read_oof_csv
from serjax.runs.study.cells import Cell, answer_folder, answers, is_done, run_folder, stages

pytestmark = pytest.mark.slow


def test_answers_are_those_of_the_run_for_the_recordings(crossed, tones):
    study, _ = crossed
    found = read_oof_csv(answer_folder(study, "tiny", "one", "two") / "oof.csv")
    ensemble = serjax.load(run_folder(study, "tiny", "one"), long_clips="head", raw=True)
    assert ensemble.labels == found.labels == ("high", "low")
    clips = [soundfile.read(tones / "two" / f"{clip}.wav", dtype="float32") for clip in found.ids]
    scores = [{entry["label"]: entry["score"] for entry in answer} for answer in ensemble(clips)]
    expected = np.array([[score[label] for label in found.labels] for score in scores])
    np.testing.assert_allclose(found.probability, expected, atol=1e-4)
    names = {"deep": "low", "high": "high"}
    assert [found.labels[label] for label in found.label] == [names[clip.partition("/")[0]] for clip in found.ids]
    assert set(found.speaker) == {"spk0", "spk1", "spk2", "spk3"}


def test_cells_that_are_finished_are_known(crossed):
    study, _ = crossed
    assert all(is_done(study, cell) for stage in stages(study) for cell in stage)
    assert not is_done(replace(study, epochs=9), Cell("train", "tiny", "one"))
    assert len(answers(study, "tiny", "one", "one")) == 2
    assert len(answers(study, "tiny", "one", "two")) == 1


def test_each_clip_is_encoded_once_for_training_and_answers(crossed):
    study, _ = crossed
    features = [path for path in (study.cache_dir / "features").iterdir() if path.is_dir()]
    assert len(features) == 2


def test_the_report_tells_whose_answers_they_are(crossed):
    study, _ = crossed
    report = json.loads((answer_folder(study, "tiny", "two", "one") / "report.json").read_text())
    assert report["name"] == "tiny from two on one"
    assert report["interval"]["resampled"] == "speakers"
    assert report["command"] == "the command"
