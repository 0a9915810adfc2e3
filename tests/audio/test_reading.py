"""Every container, whole, cut, mutated and misnamed: sound and the seconds that are lost, or one sentence."""

import os
import random
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from serjax.audio.decode import decode, decode_what_is_there
from serjax.audio.levels import measure
from serjax.audio.reading import check_readable, open_sound, sample_rate
from serjax.audio.stream import open_stream
from serjax.runtime.errors import UserError

FAULTS = Path(__file__).parents[2] / "../shared/faults"
real = pytest.mark.skipif(not FAULTS.is_dir(), reason="the inputs that failed are not here")

SOUNDS = [
    ("WAV", "PCM_16"),
    ("WAV", "GSM610"),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "G721_32"),
    ("RF64", "FLOAT"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AU", "ULAW"),
    ("AU", "G721_32"),
    ("CAF", "PCM_16"),
    ("NIST", "PCM_16"),
    ("VOC", "PCM_16"),
    ("AVR", "PCM_16"),
    ("PAF", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]
TRACKS = [
    ("mp4", "aac"),
    ("matroska", "aac"),
    ("webm", "libopus"),
    ("flv", "aac"),
    ("avi", "pcm_s16le"),
    ("asf", "wmav2"),
    ("adts", "aac"),
]
WAVE = (0.3 * np.sin(np.arange(48_000) / 9) + np.random.default_rng(0).normal(0, 0.03, 48_000)).astype(np.float32)


def write(path, kind, codec):
    """Write 3 s at 16 kHz in a container of libsndfile (upper case) or FFmpeg."""
    if kind.isupper() or kind == "W64":
        soundfile.write(path, WAVE, 16_000, format=kind, subtype=codec)
        return path
    with av.open(str(path), "w", format=kind) as container:
        rate = 48_000 if codec in ("libopus", "wmav2") else 16_000
        stream = container.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = 64_000
        wave = WAVE if rate == 16_000 else np.repeat(WAVE, 3)
        form = stream.format.name if stream.format else "fltp"
        values = (wave * 32_767).astype(np.int16) if form.startswith("s16") else wave
        frame = av.AudioFrame.from_ndarray(values[None], form if form in ("s16", "fltp", "flt") else "fltp", "mono")
        frame.rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def heard(path):
    """Return the samples, or the sentence, that a file gives in every way in which it is read."""
    found = []
    for way in (decode_what_is_there, measure, lambda path: decode(path, start=0.1, end=0.3), streamed, sample_rate):
        try:
            found.append(way(path))
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017
            found.append(str(error))
    return found


def streamed(path):
    with open_stream(path) as sound:
        return sum(map(len, sound.blocks)), sound.notes


@pytest.mark.parametrize(("kind", "codec"), SOUNDS + TRACKS)
def test_half_a_file_is_told_and_a_whole_one_is_not_whatever_its_name(tmp_path, kind, codec):
    path = write(tmp_path / "clip.wav", kind, codec)
    whole = decode_what_is_there(path)
    assert not whole.loss.seconds
    assert len(whole.wave) == pytest.approx(48_000, abs=6_000)
    assert len(decode(path, start=1.0, end=2.0)) == 16_000
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 + 1])
    if kind == "mp4":  # what stood at its end says where everything is
        with pytest.raises(UserError, match="so much of its end is missing"):
            decode_what_is_there(path)
        return
    if kind in ("PAF", "adts"):  # nothing in them says how long they are
        return
    half = decode_what_is_there(path)
    assert half.loss.seconds
    if kind != "OGG":
        assert (len(half.wave) / 16_000 + half.loss.seconds) == pytest.approx(len(whole.wave) / 16_000, abs=0.35)
    with pytest.raises(UserError, match=r"clip\.wav: it breaks off .*; get it again\."):
        decode(path)
    assert streamed(path)[1][0].endswith("; the rest is answered.")
    assert measure(path).missing > 0


