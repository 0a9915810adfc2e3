"""A corpus made ready for training: classes, folds, notes, skipped clips, and clips of video or face features."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from serjax.audio.config import AugmentConfig
from serjax.data.config import DataConfig, FoldsConfig
from serjax.data.dataset import open_channel, read_data
from serjax.data.store.face_features import FaceFeatures
from serjax.data.target_config import TargetConfig
from serjax.runtime.errors import UserError
from serjax.video.config import VideoConfig

LABELS = ("high", "low")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two clips of each of four speakers and two labels."""
    root, rng = tmp_path_factory.mktemp("corpus") / "tones", np.random.default_rng(0)
    for label in LABELS:
        (root / label).mkdir(parents=True)
        for speaker in range(4):
            for number in range(2):
                soundfile.write(root / label / f"{label}_spk{speaker}_{number}.wav", rng.normal(0, 0.1, 3_000), 16_000)
    return root


def read(root, cache, folds=FoldsConfig(count=2), *, modalities=frozenset({"sound"}), video=None, seed=0, **data):  # noqa: B008
    config = DataConfig(root=str(root), **{"speaker_pattern": r"(?P<speaker>spk\d)"} | data)
    return read_data(config, folds, seed=seed, cache=cache, modalities=modalities, video=video)


def test_clips_have_classes_and_speaker_disjoint_folds(root, tmp_path):
    data = read(root, tmp_path)
    assert (data.labels, len(data.store), data.corpus) == (LABELS, 16, "tones")
    assert data.classes.dtype == np.int32
    assert [data.labels[one] for one in data.classes] == [clip.label for clip in data.store.utterances]
    assert [fold.number for fold in data.folds] == [1, 2]
    for fold in data.folds:
        used = {data.store.utterances[i].speaker for i in fold.train}
        assert not used & {data.store.utterances[i].speaker for i in fold.test}
    assert data.frames is None
    assert (tmp_path / "clips").is_dir()


def test_classes_follow_the_order_of_labels(root, tmp_path):
    data = read(root, tmp_path, labels=("low", "high"))
    assert data.labels == ("low", "high")
    assert [data.labels[one] for one in data.classes] == [clip.label for clip in data.store.utterances]


def test_another_seed_divides_anew(root, tmp_path):
    found = {read(root, tmp_path, seed=seed).folds for seed in range(4)}
    assert len(found) > 1
    assert read(root, tmp_path, seed=0).folds == read(root, tmp_path, seed=0).folds


def test_what_was_found_is_logged(root, tmp_path, caplog):
    caplog.set_level("INFO", "serjax")
    read(root, tmp_path)
    assert "16 clips, 4 speakers, 2 classes (high 8, low 8)." in caplog.text


def test_sound_that_evaluation_never_hears_is_told(root, tmp_path, caplog):
    caplog.set_level("INFO", "serjax")
    sentence = "100% of the clips are longer, and 47% of all sound is never heard in it."
    assert sentence in read(root, tmp_path, max_seconds=0.1).corpus_notes[-1]
    assert sentence in caplog.text
    assert not any("never heard" in note for note in read(root, tmp_path).corpus_notes)


def test_fewer_speakers_than_folds_are_told(root, tmp_path, caplog):
    data = read(root, tmp_path, FoldsConfig(count=7))
    assert len(data.folds) == 4
    sentence = "4 speakers make 4 folds that test one of them each, not the 7 of --folds.count."
    assert sentence in data.corpus_notes
    assert sentence in caplog.text


def test_speakers_that_are_left_out_are_told_as_leakage(root, tmp_path):
    with pytest.raises(UserError, match=r"each in several classes: spk0, spk1, spk2 and 1 more\. Keep them apart with"):
        read(root, tmp_path, speaker_pattern=None)
    notes = read(root, tmp_path, speaker_pattern=None, speakers="unknown").leakage_notes
    assert notes[0] == (
        "The clips' names seem to hold speakers that are not used: --data.speaker-pattern '(?P<speaker>spk\\d+)' "
        "(4 speakers) would. They may stand on both sides of a fold, which raises scores."
    )
    assert "16 of 16 clips name no speaker" in notes[1]


def test_bad_clips_stop_or_are_skipped(root, tmp_path, caplog):
    copy = shutil.copytree(root, tmp_path / "tones")
    (copy / "low" / "low_spk0_9.wav").write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"(?s)1 of 17 clips.*low_spk0_9"):
        read(copy, tmp_path)
    data = read(copy, tmp_path, skip_bad=True)
    assert len(data.store) == len(data.classes) == 16
    assert [line for line in data.store.skipped if "low_spk0_9" in line]
    assert "skipped: " in caplog.text


