"""Numbers of clips, their speakers, votes, values and names."""

from dataclasses import replace
from pathlib import Path

from serjax.data.suspicions.clips import of_clips
from serjax.data.utterance import Utterance


def told(clips):
    return {one.kind: one for one in of_clips(clips)}


def test_of_a_sound_corpus_nothing_is_told(corpus):
    assert told(corpus()) == {}


def test_small_and_uneven_classes(corpus):
    clips = corpus()
    rest = [clip for clip in clips if clip.label == "sad"][::20]
    found = told([*(clip for clip in clips if clip.label == "calm"), *rest])
    assert {kind: one.what for kind, one in found.items()} == {
        "few_clips": "Classes of fewer than 20 clips (sad 4): one answer moves a recall by up to 25 points.",
        "uneven_classes": "Class calm has 20 times as many clips as sad.",
    }
    assert "--train.balance" in found["uneven_classes"].remedy


def test_classes_of_one_speaker_each(corpus):
    clips = [replace(clip, speaker=f"of {clip.label}") for clip in corpus()]
    found = told(clips)
    assert list(found) == ["class_of_one_speaker", "speakers_of_one_class"]
    assert found["class_of_one_speaker"].what.startswith("All clips of calm, sad are of one speaker each")
    assert told([replace(clip, speaker=None) for clip in clips]) == {}


def test_speakers_that_are_not_all_named(corpus):
    clips = corpus()
    clips[3] = replace(clips[3], speaker=None)
    found = told(clips)["unnamed_speakers"]
    assert found.what == "1 clip of 160 without a speaker, which the others name."
    assert found.clips == (clips[3].id,)


def test_stretches_of_recordings_whose_speaker_is_not_named(corpus):
    clips = [replace(clip, path=Path(f"/c/{clip.id[:-1]}.wav"), start=float(n)) for n, clip in enumerate(corpus())]
    assert told(clips) == {}
    found = told([replace(clip, speaker=None) for clip in clips])["stretches_of_one_recording"]
    assert len(found.clips) == 160
    assert "160 clips are stretches of 16 recordings" in found.what


def test_labels_that_votes_are_against(corpus):
    clips = [replace(clip, votes=((clip.label, 2.0), ("other", 1.0))) for clip in corpus()]
    assert told(clips) == {}
    clips[0] = replace(clips[0], votes=(("other", 2.0), (clips[0].label, 1.0)))
    clips[1] = replace(clips[1], votes=(("other", 1.0), (clips[1].label, 1.0)))
    clips[2] = replace(clips[2], votes=())
    found = told(clips)["label_against_votes"]
    assert found.clips == (clips[0].id,)
    assert "1 clip of 159 with votes" in found.what


def test_a_value_that_never_changes(corpus):
    clips = [replace(clip, values=(("arousal", 3.0), ("valence", float(n)))) for n, clip in enumerate(corpus())]
    assert [one.what for one in of_clips(clips)] == ["The value arousal is 3 for all 160 clips that have it."]


def test_a_number_that_stands_for_a_missing_value(corpus):
    clips = [replace(clip, values=(("arousal", 1 + n % 7),)) for n, clip in enumerate(corpus())]
    assert told(clips) == {}
    clips[3] = replace(clips[3], values=(("arousal", 999.0),))
    clips[5] = replace(clips[5], values=(("arousal", float("nan")),))
    found = told(clips)["far_values"]
    assert found.clips == (clips[3].id,)
    assert found.what == ("1 clip with a value arousal far from all others: 999, where nine in ten lie in 1 to 7.")


def test_clips_without_any_label_are_blamed_for_none(corpus):
    clips = [replace(clip, label="", values=(("arousal", float(n)),)) for n, clip in enumerate(corpus(clips=2))]
    assert told(clips) == {}


def named(*paths, speaker=lambda path: None):
    return [
        Utterance(path, Path("/c", path), path.split("/")[0], speaker(path)) for path in paths for _ in range(1)
    ] + [Utterance(f"x{n}", Path(f"/c/x/own-{n}-{label}.wav"), label, "x") for n in range(20) for label in ("a", "b")]


def test_equal_names_in_two_folders():
    names = ("OAF_back_fear.wav", "OAF_bar_fear.wav", "YAF_back_sad.wav")
    found = told(named(*(f"{folder}/{name}" for folder in ("a", "b") for name in names)))["equal_names"]
    assert len(found.clips) == 6
    assert found.what.startswith("3 names of files in several folders (OAF_back_fear.wav")
    codes = told(named("a/03-01-05-01.wav", "b/03-01-05-01.wav"))
    assert "equal_names" in codes


def test_counters_and_texts_that_all_speakers_say_are_no_equal_names():
    counters = [f"{folder}/clip_{n:03d}.wav" for folder in ("a", "b") for n in range(9)]
    assert "equal_names" not in told(named(*counters))
    texts = [f"{who}/{what}.wav" for who in ("ann", "bob") for what in ("dogs", "kids", "doors", "talk")]
    assert "equal_names" not in told(named(*texts, speaker=lambda path: path.split("/")[0]))
    assert "equal_names" in told(named(*texts))