@pytest.mark.parametrize("kind", ["matroska", "webm", "mp4"])
def test_gaps_in_a_track_are_silence_and_told(tmp_path, kind):
    path = write(tmp_path / "clip", kind, "libopus" if kind == "webm" else "aac")
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux() if packet.size]
    content = bytearray(path.read_bytes())
    for place, size in packets[len(packets) // 3 : len(packets) // 2]:
        content[place - 8 * (kind != "mp4") : place + size] = bytes(size + 8 * (kind != "mp4"))
    whole = decode(path)
    path.write_bytes(content)
    damaged = decode_what_is_there(path)
    assert damaged.loss.seconds > 0.2
    assert len(damaged.wave) + damaged.loss.end * 16_000 == pytest.approx(len(whole), abs=1_600)


def test_samples_that_no_header_counts_are_read(tmp_path):
    path = write(tmp_path / "clip.wav", "WAV", "PCM_16")
    whole, content = decode(path), path.read_bytes()
    start = content.index(b"data") + 8
    path.write_bytes(content[: start - 4] + bytes(4) + content[start:])
    np.testing.assert_array_equal(decode(path), whole)
    np.testing.assert_array_equal(decode(path, start=0.5, end=1), whole[8_000:16_000])


@pytest.mark.parametrize("rate", [1, 0, 2_000_000_000])
def test_a_rate_that_no_sound_has_is_said(tmp_path, rate):
    path = write(tmp_path / "clip.wav", "WAV", "PCM_16")
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", rate)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"its header gives a rate of|it is not a sound file"):
        decode(path)


def test_an_aiff_of_an_absurd_size_is_what_is_there(tmp_path):
    path = write(tmp_path / "clip.aiff", "AIFF", "PCM_16")
    content = bytearray(path.read_bytes())
    place = content.index(b"COMM") + 10
    content[place : place + 4] = struct.pack(">I", 384_000_000)
    path.write_bytes(content)
    assert len(decode_what_is_there(path).wave) == 48_000


@pytest.mark.parametrize("name", ["clip\udcff.m4a", "clip\udcff.wav"])
def test_names_that_are_no_text(tmp_path, name):
    path = write(tmp_path / name, "mp4", "aac")
    assert len(decode(path)) == pytest.approx(48_000, abs=3_000)


def test_what_is_no_file_is_said_at_once(tmp_path):
    os.mkfifo(tmp_path / "x.wav")
    os.symlink(tmp_path / "loop.wav", tmp_path / "loop.wav")
    for name, said in (("x.wav", "it is not a file"), ("loop.wav", "symbolic links"), ("a\0b.wav", "null byte")):
        with pytest.raises(UserError, match=said):
            check_readable(tmp_path / name)
        with pytest.raises(UserError, match=said), open_sound(tmp_path / name):
            pass


@real
@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_mp3_of_varying_rate_without_a_count(rate):
    folder = FAULTS / "01_mp3_vbr_no_xing"
    wave, expected = (decode(folder / name) for name in (f"vbr_{rate}.mp3", f"vbr_{rate}_reference.wav"))
    assert len(wave) == pytest.approx(len(expected), abs=0.08 * 16_000)
    assert len(decode(folder / f"with_xing_vbr_{rate}.mp3")) == len(expected)
    part, same = decode(folder / f"vbr_{rate}.mp3", start=9, end=11), wave[144_000:176_000]
    assert np.corrcoef(part[800:-800], same[800:-800])[0, 1] > 0.99


@real
def test_mp3_of_constant_rate_without_a_count_and_zeros_in_front(tmp_path):
    path = FAULTS / "02_mp3_cbr_no_xing/cbr_44100.mp3"
    whole = len(decode(path.with_name("with_xing_cbr_44100.mp3")))
    assert len(decode(path)) == pytest.approx(whole, abs=0.08 * 16_000)
    (tmp_path / "zeros.mp3").write_bytes(bytes(4_000) + path.read_bytes())
    assert len(decode(tmp_path / "zeros.mp3")) == pytest.approx(whole, abs=0.08 * 16_000)


@real
def test_files_that_macos_keeps_beside_clips(capfd):
    clips = sorted((FAULTS / "04_appledouble_beside_mp3").rglob("[!.]*.*"))
    assert len([decode(path) for path in clips if path.is_file()]) == 24
    with pytest.raises(UserError, match="AppleDouble"):
        decode(next((FAULTS / "04_appledouble_beside_mp3").rglob("._*")))
    assert capfd.readouterr().err == ""


@real
def test_wav_that_was_cut():
    folder = FAULTS / "06_wav_truncated"
    assert len(decode(folder / "whole.wav")) == len(decode(folder / "odd_byte.wav")) + 1
    for name in ("half.wav", "half.flac"):
        with pytest.raises(UserError, match=rf"{name}: it breaks off 1\.\d+ s before the end"):
            decode(folder / name)


def mutated(content, rng):
    """Return a file's bytes cut, overwritten, with junk in front or behind, or another size somewhere."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(content))
        match rng.randrange(6):
            case 0:
                del content[max(1, place) :]
            case 1:
                for _ in range(rng.choice((1, 10, 200))):
                    content[rng.randrange(len(content))] = rng.randrange(256)
            case 2:
                content[:0] = rng.randbytes(rng.choice((1, 10, 3_000)))
            case 3:
                start = rng.randrange(min(200, len(content)))
                size = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\1\0\0\0"))
                content[start : start + 4] = size
            case 4:
                content[place : place + rng.randrange(4_000)] = bytes(rng.randrange(4_000))
            case 5:
                content[place:place] = rng.randbytes(rng.randrange(4_000))
    return bytes(content) or b"\0"


def hold(tmp_path, kind, codec, seeds):
    content = write(tmp_path / "whole", kind, codec).read_bytes()
    for seed in seeds:
        rng = random.Random(f"{kind} {codec} {seed}")
        path = tmp_path / f"{seed}{rng.choice(('.wav', '.mp3', '.flac', '.mp4', '.webm', '.aiff', ''))}"
        path.write_bytes(mutated(content, rng))
        heard(path)
        path.unlink()


@pytest.mark.parametrize(("kind", "codec"), SOUNDS + TRACKS)
def test_mutated_files_give_sound_or_a_sentence(tmp_path, kind, codec):
    hold(tmp_path, kind, codec, range(4))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "codec"), SOUNDS + TRACKS)
def test_many_mutated_files_give_sound_or_a_sentence(tmp_path, kind, codec):
    hold(tmp_path, kind, codec, range(4, 16))
