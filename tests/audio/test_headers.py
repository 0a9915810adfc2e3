"""What headers promise: whole files and streamed ones lack nothing, cut ones what was cut off."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from serjax.audio.headers import promise
from serjax.audio.reading import open_sound

WAVE = np.random.default_rng(0).normal(0, 0.1, (16_000, 2))

FORMATS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "ULAW"),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "MS_ADPCM"),
    ("WAV", "GSM610"),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("W64", "GSM610"),
    ("AIFF", "PCM_16"),
    ("AIFF", "FLOAT"),
    ("AIFF", "ULAW"),
    ("AU", "PCM_16"),
    ("AU", "ULAW"),
    ("CAF", "PCM_16"),
    ("NIST", "PCM_16"),
    ("VOC", "PCM_16"),
    ("VOC", "PCM_U8"),
    ("AVR", "PCM_16"),
]


def written(kind="WAV", subtype="PCM_16", **options):
    file = io.BytesIO()
    mono = subtype == "GSM610" or (kind == "VOC" and subtype == "PCM_U8")
    soundfile.write(file, WAVE[:, :1] if mono else WAVE, 16_000, format=kind, subtype=subtype, **options)
    return file.getvalue()


@pytest.mark.parametrize(("kind", "subtype"), FORMATS)
def test_whole_files_lack_nothing_and_cut_ones_what_was_cut_off(tmp_path, kind, subtype):
    path, content = tmp_path / "clip.x", written(kind, subtype)
    path.write_bytes(content)
    said = promise(path)
    assert said.missing == 0
    with open_sound(path) as sound:
        whole = sum(map(len, sound.blocks))
    assert sound.loss.seconds == 0
    path.write_bytes(content[: len(content) // 2])
    with open_sound(path) as sound:
        half = sum(map(len, sound.blocks))
    assert 0.4 * whole < half < 0.6 * whole
    assert sound.loss.end == pytest.approx((whole - half) / 16_000, abs=0.06)


@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
@pytest.mark.parametrize("size", [0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_streamed_files_promise_nothing(tmp_path, endian, size):
    content, path = written(endian=endian), tmp_path / "clip.wav"
    start = content.index(b"data") + 8
    path.write_bytes(content[: start - 4] + struct.pack("<I" if endian == "LITTLE" else ">I", size) + content[start:])
    assert promise(path) is None


def test_samples_that_no_header_counts_are_told_from_an_empty_file(tmp_path):
    content, path = written(), tmp_path / "clip.wav"
    start = content.index(b"data") + 8
    path.write_bytes(content[: start - 4] + bytes(4) + content[start:])
    assert promise(path).uncounted
    path.write_bytes(content[: start - 4] + bytes(4) + b"LIST\4\0\0\0INFO")
    assert promise(path) is None
    path.write_bytes(content + b"LIST\4\0\0\0INFO")
    assert promise(path).missing == 0


@given(
    content=st.binary(max_size=80),
    head=st.sampled_from(
        [b"RIFF\0\0\0\0WAVE", b"FORM\0\0\0\0AIFF", b".snd", b"caff", b"2BIT", b"NIST_1A\n", b"Creative Voice File"]
    ),
)
def test_any_other_bytes_are_no_error(tmp_path_factory, content, head):
    path = tmp_path_factory.getbasetemp() / "odd.wav"
    path.write_bytes(head + content)
    assert promise(path) is None or promise(path).missing >= 0


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "IMA_ADPCM"),
        ("WAVEX", "PCM_24"),
        ("RF64", "FLOAT"),
        ("AIFF", "PCM_16"),
        ("AU", "ULAW"),
        ("CAF", "PCM_16"),
    ],
)
def test_samples_behind_the_end_that_the_header_gives_are_told(tmp_path, kind, subtype):
    path, content = tmp_path / "clip.x", written(kind, subtype)
    start, size = promise_of(path, content)[:2]
    half = size // 2 // 1024 * 1024
    for place in range(start):  # the field that holds the size
        for form, extra in (("<I", 0), (">I", 0), (">I", 8), ("<Q", 0), (">q", 4)):
            width = struct.calcsize(form)
            if content[place : place + width] == struct.pack(form, size + extra):
                content = content[:place] + struct.pack(form, half + extra) + content[place + width :]
    for end in (b"", b"LIST\4\0\0\0INFO" if kind != "CAF" else b""):
        said = promise_of(path, content + end)
        assert said.behind == size - half + len(end)
        with open_sound(path) as sound:
            heard = sum(map(len, sound.blocks))
        assert heard + sound.loss.more * 16_000 == pytest.approx(16_000, abs=520)
        with open_sound(path, end=0.2) as sound:
            assert sum(map(len, sound.blocks)) == 3_200
        assert not sound.loss.seconds


def promise_of(path, content):
    path.write_bytes(content)
    return promise(path)


def test_chunks_tags_and_zeros_are_no_samples(tmp_path):
    path, content = tmp_path / "clip.wav", written()
    chunk = b"LIST\5\0\0\0INFOx\0"
    for end in (
        chunk,
        chunk + b"JUNK\4\0\0\0abcd",
        b"LIST\xff\0\0\0INFO",
        b"TAG" + bytes(125),
        b"ID3\4",
        bytes(4_096),
        chunk + bytes(99),
    ):
        assert promise_of(path, content + end).behind == 0
    assert promise_of(path, content + written()).behind == len(content)
