"""The store of frames: what decoding gives, once, with a word on every video that is not as it should be."""

import os
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from serjax.data.corpora.synthetic.corpus import synthetic_frames
from serjax.data.store.video import open_drawn, open_frames
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError
from serjax.video.decode import read
from serjax.video.faces import find_face

SHARED = Path(__file__).parents[3] / "../shared/data/av_clips"
real = pytest.mark.skipif(not SHARED.is_dir(), reason="the real recordings are not here")


@pytest.fixture
def clips(tmp_path, film):
    """Videos of noise with sound beside them."""
    utterances = []
    for i in range(4):
        pictures = np.random.default_rng(i).integers(0, 256, (10, 48, 64, 3), np.uint8)
        video = film(tmp_path / f"clip{i}.mp4", pictures, range(0, 2_000, 200))
        soundfile.write(tmp_path / f"clip{i}.wav", np.full(32_000, 0.1), 16_000)
        utterances.append(Utterance(f"clip{i}", tmp_path / f"clip{i}.wav", "sad", f"spk{i}", video=video))
    return utterances


@pytest.fixture
def decoded(monkeypatch):
    """The paths that were decoded, in no certain order."""
    paths = []

    def counting(path, *args, **options):
        paths.append(path)
        return read(path, *args, **options)

    monkeypatch.setattr("serjax.video.decode.read", counting)
    return paths


def test_frames_are_what_read_gives_in_their_order(tmp_path, clips, decoded):
    stretch = replace(clips[1], id="stretch", start=0.5, end=1.2)
    store = open_frames([clips[2], stretch, *clips], tmp_path / "frames", skip_bad=False)
    assert store.utterances == (clips[2], stretch, *clips)
    assert store.frames.shape == (6, 8, 112, 112, 3)
    assert store.frames.dtype == np.uint8
    assert not store.frames.flags.writeable
    for clip, frames in zip(store.utterances, store.frames, strict=True):
        np.testing.assert_array_equal(frames, read(clip.video, start=clip.start, end=clip.end).frames)
    assert store.hashes[0] == store.hashes[4]
    assert len(set(store.hashes)) == 5
    assert len(decoded) == 6
    again = open_frames([clips[2], stretch, *clips], tmp_path / "frames", skip_bad=False)
    assert len(decoded) == 6
    assert again.folder == store.folder
    np.testing.assert_array_equal(store.of([clips[3], stretch]).places, [5, 1])


def test_content_and_options_decide_not_names(tmp_path, clips, decoded):
    folder = open_frames(clips, tmp_path / "frames", skip_bad=False).folder
    moved = []
    for clip in clips:
        os.utime(clip.video)
        moved.append(replace(clip, id=f"other{clip.id}", video=clip.video.with_suffix(".moved.mp4")))
        clip.video.rename(moved[-1].video)
    decoded.clear()
    store = open_frames(moved, tmp_path / "frames", skip_bad=False)
    assert (decoded, store.folder) == ([], folder)
    assert "othernone" not in store.notes[0]
    assert "otherclip0" in store.notes[0]
    others = [{"count": 4}, {"faces": False}]
    folders = {open_frames(moved, tmp_path / "frames", skip_bad=False, **other).folder for other in others}
    assert len({folder, *folders}) == 3
    assert open_frames(moved, tmp_path / "frames", skip_bad=False, count=4).frames.shape[1] == 4


def test_faces_that_are_not_found_are_counted(tmp_path, clips, monkeypatch):
    store = open_frames(clips, tmp_path / "frames", skip_bad=False)
    assert store.boxes == (None,) * 4
    assert store.notes == ("A face was found in 0 of 4 videos; 4 show the whole picture: clip0, clip1, clip2, clip3.",)
    assert open_frames(clips, tmp_path / "frames", skip_bad=False, faces=False).notes == ()
    boxes = iter([(0, 0, 20, 20)] * 3 + [None])
    monkeypatch.setattr("serjax.video.faces.find_face", lambda picture: next(boxes))
    store = open_frames(clips, tmp_path / "found", skip_bad=False)
    assert sorted(store.boxes, key=str) == [(0, 0, 20, 20)] * 3 + [None]
    assert store.notes[0].startswith("A face was found in 3 of 4 videos; 1 show the whole picture: clip")


