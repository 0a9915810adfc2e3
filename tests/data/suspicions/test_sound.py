"""Measurements of clips: each fault is told of the clips that have it, and of no others."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.audio.levels import measure_samples
from serjax.audio.prints import sound_print
from serjax.data.suspicions.sound import copies, of_errors, of_prints, of_sound


def measured(clips):
    """Return measurements of noise of its own for each clip."""
    return {
        i: measure_samples((0.1 * np.random.default_rng(i).standard_normal(16000)).astype(np.float32))
        for i in range(len(clips))
    }


@pytest.fixture
def clips(corpus):
    return corpus(2, clips=3)


def told(clips, levels):
    return {one.kind: one for one in of_sound(clips, levels)}


def test_of_sound_recordings_nothing_is_told(clips):
    assert told(clips, measured(clips)) == {}
    half_a_sample = {i: replace(one, missing=0.5 / 16000) for i, one in measured(clips).items()}
    assert told(clips, half_a_sample) == {}
    assert told(clips, {}) == {}


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("silent", {"rms": 0.0, "mean": 0.0, "deviation": 0.0, "peak": 0.0}, "all zero"),
        ("silent", {"rms": 0.3, "mean": 0.3, "deviation": 0.0}, "one value throughout"),
        ("garbage", {"peak": 1e20, "clipped": 0.5}, "samples reach 1e+20"),
        ("cancelled_channels", {"cancelled": True}, "cancel each other"),
        ("dc_offset", {"mean": 0.5, "deviation": 0.05, "rms": 0.5025}, "up to 10 times the signal"),
        ("clipping", {"clipped": 0.01}, "0.1% or more of the samples are at full scale"),
        ("very_quiet", {"rms": 5e-4, "deviation": 5e-4, "mean": 0.0}, "below -60 dBFS"),
        ("mostly_silent", {"silent": 0.95}, "silence for 90%"),
        ("shorter_than_a_frame", {"seconds": 0.02}, "25 ms"),
        ("short", {"seconds": 0.3}, "shorter than 0.5 s"),
        ("far_longer", {"seconds": 30.0}, "10 or more times as long as the median of 1.00 s"),
        ("broken_off", {"missing": 0.5}, "broken off"),
        ("broken_off", {"missing": 1 / 16000}, "broken off"),
        ("mixed_rates", {"rate": 44100}, "11 clips of 16000 Hz, 1 clip of 44100 Hz"),
        ("mixed_channels", {"channels": 2}, "11 clips of 1 channel(s), 1 clip of 2 channel(s)"),
    ],
)
def test_a_fault_of_one_clip_is_told_of_it_alone(clips, kind, changes, words):
    levels = measured(clips)
    levels[4] = replace(levels[4], **changes)
    (found,) = of_sound(clips, levels)
    assert (found.kind, found.clips) == (kind, (clips[4].id,))
    assert words in found.what
    assert found.remedy.endswith(".")
    assert found.refused == (kind == "shorter_than_a_frame")


def test_a_rate_of_a_class_of_its_own_is_told(clips):
    levels = {i: replace(one, rate=8000 if clips[i].label == "sad" else 16000) for i, one in measured(clips).items()}
    found = told(clips, levels)["mixed_rates"]
    assert "Classes have one of their own (8000 Hz: sad, 16000 Hz: calm)" in found.what
    assert "by how they were recorded" in found.remedy


def test_copies_within_a_class_and_across(clips):
    levels = measured(clips)
    levels[1] = replace(levels[1], digest=levels[0].digest)
    levels[5] = replace(levels[5], digest=levels[2].digest)
    found = told(clips, levels)
    assert found["copies"].clips == (clips[0].id, clips[1].id)
    assert found["copies_of_two_classes"].clips == (clips[2].id, clips[5].id)
    assert found["copies_of_two_classes"].refused
    assert not found["copies"].refused


def test_silent_clips_are_no_copies(clips):
    levels = {i: measure_samples(np.zeros(16000, np.float32)) for i in range(len(clips))}
    assert list(told(clips, levels)) == ["silent"]


@given(st.dictionaries(st.integers(0, 30), st.sampled_from("abcdefg")))
def test_groups_of_copies_hold_each_position_once(digests):
    groups = copies(digests)
    assert all(len(group) > 1 and len({digests[i] for i in group}) == 1 for group in groups)
    alone = set(digests) - {i for group in groups for i in group}
    assert len({digests[i] for i in alone}) == len(alone)
    assert sum(map(len, groups)) == len({i for group in groups for i in group})


def test_clips_that_cannot_be_decoded_are_told_by_their_reasons(clips):
    assert of_errors(clips, {}) == []
    (found,) = of_errors(clips, {0: "it is damaged; get it again.", 2: "it is damaged; get it again.", 3: "it is odd."})
    assert found.clips == (clips[0].id, clips[2].id, clips[3].id)
    assert f"it is damaged: {clips[0].id}, {clips[2].id}, it is odd: {clips[3].id}" in found.what
    assert found.refused


def test_altered_copies_are_told_with_their_labels(clips):
    waves = [np.random.default_rng(i).standard_normal(24000) for i in range(len(clips))]
    for i, wave in enumerate(waves):  # bursts of their own
        wave *= np.repeat(np.random.default_rng(90 + i).uniform(0, 1, 60) > 0.5, 400)
    waves[3] = 0.2 * waves[0] + 0.01 * waves[1]
    waves[4] = waves[2]
    prints = {i: sound_print(wave.astype(np.float32)) for i, wave in enumerate(waves)}
    digests = {i: str(i) for i in prints} | {4: "2"}
    (found,) = of_prints(clips, prints, digests)
    assert found.kind == "altered_copies"
    assert found.clips == (clips[0].id, clips[3].id)
    assert ("1 of them with several labels" in found.what) == (clips[0].label != clips[3].label)
    assert of_prints(clips, {0: None, 1: prints[1]}, digests) == []
