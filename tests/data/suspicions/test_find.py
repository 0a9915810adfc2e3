"""All suspicions together: those of labels, clips, sound and folds, with what training refuses first."""

from dataclasses import replace

import numpy as np

from serjax.audio.levels import measure_samples
from serjax.data.folds.fold import Fold
from serjax.data.suspicions.find import find_suspicions


def test_all_kinds_are_found_and_what_is_refused_comes_first(corpus):
    clips = corpus()
    assert find_suspicions(clips, {}) == []
    clips = [
        replace(clip, label="Sad" if clip.label == "sad" and clip.id.endswith("1") else clip.label) for clip in clips
    ]
    levels = {0: measure_samples(np.ones(100, np.float32))}
    everything = tuple(range(len(clips)))
    found = find_suspicions(clips, levels, [Fold(1, everything, everything, everything[:3])])
    assert [one.kind for one in found] == [
        "shorter_than_a_frame",
        "spellings",
        "few_clips",
        "uneven_classes",
        "silent",
        "clipping",
        "class_missing_in_a_part",
    ]
