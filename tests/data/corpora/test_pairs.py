"""Videos find their sounds by name, whatever the folders, and what finds none is named."""

import string
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from empty_files import fill
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serjax.data.corpora.filenames import RAVDESS_EMOTIONS
from serjax.data.corpora.pairs import length_note, read_pairs
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError
from serjax.video import decode

SHARED = Path(__file__).parents[3] / "../shared/data"
real = pytest.mark.skipif(not SHARED.is_dir(), reason="the real recordings are not here")
examples = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def sounding(monkeypatch):
    """Which of the empty files that stand for videos have sound: those whose names begin with 01 or s."""
    asked = decode.has_sound
    monkeypatch.setattr(
        decode, "has_sound", lambda path: asked(path) if path.stat().st_size else path.name.startswith(("01", "s"))
    )


def found(root, **options):
    """Return the pairs as names of video and sound, and the notes."""
    pairs = read_pairs(root, **options)
    return {(clip.video.name, clip.path.name) for clip in pairs.utterances}, pairs.notes


ravdess_keys = st.tuples(*(st.integers(1, top) for top in (1, 8, 2, 2, 2, 24)))
modalities = st.sets(st.sampled_from(("01", "02", "03")), min_size=1)
folders = st.lists(st.sampled_from(("Actor_01", "video", "audio", "Video_Speech")), max_size=2).map("/".join)


@examples
@given(data=st.data(), clips=st.dictionaries(ravdess_keys, modalities, max_size=12))
def test_ravdess_pairs_on_all_fields_but_the_first(tmp_path_factory, data, clips):
    clips = {"-".join(f"{field:02d}" for field in key): kinds for key, kinds in clips.items()}
    clips["01-01-01-01-01-01"] = {"02", "03"}
    clips["02-05-01-01-01-01"] = {"02", "03"}  # a song
    root = tmp_path_factory.mktemp("ravdess")
    expected, alone, spare = set(), set(), 0
    for key, kinds in clips.items():
        names = {
            kind: f"{kind}-{key}" + (data.draw(st.sampled_from((".wav", ".flac"))) if kind == "03" else ".mp4")
            for kind in kinds
        }
        for name in names.values():
            fill(root, f"{data.draw(folders)}/{name}".lstrip("/"))
        if key.startswith("02"):
            continue
        video = names.get("02") or names.get("01")
        sound = names.get("03") or names.get("01")
        if video and sound:
            expected.add((video, sound))
            spare += len({*names.values()} - {video, sound})
        else:
            alone.update(names.values())
    pairs = read_pairs(root)
    assert {(clip.video.name, clip.path.name) for clip in pairs.utterances} == expected
    assert (pairs.name, pairs.order) == ("RAVDESS", RAVDESS_EMOTIONS)
    for clip in pairs.utterances:
        fields = clip.path.stem.split("-")
        assert clip.label == RAVDESS_EMOTIONS[int(fields[2]) - 1]
        assert clip.speaker == fields[6]
        assert clip.id == clip.path.relative_to(root).with_suffix("").as_posix()
    assert [clip.path for clip in pairs.utterances] == sorted(clip.path for clip in pairs.utterances)
    assert "2 songs are left out; --data.corpus ravdess_song or ravdess_all reads them." in pairs.notes
    named = [note for note in pairs.notes if "no partner" in note]
    assert len(named) == bool(alone)
    if alone:
        assert named[0].startswith(f"{len(alone)} files have no partner and are left out: ")
        listed = [name for name in alone if name in named[0]]
        assert len(listed) == min(len(alone), 8)
    assert (f"{spare} files are left out, as others are of the same clips." in pairs.notes) == bool(spare)


words = st.text(string.ascii_lowercase, min_size=2, max_size=4).map("x".__add__)
classes = st.sampled_from(("anger", "joy", "sad"))
layouts = st.sampled_from(("{c}/{p}", "train/{c}/{p}", "{k}/{c}/{p}", "{k}/train/{c}/{p}"))


def fill_classes(root, layout, clips):
    for (label, below, stem), kinds in clips.items():
        for kind, suffix in (("video", ".mp4"), ("sound", ".wav")):
            if kinds in (kind, "both"):
                fill(root, layout.format(k=kind, c=label, p="/".join((*below, stem))) + suffix)


places = st.tuples(classes, st.lists(words, max_size=1).map(tuple))


@examples
@given(layout=layouts, names=st.dictionaries(words, st.tuples(places, st.sampled_from(("both", "video", "sound")))))
def test_a_folder_a_class_pairs_by_names(tmp_path_factory, layout, names):
    names |= {"one": (("anger", ()), "both"), "two": (("sad", ()), "both")}
    root = tmp_path_factory.mktemp("classes")
    fill_classes(root, layout, {(*place, stem): kinds for stem, (place, kinds) in names.items()})
    pairs = read_pairs(root)
    both = {stem: place for stem, (place, kinds) in names.items() if kinds == "both"}
    assert {clip.path.stem: clip.label for clip in pairs.utterances} == {s: label for s, (label, _) in both.items()}
    assert all(clip.video.stem == clip.path.stem for clip in pairs.utterances)
    count = len(names) - len(both)
    assert any(note.startswith(f"{count} files have no partner") for note in pairs.notes) == bool(count)


