"""Faces: found in every real clip, in the right place, and nowhere else."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from serjax.audio.kinds import VIDEO_SUFFIXES
from serjax.data.corpora.synthetic.corpus import synthetic_frames
from serjax.video import faces as module
from serjax.video.decode import read
from serjax.video.faces import _square, find_face

SHARED = Path(__file__).parents[2] / "../shared/data/av_clips"
real = pytest.mark.skipif(not SHARED.is_dir(), reason="the real recordings are not here")


def first_frame(path):
    """Return the whole first frame of a video."""
    seen = []
    read(path, 1, find=lambda picture: seen.append(picture))
    return seen[0]


def clips():
    return sorted(path for path in SHARED.rglob("*") if path.suffix in VIDEO_SUFFIXES) if SHARED.is_dir() else []


def where(path):
    """Return where the face's middle is, and its side, in parts of the picture's height, as seen by eye."""
    if path.parent.name == "flv_orig":
        return 0.59, 0.43, 0.44
    if path.parent.name == "crema_d":  # 4:3 pressed into a square
        return 0.44, 0.43, 0.44
    if path.name == "M030_sad_3_001_av_1080p.mp4":
        return 0.89, 0.56, 0.63
    return 0.51, 0.52, 0.84


@real
@pytest.mark.parametrize("path", clips(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_face_in_every_real_clip_is_cut_out(path):
    clip = read(path, 2, find=find_face)
    left, top, right, bottom = clip.box
    height, width = first_frame(path).shape[:2]
    assert right - left == bottom - top
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    x, y, side = where(path)
    assert (left + right) / 2 / height == pytest.approx(x, abs=0.08)
    assert (top + bottom) / 2 / height == pytest.approx(y, abs=0.08)
    assert (bottom - top) / height == pytest.approx(side, abs=0.17)


@real
def test_a_small_face_is_found_at_the_second_look(monkeypatch):
    picture = Image.fromarray(first_frame(SHARED / "ravdess/01-01-08-02-01-01-19_224.mp4"))
    canvas = Image.new("RGB", (1280, 720), (90, 90, 90))
    canvas.paste(picture.resize((160, 160)), (300, 400))
    left, top, right, bottom = find_face(np.asarray(canvas))
    assert (left + right) / 2 == pytest.approx(380, abs=15)
    assert (top + bottom) / 2 == pytest.approx(485, abs=15)
    assert 90 < right - left == bottom - top < 200
    monkeypatch.setattr(module, "_SIDES", (360,))
    assert find_face(np.asarray(canvas)) is None


@real
def test_threads_do_not_disturb_each_other():
    pictures = [first_frame(path) for path in clips()[:12]]
    expected = [find_face(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(find_face, pictures * 3)) == expected * 3


@pytest.mark.parametrize(("left", "top", "size"), [(0, 20, 340), (300, 100, 240), (500, 10, 130)])
def test_a_drawn_face_is_found_where_it_is(left, top, size):
    face = synthetic_frames("happy", 0, speaker="0", clip="0", count=1, size=size)[0]
    picture = np.full((360, 640, 3), 150, np.uint8)
    picture[top : top + size, left : left + size] = face
    box = find_face(picture)
    assert (box[0] + box[2]) / 2 == pytest.approx(left + 0.5 * size, abs=0.1 * size)
    assert (box[1] + box[3]) / 2 == pytest.approx(top + 0.52 * size, abs=0.12 * size)
    assert 0.6 * size < box[2] - box[0] < 1.1 * size


@pytest.mark.parametrize("seed", range(3))
def test_there_is_no_face_in_noise_or_nothing(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    assert find_face(noise) is None
    assert find_face(np.full((120, 80, 3), 80 * seed, np.uint8)) is None


sizes = st.integers(1, 2_000)


@given(width=sizes, height=sizes, x=st.floats(0, 1), y=st.floats(0, 1), side=st.floats(1, 3_000))
def test_a_square_lies_within_the_picture_as_near_as_it_can(width, height, x, y, side):
    middle = x * width, y * height
    left, top, right, bottom = _square(middle, side, width, height)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert right - left == bottom - top == min(round(side), width, height)
    for low, high, at, limit in ((left, right, middle[0], width), (top, bottom, middle[1], height)):
        assert abs((low + high) / 2 - at) <= 1 or low == 0 or high == limit
