"""Clips as they are given for an answer: paths, samples with a rate, sound and video apart, and what is no clip."""

import sys

import numpy as np
import pytest
import soundfile

from serjax.audio.decode import decode, resample
from serjax.inference.inputs import Sample, rate_of, read, read_sound
from serjax.runtime.errors import MissingPackage, UserError
from serjax.video.config import VideoConfig

SAMPLES = np.random.default_rng(0).uniform(-0.5, 0.5, (8_000, 2)).astype(np.float32)
PICTURES = np.random.default_rng(1).integers(0, 256, (4, 64, 64, 3), np.uint8)
VIDEO = VideoConfig(frames=2, size=32, faces=False)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, SAMPLES, 8_000, subtype="FLOAT")
    return path


def test_path_array_and_dictionary_give_the_same_samples(clip):
    expected = decode(clip)
    for given in (
        clip,
        str(clip),
        (SAMPLES, 8_000),
        (SAMPLES, np.int64(8_000)),
        {"array": SAMPLES, "sampling_rate": 8e3},
    ):
        np.testing.assert_array_equal(read_sound(given)[0], expected)
        np.testing.assert_array_equal(read(given).wave, expected)
        assert rate_of(given) == 8_000


@pytest.mark.parametrize(
    "clip", [None, SAMPLES, {"array": SAMPLES}, ("a.wav", "b.wav"), 3, [SAMPLES, 8_000, 1], {"audio": "clip.wav"}]
)
def test_what_is_no_sound_is_refused(clip):
    with pytest.raises(UserError, match=r"^a clip is given as \w+; give a path, \(samples, rate in Hz\)"):
        read_sound(clip)


@pytest.mark.parametrize(
    "clip",
    [None, "missing.wav", 3, {"video": "clip.mp4"}, (SAMPLES, 0), (SAMPLES, -1), (SAMPLES, float("nan"))],
)
def test_rate_of_what_cannot_be_read_is_that_of_serjax(clip):
    assert rate_of(clip) == 16_000


def test_rate_that_a_container_does_not_say_is_that_of_serjax(monkeypatch):
    monkeypatch.setattr("serjax.inference.inputs.sample_rate", lambda path: 0)
    assert rate_of("clip.mp4") == 16_000


def test_modalities_of_a_sample():
    wave, frames = np.zeros(400, np.float32), np.zeros((1, 4), np.float32)
    assert Sample(wave).modalities == {"sound"}
    assert Sample(wave[:0], frames).modalities == {"video"}
    assert Sample(wave, frames).modalities == {"sound", "video"}
    assert Sample(wave[:0]).modalities == set()


def test_sound_and_video_apart(clip, tmp_path, film):
    video = film(tmp_path / "mute.mp4", PICTURES)
    found = read({"audio": clip, "video": video}, VIDEO)
    np.testing.assert_array_equal(found.wave, decode(clip))
    assert (found.frames.shape, found.frames.dtype) == ((2, 32, 32, 3), np.uint8)
    assert found.modalities == {"sound", "video"}
    assert read({"video": video}, VIDEO).modalities == {"video"}
    assert read({"audio": clip}, VIDEO).modalities == {"sound"}
    assert rate_of({"audio": clip, "video": video}) == 8_000


def test_sound_of_a_video_is_its_own_unless_not_wanted(tmp_path, film):
    path = film(tmp_path / "clip.mp4", PICTURES, tone=0.3)
    found = read(path, VIDEO)
    np.testing.assert_array_equal(found.wave, decode(path))
    np.testing.assert_array_equal(read({"video": path}, VIDEO).wave, found.wave)
    assert read(path, VIDEO, sound=False).modalities == {"video"}
    assert rate_of(path) == 48_000


def test_sound_file_for_a_model_of_video_has_sound_alone(clip):
    assert read(clip, VIDEO).modalities == {"sound"}


def test_frames_and_face_features_are_taken_as_they_are():
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(read({"video": frames}, VIDEO).frames, frames)
    assert read({"video": frames[:1]}, VIDEO).frames.shape == (1, 32, 32, 3)
    features = VideoConfig(num_face_features=5)
    assert read({"video": np.ones((1, 5), np.float32)}, features).frames.shape == (1, 5)


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (
            np.zeros((2, 16, 16, 3), np.uint8),
            r"the video is uint8 \[2, 16, 16, 3\]; give uint8 \[2, 32, 32, 3\]",
        ),
        (np.zeros((3, 32, 32, 3), np.uint8), r"the video is uint8 \[3, 32, 32, 3\]"),
        (np.zeros((0, 32, 32, 3), np.uint8), r"the video is uint8 \[0, 32, 32, 3\]"),
        (np.zeros((2, 32, 32, 3), np.float32), r"the video is float32"),
    ],
)
def test_frames_of_another_shape_or_type_are_refused(video, message):
    with pytest.raises(UserError, match=message):
        read({"video": video}, VIDEO)


def test_video_file_for_a_model_of_face_features_is_refused():
    with pytest.raises(UserError, match=r"clip\.mp4: these models take 5 face features of a clip and no video"):
        read({"video": "clip.mp4"}, VideoConfig(num_face_features=5))
    with pytest.raises(UserError, match=r"give float32 \[1, 5\] or less"):
        read({"video": np.ones((1, 4), np.float32)}, VideoConfig(num_face_features=5))


def test_face_that_is_not_found_is_noted(tmp_path, film):
    path = film(tmp_path / "clip.mp4", np.full((3, 64, 64, 3), 90, np.uint8))
    found = read({"video": path}, VideoConfig(frames=2, size=32, faces=True))
    assert any(note.endswith("no face is found; the whole picture is looked at.") for note in found.notes)


def test_resampled_samples_are_those_of_the_audio_room():
    np.testing.assert_array_equal(read_sound((SAMPLES, 44_100))[0], resample(SAMPLES, 44_100, 16_000))


def test_url_is_read_as_a_path_but_for_videos(clip):
    np.testing.assert_array_equal(read(clip.as_uri()).wave, decode(clip))
    assert rate_of(clip.as_uri()) == 8_000
    with pytest.raises(UserError, match=r"^memory://a/b\.mp4: videos are read from a disk; copy it there\.$"):
        read("memory://a/b.mp4", VIDEO)
    with pytest.raises(UserError, match="videos are read from a disk"):
        read({"audio": clip.as_uri(), "video": "memory://a/b.mp4"}, VIDEO)


def test_missing_package_is_told_of_a_url_and_raised_for_a_file(clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(UserError, match=r"^memory://a\.wav: URLs of recordings are read by fsspec") as raised:
        read("memory://a.wav")
    assert not isinstance(raised.value, MissingPackage)

    def missing(path):
        raise MissingPackage("PyAV", "video", "Videos are decoded")

    monkeypatch.setattr("serjax.inference.inputs.decode_what_is_there", missing)
    with pytest.raises(MissingPackage):
        read(clip)