@examples
@given(
    layout=layouts, clips=st.sets(st.tuples(classes, st.lists(words, max_size=1).map(tuple), st.sampled_from("abc")))
)
def test_names_that_come_again_pair_where_they_are(tmp_path_factory, layout, clips):
    clips |= {("anger", (), "a"), ("sad", (), "a")}
    root = tmp_path_factory.mktemp("classes")
    fill_classes(root, layout, dict.fromkeys(clips, "both"))
    pairs = read_pairs(root)
    assert len(pairs.utterances) == len(clips)
    for clip in pairs.utterances:
        place = f"/{clip.label}/"
        assert place in str(clip.path)
        assert str(clip.path).partition(place)[2][:-4] == str(clip.video).partition(place)[2][:-4]


def test_names_that_come_again_in_every_class_pair_within_it(tmp_path):
    fill(
        tmp_path, *(f"{label}/{n}{suffix}" for label in ("anger", "sad") for n in (1, 2) for suffix in (".avi", ".wav"))
    )
    pairs = read_pairs(tmp_path)
    assert len(pairs.utterances) == 4
    assert all(clip.video.with_suffix("") == clip.path.with_suffix("") for clip in pairs.utterances)
    assert pairs.order == ()
    assert pairs.notes == (
        "A folder a class: the labels are the folders' names; videos and sounds go together by their names.",
        "4 pairs of video and sound.",
    )


def test_sound_inside_serves_where_there_is_no_other(tmp_path):
    fill(tmp_path, "anger/s1.mp4", "anger/s2.mp4", "anger/s2.flac", "sad/x3.webm", "sad/s4.flv")
    names, notes = found(tmp_path)
    assert names == {("s1.mp4", "s1.mp4"), ("s2.mp4", "s2.flac"), ("s4.flv", "s4.flv")}
    assert "3 pairs of video and sound, 2 with the sound inside." in notes
    assert "1 files have no partner and are left out: x3.webm (no sound)." in notes


def test_a_video_that_cannot_be_read_is_left_to_the_store(tmp_path):
    fill(tmp_path, "anger/a.mp4", "anger/a.wav", "sad/b.mp4", "sad/b.wav", "sad/c.mp4")
    (tmp_path / "sad/c.mp4").write_bytes(b"no video")
    assert ("c.mp4", "c.mp4") in found(tmp_path)[0]


def test_crema_d_as_published(tmp_path):
    fill(tmp_path, *(f"AudioWAV/{n}_IEO_{e}.wav" for n in (1001, 1091) for e in ("ANG_HI", "SAD_LO")))
    fill(tmp_path, *(f"VideoFlash/{n}_IEO_{e}.flv" for n in (1001, 1091) for e in ("ANG_HI", "SAD_LO")))
    fill(tmp_path, "small/1001_IEO_ANG_HI_224.mp4")
    pairs = read_pairs(tmp_path)
    assert pairs.name == "CREMA-D"
    assert {(clip.speaker, clip.label) for clip in pairs.utterances} == {
        (speaker, label) for speaker in ("1001", "1091") for label in ("anger", "sad")
    }
    assert all(clip.video.suffix == ".flv" and clip.video.stem == clip.path.stem for clip in pairs.utterances)
    assert "1 files are left out, as others are of the same clips." in pairs.notes


def test_a_resized_video_stands_in_for_the_whole_one(tmp_path):
    fill(tmp_path, "01-01-08-02-01-01-19_224.mp4", "02-01-03-01-01-01-02_720p.mp4", "03-01-03-01-01-01-02.flac")
    assert found(tmp_path)[0] == {
        ("01-01-08-02-01-01-19_224.mp4", "01-01-08-02-01-01-19_224.mp4"),
        ("02-01-03-01-01-01-02_720p.mp4", "03-01-03-01-01-01-02.flac"),
    }


def test_sounds_of_another_folder(tmp_path):
    fill(tmp_path / "video", "02-01-03-01-01-01-02.mp4")
    fill(tmp_path / "sound", "Actor_02/03-01-03-01-01-01-02.wav", "Actor_02/03-01-03-01-01-02-02.wav")
    pairs = read_pairs(tmp_path / "video", audio_root=tmp_path / "sound")
    assert [clip.id for clip in pairs.utterances] == ["Actor_02/03-01-03-01-01-01-02"]
    fill(tmp_path / "video2", "anger/a.mp4", "sad/b.mp4")
    fill(tmp_path / "sound2", "anger/a.wav", "sad/b.wav")
    assert len(read_pairs(tmp_path / "video2", audio_root=tmp_path / "sound2").utterances) == 2


