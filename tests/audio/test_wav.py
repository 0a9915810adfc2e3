"""WAV files that break off are known by their headers; whole ones, streamed ones and other formats are left alone."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from serjax.audio.decode import decode
from serjax.audio.wav import missing_seconds

WAVE = np.random.default_rng(0).normal(0, 0.1, (16_000, 2))


def wav(subtype="PCM_16", rate=16_000, **options):
    file = io.BytesIO()
    soundfile.write(file, WAVE, rate, format="WAV", subtype=subtype, **options)
    return file.getvalue()


def start_of(content):
    return content.index(b"data") + 8


@pytest.mark.parametrize(("subtype", "size"), [("PCM_16", 2), ("PCM_24", 3), ("FLOAT", 4), ("PCM_U8", 1), ("ULAW", 1)])
@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
@given(kept=st.integers(1_200, 15_999), rate=st.sampled_from([8_000, 16_000, 44_100]))
def test_lost_seconds_are_those_that_were_cut_off(tmp_path_factory, subtype, size, endian, kept, rate):
    path = tmp_path_factory.getbasetemp() / "cut.wav"
    content = wav(subtype, rate, endian=endian)
    path.write_bytes(content[: start_of(content) + 2 * size * kept])
    assert missing_seconds(path) == pytest.approx((16_000 - kept) / rate)
    assert len(decode(path, rate=rate)) == kept  # and libsndfile says nothing


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT", "IMA_ADPCM"])
def test_whole_files_and_what_follows_the_samples(tmp_path, subtype):
    path = tmp_path / "clip.wav"
    path.write_bytes(wav(subtype))
    assert missing_seconds(path) == 0
    path.write_bytes(wav(subtype) + b"LIST\4\0\0\0INFO")
    assert missing_seconds(path) == 0


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_streamed_files_promise_nothing(tmp_path, size):
    content = wav()
    start = start_of(content)
    path = tmp_path / "clip.wav"
    path.write_bytes(content[: start - 4] + struct.pack("<I", size) + content[start:])
    assert missing_seconds(path) == 0


@given(content=st.binary(max_size=80), whole=st.booleans())
def test_any_other_bytes_are_no_error(tmp_path_factory, content, whole):
    path = tmp_path_factory.getbasetemp() / "odd.wav"
    path.write_bytes((b"RIFF\0\0\0\0WAVE" if whole else b"") + content)
    assert missing_seconds(path) >= 0
