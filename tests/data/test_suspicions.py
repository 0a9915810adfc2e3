"""Suspicions about clips and folds: each is told where it is so, and of a sound corpus nothing is."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from serjax.data.folds.fold import Fold
from serjax.data.suspicions import find_suspicions
from serjax.data.utterance import Utterance


def corpus(people=4, classes=2, clips=20):
    return [
        Utterance(f"s{s}/c{c}-{n}", Path("x.wav"), f"c{c}", f"s{s}")
        for s in range(people)
        for c in range(classes)
        for n in range(clips)
    ]


def halves(clips):
    middle = len(clips) // 2
    one, other = tuple(range(middle)), tuple(range(middle, len(clips)))
    return [Fold(1, one, one, other), Fold(2, other, other, one)]


def found(clips, lengths=None, folds=None):
    lengths = np.full(len(clips), 16000) if lengths is None else lengths
    return find_suspicions(clips, lengths, folds or halves(clips))


def test_of_a_sound_corpus_nothing_is_told():
    assert found(corpus()) == []


def test_small_and_uneven_classes():
    clips = corpus()
    rest = [clip for clip in clips if clip.label == "c1"][::20]
    told = found([*(clip for clip in clips if clip.label == "c0"), *rest], folds=[Fold(1, (0,), (0, 80), (0, 80))])
    assert told == [
        "Class c1 has 4 clips: one answer moves its recall by 25 points.",
        "Class c0 has 20 times as many clips as c1; UA and macro-F1 count classes alike, and --train.balance can too.",
    ]


def test_classes_of_one_speaker_each():
    clips = [replace(clip, speaker=f"of {clip.label}") for clip in corpus()]
    assert found(clips) == [
        "All clips of c0, c1 are of one speaker each: a voice cannot be told from an emotion there.",
        "Every speaker has clips of one class only: a model may tell voices apart in place of emotions.",
    ]
    assert found([replace(clip, speaker=None) for clip in clips]) == []


def test_short_clips_but_not_those_without_sound():
    lengths = np.full(160, 16000)
    lengths[3] = 100
    assert found(corpus(), lengths) == ["Clips shorter than 0.5 s: 1 (s0/c0-3); see whether they hold speech."]
    assert found(corpus(), np.zeros(160, np.int64)) == []


def test_folds_without_a_class_or_of_unequal_size():
    clips = corpus()
    everything = tuple(range(160))
    folds = [Fold(1, everything, everything[:20], everything[20:]), Fold(2, everything, everything, everything[:40])]
    assert found(clips, folds=folds) == [
        "Fold 1 has no clip of c1 in its validation part.",
        "Folds test 40 to 140 clips, which a mean over folds counts alike.",
    ]


def test_sentences_that_are_trained_on():
    clips = [replace(clip, text=clip.id[-1]) for clip in corpus(clips=4)]
    clips = [replace(clip, text="alone") if clip.id in ("s0/c0-0", "s0/c0-1") else clip for clip in clips]
    told = found(clips, folds=halves(clips))
    assert told[-1] == (
        "94% of tested clips say a sentence that their fold has trained on; --folds.disjoint text keeps sentences "
        "apart."
    )
    assert not any("sentence" in one for one in found([replace(clips[0], text=None), *clips[1:]]))
