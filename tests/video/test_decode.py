"""Frames of videos: the right ones, upright, from whole files and broken ones, and never many at once."""

import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from serjax.audio.decode import decode
from serjax.audio.reading import sample_rate
from serjax.runtime.errors import UserError
from serjax.video.decode import has_sound, read, sound

SHARED = Path(__file__).parents[2] / "../shared/data/av_clips"
real = pytest.mark.skipif(not SHARED.is_dir(), reason="the real recordings are not here")
SUFFIXES = (".mp4", ".flv", ".webm", ".avi")


def greys(count, height=48, width=64):
    """Pictures whose brightness says which they are."""
    return [np.full((height, width, 3), 10 + 6 * i, np.uint8) for i in range(count)]


def numbers(frames):
    """Return which of `greys` frames show."""
    return np.round((frames.mean(axis=(1, 2, 3)) - 10) / 6).astype(int).tolist()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("tone", [0.0, 1.5])
def test_evenly_spaced_frames_of_every_container(tmp_path, film, suffix, tone):
    path = film(tmp_path / f"clip{suffix}", greys(30), tone=tone)
    clip = read(path)
    assert (clip.frames.shape, clip.frames.dtype) == ((8, 112, 112, 3), np.uint8)
    assert numbers(clip.frames) == np.linspace(0, 29, 8).astype(int).tolist()
    assert (clip.box, clip.note) == (None, None)
    assert clip.seconds == pytest.approx(1.2, abs=0.041)
    assert has_sound(path) == bool(tone)
    heard = sound(path)
    if tone:
        assert heard.dtype == np.float32
        assert len(heard) / 16_000 == pytest.approx(1.5, abs=0.05)
        power = np.abs(np.fft.rfft(heard)) ** 2
        assert np.fft.rfftfreq(len(heard), 1 / 16_000)[power.argmax()] == pytest.approx(440, abs=2)
        assert heard[4_000:20_000].std() == pytest.approx(0.3 / np.sqrt(2), rel=0.1)
        np.testing.assert_array_equal(decode(path), heard)
        assert sample_rate(path) == 48_000
    else:
        assert heard is None
        with pytest.raises(UserError, match=rf"clip\{suffix}: the video has no sound; give its sound as a file"):
            decode(path)
        with pytest.raises(UserError, match="the video has no sound"):
            sample_rate(path)


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_frames_that_are_stored_out_of_order(tmp_path, film, suffix):
    path = film(tmp_path / f"clip{suffix}", greys(30), bframes=3)
    assert numbers(read(path, 30).frames) == list(range(30))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pauses=st.lists(st.integers(20, 900), min_size=1, max_size=25),
    count=st.integers(1, 12),
    suffix=st.sampled_from((".mp4", ".webm")),
)
def test_time_is_evenly_divided_where_rates_vary(tmp_path_factory, film, pauses, count, suffix):
    times = np.cumsum([0, *pauses])
    path = film(tmp_path_factory.mktemp("film") / f"clip{suffix}", greys(len(times)), times.tolist())
    clip = read(path, count)
    moments = [times[-1] * i / max(count - 1, 1) for i in range(count)]
    assert numbers(clip.frames) == [int(np.searchsorted(times, m + 1e-6, "right")) - 1 for m in moments]
    assert clip.note is None


