"""The synthetic corpus: whole, repeatable, and as hard as it says, to the ear and to the eye."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from serjax.data.corpora.synthetic import corpus as synthetic
from serjax.data.corpora.synthetic.corpus import EMOTIONS, FACES, render, speaker, synthetic_frames
from serjax.runtime.errors import UserError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return render(tmp_path_factory.mktemp("synthetic") / "corpus", seed=0, clips_per_class=40)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_a_folder_a_class_with_the_same_speakers(corpus):
    assert sorted(path.name for path in corpus.iterdir() if path.is_dir()) == sorted(EMOTIONS)
    for emotion in EMOTIONS:
        clips = sorted((corpus / emotion).iterdir())
        assert [clip.name for clip in clips] == [f"spk{s:02d}_{n:02d}.flac" for s in range(1, 11) for n in range(4)]
        assert speaker(clips[5]) == "spk02"
        assert {soundfile.info(clip).samplerate for clip in clips} == {16_000}


def test_a_speaker_says_the_texts_in_turn(tmp_path):
    few = {"seed": 1, "speakers": 1, "clips_per_class": 2}
    one, two = (contents(render(tmp_path / str(texts), **few, texts=texts)) for texts in (1, 2))
    for emotion in EMOTIONS:
        first, second = (Path(emotion, f"spk01_0{number}.flac") for number in (0, 1))
        assert one[first] == two[first]
        assert one[second] != two[second]
    with pytest.raises(UserError, match="holds something else than the synthetic corpus"):
        render(tmp_path / "1", **few, texts=2)


def test_the_seed_decides_everything(tmp_path):
    few = {"speakers": 2, "clips_per_class": 4}
    first = contents(render(tmp_path / "a", seed=1, **few))
    assert contents(render(tmp_path / "b", seed=1, **few)) == first
    other = contents(render(tmp_path / "c", seed=2, **few))
    assert other.keys() == first.keys()
    assert not set(other.values()) & set(first.values())
    assert len(set(first.values())) == len(first)


def test_a_clip_depends_on_no_other(tmp_path):
    small = contents(render(tmp_path / "a", seed=1, speakers=2, clips_per_class=2))
    large = contents(render(tmp_path / "b", seed=1, speakers=2, clips_per_class=6))
    assert all(large[path] == content for path, content in small.items() if path.suffix == ".flac")


def test_a_corpus_that_is_there_is_kept(tmp_path, monkeypatch):
    few = {"seed": 1, "speakers": 2, "clips_per_class": 2}
    before = contents(render(tmp_path / "corpus", **few))
    monkeypatch.setattr(synthetic, "speak", None)
    assert contents(render(tmp_path / "corpus", **few)) == before
    with pytest.raises(UserError, match="something else than the synthetic corpus of seed 2 and version"):
        render(tmp_path / "corpus", **few | {"seed": 2})


def test_a_folder_of_others_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(UserError, match="something else than the synthetic corpus"):
        render(tmp_path, seed=0)
    assert contents(tmp_path) == {Path("thesis.txt"): b"important"}


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"the disk is full \(.* are free\); make room .* --data\.root DIR"):
        render(tmp_path / "corpus", seed=0, speakers=1, clips_per_class=1)
    assert list(tmp_path.iterdir()) == []


def prosody(path):
    """Return level, duration, pitch, its movement and slope, and brightness of a clip."""
    samples, rate = soundfile.read(path)
    frames = np.lib.stride_tricks.sliding_window_view(samples, 640)[::160] * np.hanning(640)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames, 2_048)) ** 2)
    lags = correlation[:, 40:230].argmax(axis=1) + 40
    loud = correlation[:, 0] > 0.01 * correlation[:, 0].max()
    voiced = loud & (correlation[np.arange(len(lags)), lags] > 0.4 * correlation[:, 0])
    pitch = 12 * np.log2(rate / lags[voiced])
    power, frequency = np.abs(np.fft.rfft(samples)) ** 2, np.fft.rfftfreq(len(samples), 1 / rate)
    bright = np.log(power[(frequency > 1_000) & (frequency < 4_000)].sum() / power[frequency < 1_000].sum())
    slope = np.polyfit(np.arange(len(pitch)), pitch, 1)[0]
    return [np.log(samples.std()), len(samples), np.median(pitch), pitch.std(), np.diff(pitch).std(), slope, bright]


def test_prosody_tells_emotions_of_new_speakers_well_but_not_perfectly(corpus):
    paths = sorted(corpus.rglob("*.flac"))
    values = np.array([prosody(path) for path in paths])
    labels = np.array([path.parent.name for path in paths])
    speakers = np.array([speaker(path) for path in paths])

    def score(columns):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
        predicted = cross_val_predict(model, values[:, columns], labels, groups=speakers, cv=GroupKFold(5))
        return balanced_accuracy_score(labels, predicted)

    assert 0.7 < score(list(range(7))) < 0.97
    assert max(score([column]) for column in range(7)) < 0.75
    means = {label: values[labels == label].mean(axis=0) for label in EMOTIONS}
    order = {0: "sad neutral happy anger", 1: "anger happy neutral sad", 2: "sad neutral anger happy"}
    for column, sorted_labels in order.items():
        assert sorted(means, key=lambda label: means[label][column]) == sorted_labels.split()
    assert means["anger"][5] < means["neutral"][5] < means["happy"][5]
    assert means["sad"][6] < means["neutral"][6] < means["happy"][6] < means["anger"][6]


def test_frames_are_a_matter_of_label_seed_speaker_and_clip():
    asked = {"label": "sad", "seed": 1, "speaker": "spk01", "clip": "sad/spk01_00"}
    frames = synthetic_frames(**asked)
    assert (frames.shape, frames.dtype) == ((8, 112, 112, 3), np.uint8)
    np.testing.assert_array_equal(synthetic_frames(**asked), frames)
    others = [{"label": "happy"}, {"seed": 2}, {"speaker": "spk02"}, {"clip": "sad/spk01_01"}, {"speaker": None}]
    for other in others:
        assert np.abs(synthetic_frames(**asked | other).astype(int) - frames).mean() > 3
    assert synthetic_frames(**asked, count=3, size=40).shape == (3, 40, 40, 3)
    assert np.abs(np.diff(frames.astype(int), axis=0)).mean(axis=(1, 2, 3)).min() > 1  # it moves


def test_a_speaker_looks_the_same_in_every_clip():
    def colours(who, clip):
        """Return the hues of wall and hair, whatever the light."""
        frame = synthetic_frames("calm", 0, speaker=who, clip=clip)[0].astype(float)
        wall = frame[2:8, 2:8].mean((0, 1))
        return wall / wall.sum()

    own = [np.ptp([colours(f"s{who}", f"c{clip}") for clip in range(4)], axis=0).max() for who in range(6)]
    among = np.ptp([colours(f"s{who}", "c") for who in range(6)], axis=0).max()
    assert max(own) < 0.02 < among


def test_every_emotion_shares_its_face_with_one_of_another_voice():
    assert FACES["anger"] is FACES["sad"] is not FACES["happy"] is FACES["neutral"]
    groups = {}
    for label in ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"):
        groups.setdefault(FACES[label], []).append(label)
    assert sorted(groups.values()) == [
        ["calm", "surprised"],
        ["fearful", "disgust"],
        ["neutral", "happy"],
        ["sad", "angry"],
    ]
    with pytest.raises(UserError, match=r"^No face can be drawn for the label smug; .* one of anger, angry, sad"):
        synthetic_frames("smug", 0)


@pytest.mark.slow
def test_faces_of_new_speakers_tell_half_of_what_there_is_to_know():
    pixels, labels, speakers = [], [], []
    for label in EMOTIONS:
        for who in range(10):
            for clip in range(5):
                frames = synthetic_frames(label, 0, speaker=f"s{who}", clip=f"{label}{who}{clip}")
                coarse = frames.mean(-1).reshape(8, 28, 4, 28, 4).mean((2, 4))
                pixels.append(np.concatenate([coarse.mean(0).ravel(), coarse.std(0).ravel()]))
                labels.append(label)
                speakers.append(who)
    shared = [label in ("happy", "neutral") for label in labels]

    def score(truth):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=1_000))
        predicted = cross_val_predict(model, pixels, truth, groups=speakers, cv=GroupKFold(5))
        return balanced_accuracy_score(truth, predicted)

    assert 0.75 < score(shared) < 0.97
    assert 0.3 < score(labels) < 0.55
