"""Sound of videos: samples, rate, late starts, files that break off, and files that are no videos."""

import av
import numpy as np
import pytest

from serjax.audio.container import opened, packets, silent, track, track_rate
from serjax.audio.decode import decode
from serjax.audio.reading import sample_rate
from serjax.runtime.errors import UserError

PICTURES = np.full((5, 48, 48, 3), 90, np.uint8)


@pytest.mark.parametrize("suffix", [".mp4", ".flv", ".webm", ".avi"])
def test_track_holds_the_tone_of_every_container(tmp_path, film, suffix):
    path = film(tmp_path / f"clip{suffix}", PICTURES, tone=0.5)
    samples, rate = track(path)
    assert rate == track_rate(path)
    assert samples.dtype == np.float32
    assert samples.shape[1] == 2
    # Codecs add up to some frames of silence before and after.
    assert len(samples) / rate == pytest.approx(0.5, abs=0.1)
    middle = samples[len(samples) // 4 : 3 * len(samples) // 4, 0]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 16))
    assert np.argmax(spectrum) * rate / (1 << 16) == pytest.approx(440, abs=5)


def test_sound_that_begins_late_is_preceded_by_silence(tmp_path, film):
    at_once, late = (track(film(tmp_path / f"{at}.mp4", PICTURES, tone=0.3, tone_at=at))[0] for at in (0.0, 0.2))
    assert len(late) - len(at_once) == pytest.approx(0.2 * 48_000, abs=0.03 * 48_000)
    assert np.abs(late[: int(0.15 * 48_000)]).max() < 1e-3 < np.abs(at_once[: int(0.15 * 48_000)]).max()


def test_track_of_a_file_that_breaks_off_is_shorter(tmp_path, film):
    path = film(tmp_path / "whole.avi", PICTURES, tone=2.0)
    whole, rate = track(path)
    content = path.read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) // 2])
    part, same = track(tmp_path / "cut.avi")
    assert same == rate
    assert 0 < len(part) < len(whole)
    np.testing.assert_allclose(part[: len(part) // 2], whole[: len(part) // 2], atol=1e-4)


def test_video_without_sound(tmp_path, film):
    path = film(tmp_path / "mute.mp4", PICTURES)
    assert track(path) is None
    with pytest.raises(UserError, match=r"mute\.mp4: the video has no sound; give its sound as a file beside it"):
        track_rate(path)
    assert str(silent(path)).startswith(str(path))


@pytest.mark.parametrize("content", [b"", b"no video " * 100])
def test_files_of_no_known_format_are_refused(tmp_path, content):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"clip\.mp4: it is not a video, or so much of its end is missing"):
        track(path)


def test_a_playlist_fetches_nothing(tmp_path, film):
    film(tmp_path / "other.mp4", PICTURES, tone=0.3)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/clip.mp4\n#EXT-X-ENDLIST\n")
    with pytest.raises(UserError, match="it is not a video"):
        track(tmp_path / "list.m3u8")


def test_packets_are_those_of_the_named_streams(tmp_path, film):
    path = film(tmp_path / "clip.mp4", PICTURES, tone=0.3)
    with opened(path) as container:
        [video] = container.streams.video
        kinds = {packet.stream.type for packet in packets(container, video)}
    with opened(path) as container:
        everything = {packet.stream.type for packet in packets(container)}
    assert kinds == {"video"}
    assert everything == {"video", "audio"}


def test_decode_reads_the_track_of_a_video(tmp_path, film):
    path = film(tmp_path / "clip.mp4", PICTURES, tone=0.5)
    samples, rate = track(path)
    assert len(decode(path, rate=16_000)) == pytest.approx(len(samples) * 16_000 / rate, abs=2)


CODECS = {".m4a": "aac", ".aac": "aac", ".wma": "wmav2", ".mka": "libopus"}


@pytest.mark.parametrize("suffix", CODECS)
def test_recordings_that_libsndfile_does_not_read(tmp_path, suffix):
    path, rate = tmp_path / f"clip{suffix}", 48_000
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate).astype(np.float32)
    with av.open(str(path), "w", format="adts" if suffix == ".aac" else None) as container:
        stream = container.add_stream(CODECS[suffix], rate=rate, layout="mono")
        stream.bit_rate = 128_000
        frame = av.AudioFrame.from_ndarray(tone[None], "fltp", "mono")
        frame.rate, frame.pts = rate, 0
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    wave = decode(path)
    assert sample_rate(path) == rate
    assert len(wave) / 16_000 == pytest.approx(0.5, abs=0.1)
    middle = wave[2_000:6_000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 16))
    assert np.argmax(spectrum) * 16_000 / (1 << 16) == pytest.approx(440, abs=5)
    assert np.std(middle) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)


def test_amr_as_phones_record_it(tmp_path):
    # RFC 4867: a magic number, then frames of 20 ms; here of mode 0 (4.75 kbit/s), a header and 12 bytes.
    rng = np.random.default_rng(0)
    frames = b"".join(b"\x04" + rng.bytes(12) for _ in range(25))
    (tmp_path / "clip.amr").write_bytes(b"#!AMR\n" + frames)
    assert sample_rate(tmp_path / "clip.amr") == 8_000
    assert len(decode(tmp_path / "clip.amr")) / 16_000 == pytest.approx(0.5, abs=0.03)