def test_copies_across_folds_are_told_and_left_out(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "tones")
    shutil.copy(copy / "low" / "low_spk0_0.wav", copy / "low" / "low_spk3_9.wav")
    data = read(copy, tmp_path)
    names = [clip.id for clip in data.store.utterances]
    pair = {names.index("low/low_spk0_0"), names.index("low/low_spk3_9")}
    for fold in data.folds:
        assert not (pair & set(fold.test) and pair & set(fold.train))
    assert any("hold the same samples" in note for note in data.leakage_notes)


def test_face_features_stand_beside_the_clips(root, tmp_path):
    ids = [path.stem for path in sorted(root.rglob("*.wav"))]
    values = np.random.default_rng(0).normal(size=(len(ids), 5)).astype(np.float32)
    np.savez(tmp_path / "features.npz", ids=np.array(ids), au=values)
    video = VideoConfig(face_features=str(tmp_path / "features.npz"), num_face_features=5)
    both = frozenset({"sound", "video"})
    data = read(root, tmp_path, modalities=both, video=video)
    assert isinstance(data.frames, FaceFeatures)
    rows, counts = data.frames.rows(np.array([0, 15]))
    expected = [values[ids.index(data.store.utterances[i].path.stem)] for i in (0, 15)]
    np.testing.assert_array_equal(rows[:, 0], expected)
    assert counts.tolist() == [1, 1]


def test_drawn_video_without_sound_decodes_no_sound(root, tmp_path):
    renamed = tmp_path / "map.json"
    renamed.write_text(json.dumps({"high": "happy", "low": "sad"}))
    video = VideoConfig(drawn=True, frames=2, size=32)
    data = read(root, tmp_path, modalities=frozenset({"video"}), video=video, label_map=str(renamed))
    assert set(data.store.lengths) == {0}
    frames, counts = data.frames.rows(np.array([0, 1]))
    assert frames.shape == (2, 2, 32, 32, 3)
    assert counts.tolist() == [2, 2]
    assert not (tmp_path / "clips").exists()


def test_a_large_dc_offset_is_told_unless_it_is_filtered(root, tmp_path):
    shutil.copytree(root, tmp_path / "tones")
    path = tmp_path / "tones" / "low" / "low_spk1_0.wav"
    samples, rate = soundfile.read(path)
    soundfile.write(path, samples + 0.05, rate)
    (note,) = [note for note in read(tmp_path / "tones", tmp_path).corpus_notes if "DC offset" in note]
    assert note.startswith("1 clips have a DC offset above 20% of their RMS (low/low_spk1_0)")
    assert not any("DC offset" in note for note in read(tmp_path / "tones", tmp_path, highpass=20.0).corpus_notes)


def test_files_that_break_off_are_refused_or_left_out(root, tmp_path):
    shutil.copytree(root, tmp_path / "tones")
    path = tmp_path / "tones" / "low" / "low_spk1_0.wav"
    path.write_bytes(path.read_bytes()[: 44 + 2 * 1_400])
    with pytest.raises(UserError, match=r"1 of 16 clips cannot be used.*\n.*low_spk1_0\.wav: it breaks off 0\.100 s"):
        read(tmp_path / "tones", tmp_path)
    assert len(read(tmp_path / "tones", tmp_path, skip_bad=True).store) == 15


def test_channel_holds_every_clip_through_each_codec(root, tmp_path):
    data, config = read(root, tmp_path), DataConfig(root=str(root))
    channel = open_channel(data, config, AugmentConfig(codec=("telephone", "mp3"), babble_p=0.1), tmp_path)
    assert [len(store) for store in channel.coded] == [len(data.store)] * 2
    assert channel.coded[0].utterances == data.store.utterances
    assert not np.array_equal(channel.coded[0].clip(0), data.store.clip(0))
    assert open_channel(data, config, AugmentConfig(codec=("opus",), codec_p=0.0, babble_p=0.1), tmp_path).coded == ()
    assert open_channel(data, config, AugmentConfig(noise_p=0.5), tmp_path) is None


def test_labels_that_are_not_learned_do_not_hinder_folds(tmp_path):
    """One clip of a rare label can be in no training part of all folds, and must not forbid them."""
    lines = ["path,speaker,label,arousal"]
    for place in range(8):
        soundfile.write(tmp_path / f"{place}.wav", np.random.default_rng(place).normal(0, 0.1, 4000), 16_000)
        lines.append(f"{place}.wav,s{place % 4},{'rare' if not place else 'usual'},{place / 7}")
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    config, folds = DataConfig(root=str(tmp_path / "list.csv")), FoldsConfig(count=2)
    with pytest.raises(UserError, match="Class rare has 1 speaker"):
        read_data(config, folds, seed=0, cache=tmp_path / "cache")
    target = TargetConfig(kind="dimensions", dimensions=("arousal=0:1",))
    data = read_data(config, folds, seed=0, cache=tmp_path / "cache", target=target)
    assert sorted(clip for fold in data.folds for clip in fold.test) == list(range(8))
    assert data.targets is not None
    assert data.outputs == 1
