"""The decoding process: the samples of predict, and a status with a sentence for what cannot be decoded."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from served import sound

from serjax.audio.decode import decode
from serjax.audio.stream import open_stream
from serjax.inference.server.decoder import TooLong, answer, decode_bytes, pack, read_message
from serjax.runtime.errors import MissingPackage


def test_a_short_recording_is_decoded_as_predict_does(tmp_path):
    content = sound(rate=44_100, channels=2)
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    found = decode_bytes(content, tmp_path, 10, apart=False)
    np.testing.assert_array_equal(found.mono, decode(path))
    assert found.facts == {"rate": 44_100, "channels": 2, "seconds": 0.8, "notes": []}
    assert found.sound.shape == (0, 2)
    with open_stream(path) as stream:
        expected = np.concatenate(list(stream.blocks))
    np.testing.assert_array_equal(decode_bytes(content, tmp_path, 10, apart=True).sound, expected)
    assert [one.name for one in tmp_path.iterdir()] == ["clip.wav"]


def test_recordings_are_long_where_predict_reads_them_window_by_window(tmp_path):
    found = decode_bytes(sound(seconds=61, rate=8_000), tmp_path, 100, apart=False)
    assert len(found.mono) == 0
    assert found.sound.shape == (61 * 16_000, 1)


def test_a_recording_that_is_too_long_is_not_decoded(tmp_path):
    with pytest.raises(TooLong):
        decode_bytes(sound(seconds=3), tmp_path, 2, apart=False)


def test_notes_and_errors_do_not_name_the_temporary_file(tmp_path):
    asked = {"folder": str(tmp_path), "max_seconds": 10.0, "apart": False}
    whole = sound()
    cut, _ = answer(asked, whole[: len(whole) // 2])
    assert cut["notes"][0].startswith("the recording: it breaks off 0.4")
    bad, _ = answer(asked, b"nothing")
    assert bad == {
        "status": 422,
        "error": "the recording: it is not a sound file or is damaged; get it again or convert it to FLAC or WAV.",
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [(MissingPackage("PyAV", "video", "Videos are decoded"), 415), (MemoryError(), 413), (ZeroDivisionError(), 422)],
)
def test_errors_have_a_status(tmp_path, monkeypatch, error, status):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("serjax.inference.server.decoder.decode_bytes", fail)
    found, parts = answer({"folder": str(tmp_path), "max_seconds": 1.0, "apart": False}, b"x")
    assert (found["status"], parts) == (status, [])


def test_the_process_answers_messages_until_they_end(tmp_path):
    content = sound()
    asked = {"folder": str(tmp_path), "max_seconds": 10.0, "apart": True}
    messages = pack({"memory": 4 << 30}, 0) + pack(asked, len(content)) + content + pack(asked, 3) + b"bad"
    done = subprocess.run(
        [sys.executable, "-m", "serjax.inference.server.decoder"],
        input=messages,
        capture_output=True,
        check=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    answers = io.BytesIO(done.stdout)
    assert read_message(answers) == ({"bytes": 0}, b"")
    header, samples = read_message(answers)
    assert (header["mono"], header["sound"], len(samples)) == (12_800, 12_800, 8 * 12_800)
    header, samples = read_message(answers)
    assert (header["status"], samples) == (422, b"")
    assert read_message(answers) is None
