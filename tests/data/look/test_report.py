"""Numbers of a look: those of the clips, in a form that JSON can write."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.data.config import DataConfig
from serjax.data.look.measured import Measured, measure_clips
from serjax.data.look.reading import read_for_a_look
from serjax.data.look.report import build_report, distribution

numbers = st.floats(-1e20, 1e20, allow_subnormal=False)


@given(st.lists(numbers, min_size=1, max_size=30))
def test_a_histogram_holds_every_value(values):
    found = distribution(values)
    assert sum(found["counts"]) == len(values)
    assert len(found["edges"]) == len(found["counts"]) + 1
    assert found["edges"] == sorted(found["edges"])
    assert (found["min"], found["max"]) == (min(values), max(values))
    assert found["min"] <= found["p5"] <= found["median"] <= found["p95"] <= found["max"]


@given(st.lists(st.floats(-100, 400), min_size=1, max_size=30))
def test_bins_of_a_decibel(values):
    found = distribution(values, "decibels")
    assert sum(found["counts"]) == len(values)
    assert np.allclose(np.diff(found["edges"]), 1)
    assert found["max"] == max(values)
    assert found["edges"][-1] <= 21


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_bins_of_shares_begin_at_zero(values):
    found = distribution(values, "share")
    assert sum(found["counts"]) == len(values)
    assert found["edges"][0] == 0


@pytest.fixture
def reading(small):
    return read_for_a_look(DataConfig(root=str(small), speaker_pattern=r"/(?P<speaker>[a-z]+)\d"))


def test_counts_lengths_and_levels(reading):
    report = build_report(reading, measure_clips(reading.utterances), "DIR")
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert (report["root"], report["clips"], report["measured"]) == ("DIR", 8, 8)
    assert report["seconds"] == pytest.approx(8 * 0.6)
    assert report["speakers"] == ["ann", "bob"]
    assert report["clips_of_speakers"] == [[2, 2], [2, 2]]
    first = report["classes"][0]
    assert (first["label"], first["clips"], first["speakers"]) == ("calm", 4, 2)
    assert first["median_seconds"] == pytest.approx(0.6)
    assert first["rms_dbfs"][1] == pytest.approx(-20, abs=0.3)
    assert report["sound"]["rates"] == {"16000": 8}
    assert report["sound"]["channels"] == {"1": 8}
    assert report["agreement"] is None
    assert [one["kind"] for one in report["suspicions"]] == ["few_clips"]


def test_names_alone(reading):
    report = build_report(reading, None, "DIR")
    assert (report["measured"], report["seconds"], report["sound"]) == (None, None, None)
    assert report["classes"][0]["rms_dbfs"] is None
    assert report["files"]["sounds"] == 8


def test_a_stop_is_told(reading):
    found = measure_clips(reading.utterances[:3])
    report = build_report(reading, Measured(found.levels, found.errors, {}, stopped=True), "DIR")
    assert (report["stopped"], report["measured"], report["clips"]) == (True, 3, 8)


def test_copies_and_faults(small, tmp_path):
    root = shutil.copytree(small, tmp_path / "corpus")
    shutil.copy(root / "calm" / "ann1.wav", root / "sad" / "bob9.wav")
    (root / "sad" / "bad.wav").write_text("nothing")
    reading = read_for_a_look(DataConfig(root=str(root)))
    report = build_report(reading, measure_clips(reading.utterances), str(root))
    assert report["duplicates"] == [
        {"clips": ["calm/ann1", "sad/bob9"], "labels": ["calm", "sad"], "equal_bytes": True}
    ]
    assert [one["clip"] for one in report["unreadable"]] == ["sad/bad"]
    kinds = [one["kind"] for one in report["suspicions"]]
    assert {"copies_of_two_classes", "unreadable"} <= set(kinds)
    refused = [one["refused"] for one in report["suspicions"]]
    assert refused == sorted(refused, reverse=True)


def test_votes_and_values(reading):
    clips = [
        replace(clip, votes=((clip.label, 2.0), ("other", 1.0)), values=(("arousal", float(i)),) if i else ())
        for i, clip in enumerate(reading.utterances)
    ]
    report = build_report(replace(reading, utterances=tuple(clips)), None, "DIR")
    found = report["agreement"]
    assert found["labels"] == ["calm", "other", "sad"]
    assert found["votes_a_clip"] == [3, 3, 3]
    assert found["majority_share"]["mean"] == pytest.approx(2 / 3)
    assert found["majority_share_by_class"] == pytest.approx({"calm": 2 / 3, "sad": 2 / 3})
    assert found["without_majority"] == 0
    # Pairs of the same clip agree in 1 of 3; labels are given 8, 8 and 8 times.
    assert found["fleiss_kappa"] == pytest.approx((1 / 3 - 1 / 3) / (1 - 1 / 3))
    assert found["krippendorff_alpha"] == pytest.approx(1 / 24)
    (value,) = report["values"]
    assert (value["name"], value["clips"], value["missing"], value["min"], value["max"]) == ("arousal", 7, 1, 1, 7)


def test_folders_in_place_of_classes_are_not_blamed_for_their_size(small, tmp_path):
    for part in ("train", "test"):
        shutil.copytree(small / "sad", tmp_path / part)
    reading = read_for_a_look(DataConfig(root=str(tmp_path)))
    kinds = [one["kind"] for one in build_report(reading, None, "DIR")["suspicions"]]
    assert kinds[0] == "refused"
    assert "parts_as_classes" in kinds
    assert "few_clips" not in kinds