def test_without_a_listener_silent_videos_are_clips_and_the_others_stay_what_they_are(tmp_path):
    fill(tmp_path, "anger/b.mp4", "sad/c.mp4", "z/anger/b.wav", "z/sad/c.wav", "anger/s_d.mp4")
    fill(tmp_path, "z/sad/lonely.wav")
    heard = read_pairs(tmp_path, "folder")
    fill(tmp_path, "sad/a.mp4", "anger/e.webm")
    assert read_pairs(tmp_path, "folder").utterances == heard.utterances
    seen = read_pairs(tmp_path, "folder", silent=True)
    assert [clip for clip in seen.utterances if clip.id not in ("sad/a", "anger/e")] == list(heard.utterances)
    silent = [(clip.id, clip.path, clip.label) for clip in seen.utterances if clip not in heard.utterances]
    assert silent == [
        ("anger/e", tmp_path / "anger/e.webm", "anger"),
        ("sad/a", tmp_path / "sad/a.mp4", "sad"),
    ]
    assert all(clip.video is not None for clip in seen.utterances)
    assert "5 videos; nothing listens to their sound." in seen.notes
    assert "1 files have no partner and are left out: lonely.wav (no video)." in seen.notes
    # Of RAVDESS's two videos of a clip one has sound: the clip has its name, with a listener or without.
    actor = fill(tmp_path / "r", *(f"{kind}-01-0{e}-01-01-01-02.mp4" for kind in ("01", "02") for e in (3, 4)))
    assert read_pairs(actor).utterances == read_pairs(actor, silent=True).utterances


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        (["a/b.wav"], {}, r"^--data\.root .*: there are no videos below it; give"),
        (
            ["anger/a.mp4", "sad/a.wav", "sad/b.mp4", "anger/c.wav"],
            {},
            r"^.*anger/a\.mp4: it lies in anger, but its sound .*sad/a\.wav in sad; move one of them, or rename it if",
        ),
        (
            ["a/x.mp4", "b/y.mp4", "a/z.wav", "b/w.wav"],
            {},
            "none of its 2 videos has sound inside, and none of the 2 sound",
        ),
        (["02-02-01-01-01-01-01.mp4", "03-01-01-01-01-01-01.wav"], {}, "its videos are of songs alone; give"),
        (["a/x.mp4", "a/y.mp4"], {"corpus": "ravdess"}, r"2 file names are not those of RAVDESS \(a/x, a/y\)"),
        (["02-01-01-01-01-01-01.mp4", "y.wav"], {}, r"1 file names are not those of RAVDESS \(y\); move them away"),
        (["x.mp4", "a/y.mp4", "b/y.mp4"], {}, r"1 files lie directly in it and have no label \(x\.mp4\)"),
        (["a/x.mp4", "a/x.flv", "b/y.mp4"], {}, r"a/x\.flv and a/x\.mp4 would both be the clip a/x; rename"),
    ],
)
def test_what_does_not_pair_is_said_in_one_sentence(tmp_path, files, options, message):
    fill(tmp_path, *files)
    with pytest.raises(UserError, match=message) as caught:
        read_pairs(tmp_path, **options)
    assert len(str(caught.value).splitlines()) == 1


def test_a_sound_of_another_length_is_noted(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(32_000), 16_000)
    clip = Utterance("a", tmp_path / "a.wav", "sad", video=tmp_path / "a.mp4")
    assert length_note(clip, 2.9) is None
    assert length_note(clip, 1.1) is None
    note = f"{tmp_path / 'a.mp4'}: it lasts 3.50 s, but its sound a.wav 2.00 s; neither is cut."
    assert length_note(clip, 3.5) == note
    assert length_note(clip, 0.5) is not None
    for other in (
        Utterance("a", clip.path, "sad"),
        Utterance("a", clip.video, "sad", video=clip.video),
        replace(clip, end=1.0),
    ):
        assert length_note(other, 9.0) is None
    (tmp_path / "a.wav").write_bytes(b"no sound")
    assert length_note(clip, 9.0) is None


@real
def test_the_real_clips_pair():
    pairs = read_pairs(SHARED / "av_clips/crema_d")
    assert pairs.name == "CREMA-D"
    assert len(pairs.utterances) == 6
    assert {clip.video.suffix for clip in pairs.utterances} == {".flv"}
    assert "6 files are left out, as others are of the same clips." in pairs.notes
    assert any(
        n.startswith("6 files have no partner and are left out: 1002_DFA_ANG_XX.flac (no video)") for n in pairs.notes
    )
    (clip,) = read_pairs(SHARED / "av_clips/ravdess", audio_root=SHARED / "ravdess").utterances
    assert clip.path.name == "03-01-08-02-01-01-19.flac"
    assert clip.video.name == "01-01-08-02-01-01-19.mp4"
    assert (clip.label, clip.speaker) == ("surprised", "19")
    with pytest.raises(UserError, match="none of its 2 videos has sound inside"):
        read_pairs(SHARED / "av_clips/ravdess")