@pytest.mark.parametrize("angle", [90, 180, -90])
def test_rotated_videos_are_turned_upright(tmp_path, film, angle):
    upright = np.full((64, 96, 3), 128, np.uint8)
    upright[:32, :48] = (255, 0, 0)
    upright[32:, 48:] = (0, 0, 255)
    stored = np.ascontiguousarray(np.rot90(upright, -angle // 90))
    path = film(tmp_path / "clip.mp4", [stored] * 5, rotation=angle)
    shapes = []
    frames = read(path, 2, find=lambda image: shapes.append(image.shape)).frames
    assert shapes == [(64, 96, 3)]
    expected = read(film(tmp_path / "upright.mp4", [upright] * 5), 2).frames
    assert np.abs(frames.astype(int) - expected).mean() < 4


def squeezed(pixel, angle=0):
    """A white disc, 60 pixels wide in a picture of 192 x 96, as a file with such pixels, turned, stores it."""
    row, column = np.mgrid[:96, :192]
    disc = 255 * ((row - 50) ** 2 + (column - 60) ** 2 < 30**2).astype(np.uint8)
    image = Image.fromarray(np.repeat(np.rot90(disc, -angle // 90)[:, :, None], 3, 2))
    size = round(image.width / max(1, pixel)), round(image.height * min(1, pixel))
    return np.asarray(image.resize(size, Image.Resampling.BOX))


@pytest.mark.parametrize("pixel", ["2", "16/15", "1/2"])
@pytest.mark.parametrize(("suffix", "angle"), [(".mp4", 0), (".mp4", 90), (".avi", 0)])
def test_oblong_pixels_are_shown_in_their_shape(tmp_path, film, suffix, angle, pixel):
    stored = squeezed(Fraction(pixel), angle)
    path = film(tmp_path / f"clip{suffix}", [stored] * 4, rotation=angle, pixel=pixel)
    shapes, box = [], (20, 10, 100, 90)
    clip = read(path, 2, size=80, find=lambda picture: shapes.append(picture.shape) or box)
    assert shapes == [(96, 192, 3)]
    assert clip.box == box
    for frame in clip.frames[..., 0] > 127:
        places = [np.flatnonzero(frame.any(axis)) for axis in (0, 1)]
        assert [(place[0], place[-1]) for place in places] == [pytest.approx((10, 69), abs=2)] * 2
    # Without a part the whole picture is brought to a square, of whatever shape it is.
    expected = read(film(tmp_path / f"square{suffix}", [squeezed(1)] * 4), 2).frames
    assert np.abs(read(path, 2).frames.astype(int) - expected).mean() < 4


def test_a_shape_of_pixels_that_cannot_be_is_not_believed(tmp_path, film):
    path = film(tmp_path / "clip.mp4", [squeezed(2)] * 2, pixel="40")
    shapes = []
    read(path, 1, find=lambda picture: shapes.append(picture.shape))
    assert shapes == [(96, 96, 3)]


def test_a_stretch_of_a_long_file(tmp_path, film):
    path = film(tmp_path / "clip.mp4", greys(40), range(0, 8_000, 200))
    assert numbers(read(path, 3, start=1.0, end=1.45).frames) == [5, 6, 7]
    assert numbers(read(path, 2, start=5.1, end=7.0).frames) == [25, 34]
    assert numbers(read(path, 2, start=7.3).frames) == [36, 39]
    assert numbers(read(path, 3, start=3.01, end=3.05).frames) == [15, 15, 15]
    for start, end in ((-1.0, None), (8.5, None), (3.0, 3.0), (3.0, 2.0)):
        with pytest.raises(UserError, match=r"clip\.mp4: the stretch from .* is not within the video, which lasts 7.8"):
            read(path, start=start, end=end)


def test_looking_for_a_stretch_decodes_little(tmp_path, film, monkeypatch):
    from serjax.video import decode as module

    path = film(tmp_path / "clip.mp4", greys(40), range(0, 8_000, 200))
    times = []
    on_screen = module._on_screen
    spied = lambda timed, moments: on_screen((times.append(t) or (t, f) for t, f in timed), moments)  # noqa: E731
    monkeypatch.setattr(module, "_on_screen", spied)
    read(path, 2, start=6.5)
    assert min(times) > 3
    times.clear()
    monkeypatch.setattr(
        module,
        "_timed_from",
        lambda path, start, damaged, of=module._timed_from: of(path, start + 1 if start else None, damaged),
    )  # an index that leads too far
    assert numbers(read(path, 2, start=6.5).frames) == [32, 39]


def test_what_is_looked_for_is_cut_out_of_all_frames(tmp_path, film):
    pictures = greys(10)
    for picture in pictures:
        picture[:, :32] = 0
    seen = []
    clip = read(
        film(tmp_path / "clip.mp4", pictures), 4, size=20, find=lambda image: seen.append(image) or (36, 4, 60, 40)
    )
    assert len(seen) == 1
    assert seen[0].shape == (48, 64, 3)
    assert clip.box == (36, 4, 60, 40)
    assert clip.frames.shape == (4, 20, 20, 3)
    assert numbers(clip.frames) == [0, 3, 6, 9]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_video_that_breaks_off_gives_the_frames_that_decode(tmp_path, film, suffix, share):
    rng = np.random.default_rng(0)
    pictures = [np.clip(grey + rng.integers(-9, 9, grey.shape), 0, 255).astype(np.uint8) for grey in greys(40)]
    path = film(tmp_path / f"clip{suffix}", [picture for picture in pictures for _ in range(5)], tone=8.0)
    whole = read(path)
    assert whole.note is None
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    clip = read(path)
    after = re.fullmatch(r"(.*): it breaks off after (.*) of 8\.0[0-2] s; what is before is used\.", clip.note)
    assert after[1] == str(path)
    assert float(after[2]) == pytest.approx(8 * share, abs=1)
    shown = numbers(clip.frames)
    assert shown == sorted(shown)
    assert 40 * share * 0.6 < shown[-1] < 38
    assert len(set(shown)) == 8


def test_frames_that_do_not_decode_are_left_out(tmp_path, film, monkeypatch):
    path = film(tmp_path / "clip.mp4", greys(30))
    from serjax.video import decode as module

    decoded = module.decoded

    def failing(container, stream, damaged=None):
        for number, frame in enumerate(decoded(container, stream, damaged)):
            if number in broken:
                if damaged is not None:
                    damaged.append(number)
            else:
                yield frame

    monkeypatch.setattr(module, "decoded", failing)
    broken = {0, 4, 5, 29}
    clip = read(path)
    assert numbers(clip.frames) == [1, 3, 8, 12, 16, 20, 24, 28]
    assert clip.note == f"{path}: 4 of its frames do not decode; the others are used."
    broken = set(range(10, 30))
    clip = read(path)
    assert numbers(clip.frames) == np.linspace(0, 9, 8).astype(int).tolist()
    assert clip.note == f"{path}: no frame decodes after 0.36 s; those before are used."
    broken = set(range(30))
    with pytest.raises(UserError, match=r"clip\.mp4: it has no frame that decodes; get the video again"):
        read(path)


def write(path, content):
    path.write_bytes(content)
    return path


def tone_only(tmp_path, film):
    import av

    with av.open(str(tmp_path / "tone.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4_096), np.float32), "fltp", "mono")
        frame.rate = 48_000
        container.mux([*stream.encode(frame), *stream.encode()])
    return tmp_path / "tone.mp4"


def without_index(tmp_path, film):
    content = film(tmp_path / "whole.mp4", greys(30)).read_bytes()
    return write(tmp_path / "cut.mp4", content[: content.index(b"moov") + 60])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda tmp, film: tmp / "none.mp4", r"none\.mp4: it cannot be opened \(No such file or directory\)"),
        (lambda tmp, film: tmp, "it is not a file"),
        (lambda tmp, film: write(tmp / "empty.mp4", b""), r"empty\.mp4: the file is empty \(0 bytes\)"),
        (
            lambda tmp, film: write(tmp / "text.mp4", b"hello " * 99),
            r"text\.mp4: it is not a video, or .* get it again",
        ),
        (without_index, r"cut\.mp4: it is not a video, or so much of its end is missing"),
        (lambda tmp, film: film(tmp / "no.avi", [], tone=1.0), r"no\.avi: its video track has no frame"),
        (tone_only, r"tone\.mp4: it has no video track"),
    ],
)
def test_what_has_no_frames_is_said_in_one_sentence(tmp_path, film, make, message):
    path = make(tmp_path, film)
    with pytest.raises(UserError, match=message) as caught:
        read(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_playlist_fetches_nothing(tmp_path):
    path = write(tmp_path / "list.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    with pytest.raises(UserError, match="it is not a video"):
        read(path)


def test_a_name_with_a_colon_is_a_file(tmp_path, film):
    assert numbers(read(film(tmp_path / "http:clip.mp4", greys(8))).frames) == list(range(8))


def test_sound_that_begins_later_stays_in_time(tmp_path, film):
    heard = sound(film(tmp_path / "clip.mp4", greys(40), tone=1.0, tone_at=0.7))
    assert len(heard) / 16_000 == pytest.approx(1.7, abs=0.05)
    assert np.abs(heard[: int(0.6 * 16_000)]).max() < 1e-3
    assert heard[int(0.75 * 16_000) : 24_000].std() > 0.1


def test_a_stretch_of_sound(tmp_path, film):
    path = film(tmp_path / "clip.mp4", greys(40), tone=2.0)
    np.testing.assert_allclose(decode(path, start=0.5, end=1.25, rate=48_000), decode(path, rate=48_000)[24_000:60_000])
    with pytest.raises(UserError, match="start 3 s is outside of the file"):
        decode(path, start=3.0)


MEMORY = """
import resource, sys
from serjax.video.decode import read
peaks = [read(path) and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss for path in sys.argv[1:]]
print(peaks[1] - peaks[0])
"""


def test_a_large_clip_is_not_held_whole(tmp_path, film):
    picture = np.random.default_rng(0).integers(0, 255, (720, 720, 3), dtype=np.uint8)
    paths = [film(tmp_path / f"{count}.mp4", [picture] * count) for count in (12, 120)]
    command = [sys.executable, "-c", MEMORY, *map(str, paths)]
    grown = int(subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[2]).stdout)
    whole = 720 * 720 * 3 * 120
    assert grown * (1 if sys.platform == "darwin" else 1024) < whole / 8


@real
def test_real_clips():
    paths = [path for path in sorted(SHARED.rglob("*")) if path.suffix in SUFFIXES]
    assert len(paths) == 40
    for path in paths:
        clip = read(path)
        assert clip.frames.shape == (8, 112, 112, 3)
        assert 10 < clip.frames.mean() < 245
        assert clip.frames.std(axis=0).mean() > 0.5  # people move
        if path.name == "eamm_M030_sad.mp4":  # its last third is not there
            assert clip.note == f"{path}: it breaks off after 4.44 of 6.28 s; what is before is used."
        else:
            assert clip.note is None
        assert 1.8 < clip.seconds < 5.2


@real
def test_the_sound_inside_is_the_sound_beside():
    for path in sorted((SHARED / "crema_d/flv_orig").iterdir()):
        inside = sound(path)
        beside, rate = soundfile.read(SHARED / "crema_d" / f"{path.stem}.flac", dtype="float32")
        assert rate == 16_000
        size = min(len(inside), len(beside))
        spectra = np.fft.rfft(inside[:size], 2 * size) * np.fft.rfft(beside[:size], 2 * size).conj()
        correlation = np.fft.irfft(spectra) / (np.linalg.norm(inside[:size]) * np.linalg.norm(beside[:size]))
        assert correlation.max() > 0.9
        lag = int(correlation.argmax())
        assert min(lag, 2 * size - lag) < 0.06 * 16_000
