"""Suspicions about folds: parts without a class, unequal test parts, sentences that were trained on."""

from dataclasses import replace

from serjax.data.folds.fold import Fold
from serjax.data.suspicions.folds import of_folds


def halves(clips):
    middle = len(clips) // 2
    one, other = tuple(range(middle)), tuple(range(middle, len(clips)))
    return [Fold(1, one, one, other), Fold(2, other, other, one)]


def told(clips, folds):
    return [one.what for one in of_folds(clips, folds)]


def test_of_sound_folds_nothing_is_told(corpus):
    clips = corpus()
    assert told(clips, halves(clips)) == []


def test_folds_without_a_class_or_of_unequal_size(corpus):
    clips = corpus()
    everything = tuple(range(160))
    folds = [Fold(1, everything, everything[:20], everything[20:]), Fold(2, everything, everything, everything[:40])]
    assert told(clips, folds) == [
        "Fold 1 has no clip of sad in its validation part.",
        "Folds test 40 to 140 clips, which a mean over folds counts alike.",
    ]


def test_sentences_that_are_trained_on(corpus):
    clips = [replace(clip, text=clip.id[-1]) for clip in corpus(clips=4)]
    clips = [replace(clip, text="alone") if clip.id in ("s0/calm-0", "s0/calm-1") else clip for clip in clips]
    found = list(of_folds(clips, halves(clips)))
    assert found[-1].text == (
        "94% of tested clips say a sentence that their fold has trained on. --folds.disjoint text keeps sentences "
        "apart."
    )
    clips[0] = replace(clips[0], text=None)
    assert told(clips, halves(clips)) == []
