"""Frames of MP3 files: as many as there are, whatever the first one says."""

import io

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from serjax.audio.decode import decode, decode_what_is_there
from serjax.audio.mpeg import count_frames


def mp3(rate=16_000, channels=1, seconds=2.0):
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels))
    soundfile.write(file, noise, rate, format="MP3", bitrate_mode="VARIABLE")
    return file.getvalue()


def counted(path, content):
    path.write_bytes(content)
    return count_frames(path)


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 2), (22_050, 1), (44_100, 2), (48_000, 1)])
def test_whole_files_are_clean(tmp_path, rate, channels):
    found = counted(tmp_path / "a.mp3", mp3(rate, channels))
    assert (found.rate, found.clean, found.said) == (rate, True, found.number)
    assert 2.0 <= found.seconds < 2.0 + 4 * found.size / rate


def test_cuts_holes_and_junk_are_seen(tmp_path):
    content, path = mp3(), tmp_path / "a.mp3"
    whole = counted(path, content)
    cut = counted(path, content[: len(content) // 2])
    assert cut.missing == pytest.approx(1.0, abs=0.2)
    assert not cut.clean
    third = len(content) // 3
    hole = counted(path, content[:third] + bytes(3_000) + content[third + 3_000 :])
    assert not hole.clean
    assert 0 < hole.gap < 2
    front = counted(path, bytes(5_000) + content)
    assert (front.begins, front.number, front.gap) == (False, whole.number, 0)
    tagged = counted(path, b"ID3\4\0\0\0\0\1\0" + bytes(128) + content + b"TAG" + bytes(125))
    assert tagged.clean


@given(content=st.binary(min_size=1, max_size=60), start=st.integers(0, 2_000))
def test_any_bytes_are_no_error(tmp_path_factory, content, start):
    path = tmp_path_factory.getbasetemp() / "odd.mp3"
    whole = bytearray(mp3(seconds=0.2))
    whole[start : start + len(content)] = content
    counted(path, bytes(whole))
    counted(path, content)


def test_joined_files_and_wrong_counts_are_read_to_the_end(tmp_path):
    content, path = mp3(), tmp_path / "a.mp3"
    whole = counted(path, content)
    joined = counted(path, content + content)
    assert (joined.clean, joined.number) == (False, 2 * whole.number + 1)
    assert len(decode(path)) == pytest.approx(64_000, abs=2_600)  # encoders pad both
    place = max(content.find(b"Info"), content.find(b"Xing")) + 8
    path.write_bytes(content[:place] + (whole.number // 2).to_bytes(4, "big") + content[place + 4 :])
    assert len(decode(path)) == pytest.approx(32_000, abs=1_200)
    path.write_bytes(content + mp3(22_050))
    assert count_frames(path).mixed
    heard = decode_what_is_there(path)
    assert len(heard.wave) / 16_000 + heard.loss.inside == pytest.approx(4, abs=0.3)


def test_a_file_without_a_count_whose_end_was_overwritten(tmp_path):
    content, path = mp3(seconds=20), tmp_path / "a.mp3"
    first = counted(path, content)
    bare = content[content.find(content[:2], 10) :]  # without the frame that counts
    whole = counted(path, bare)
    assert (whole.said, whole.number, whole.clean) == (None, first.number, True)
    assert counted(path, bare + b"TAG" + bytes(125)).clean
    assert counted(path, bare[: len(bare) // 2] + bytes(len(bare) // 2)).partial


@pytest.mark.parametrize(("rate", "codec"), [(44_100, "mp2"), (16_000, "mp2")])
def test_layer_two(tmp_path, rate, codec):
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w", format="mp2") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        noise = np.random.default_rng(0).normal(0, 3_000, (1, 2 * rate)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(noise, "s16", "mono")
        frame.rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert count_frames(path).clean
    assert len(decode(path)) == pytest.approx(32_000, abs=1_500)
    path.write_bytes(path.read_bytes()[:-50])
    assert decode_what_is_there(path).loss.seconds