def test_videos_that_are_not_as_they_should_be_are_named(tmp_path, clips):
    content = clips[1].video.read_bytes()
    clips[1].video.write_bytes(content[: len(content) // 2])
    soundfile.write(clips[2].path, np.full(80_000, 0.1), 16_000)
    for _ in range(2):  # made, and found again
        store = open_frames(clips, tmp_path / "frames", skip_bad=False, faces=False)
        counts, broken, apart = store.notes
        assert counts == "1 videos break off or are damaged in part; the frames that decode are used."
        assert re.fullmatch(rf"{clips[1].video}: it breaks off after 1\.\d\d of .* s; what is before is used\.", broken)
        assert re.fullmatch(rf"{clips[2].video}: it lasts 1\.8\d s, but its sound clip2\.wav 5\.00 s; .*", apart)
    copy = pickle.loads(pickle.dumps(store))
    assert copy.notes == store.notes
    np.testing.assert_array_equal(copy.frames, store.frames)
    assert len(pickle.dumps(store)) < store.frames[0].nbytes / 10


def test_videos_that_cannot_be_used_are_told_all_at_once_or_skipped(tmp_path, clips):
    clips[0].video.write_bytes(b"no video")
    clips[2].video.unlink()
    clips.append(replace(clips[1], id="alone", video=None))
    with pytest.raises(UserError) as caught:
        open_frames(clips, tmp_path / "frames", skip_bad=False)
    head, *lines = str(caught.value).splitlines()
    assert head.startswith("3 of 5 clips cannot be used; repair")
    assert lines[0].startswith(f"{clips[0].video}: it is not a video")
    assert lines[1].startswith(f"{clips[2].video}: it cannot be opened")
    assert lines[2] == f"{clips[1].path}: no video goes with it; pair it with one, or leave it out."
    store = open_frames(clips, tmp_path / "frames", skip_bad=True)
    assert store.utterances == (clips[1], clips[3])
    assert store.skipped == tuple(lines)
    np.testing.assert_array_equal(store.frames[1], read(clips[3].video).frames)
    np.testing.assert_array_equal(store.of([clips[3]]).places, [1])


def test_faces_are_drawn_for_any_corpus(tmp_path, clips):
    clips = [
        replace(clip, video=None, label=label)
        for clip, label in zip(clips, ("Angry", "calm", "sad", "fear"), strict=True)
    ]
    store = open_drawn(clips, tmp_path / "frames", seed=3)
    assert store.notes == ("Faces are drawn, not filmed: each of 4 clips shows a made-up face with its label.",)
    for clip, frames in zip(clips, store.frames, strict=True):
        np.testing.assert_array_equal(frames, synthetic_frames(clip.label, 3, speaker=clip.speaker, clip=clip.id))
    folders = {
        open_drawn(some, tmp_path / "frames", seed=seed).folder for some in (clips, clips[1:]) for seed in (3, 4)
    }
    assert len(folders) == 4
    assert open_drawn([replace(clips[0], label="sad")], tmp_path / "frames", seed=3).folder not in folders
    with pytest.raises(UserError, match=r"^No face can be drawn for the label smug; use --data\.label-map to rename"):
        open_drawn([replace(clips[0], label="smug")], tmp_path / "frames", seed=3)


@real
def test_real_videos(tmp_path):
    paths = [*sorted((SHARED / "crema_d/flv_orig").iterdir())[:3], SHARED / "mead/eamm_M030_sad.mp4"]
    clips = [Utterance(path.stem, path, "sad", video=path) for path in paths]
    store = open_frames(clips, tmp_path, skip_bad=False)
    assert store.notes == (
        "A face was found in 4 of 4 videos.",
        "1 videos break off or are damaged in part; the frames that decode are used.",
        f"{paths[3]}: it breaks off after 4.44 of 6.28 s; what is before is used.",
    )
    np.testing.assert_array_equal(store.frames[0], read(paths[0], find=find_face).frames)
