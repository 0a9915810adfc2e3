"""Sound as it comes: a recording at its own speed, and a microphone, here one that is made up."""

import builtins
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from serjax.audio.capture import Device, devices, microphone, playback
from serjax.audio.stream import open_stream
from serjax.runtime.errors import MissingPackage, UserError


class Clock:
    """A clock that goes on when somebody sleeps, or is told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        assert seconds > 0
        self.now += seconds


@pytest.fixture
def recording(tmp_path):
    """9.3 s in two channels, which is three blocks of the stream."""
    wave = np.random.default_rng(0).normal(0, 0.1, (round(9.3 * 16_000), 2))
    soundfile.write(tmp_path / "x.wav", wave, 16_000, subtype="FLOAT")
    return tmp_path / "x.wav"


def whole(path):
    with open_stream(path) as stream:
        return np.concatenate(list(stream.blocks))


def test_a_recording_comes_as_fast_as_it_is_heard(recording):
    clock = Clock()
    with playback(recording, clock, clock.sleep) as sound:
        clock.now += 30  # the model was compiled meanwhile; it begins when it is first asked for
        began, heard = clock.now, []
        for piece in sound.pieces:
            heard.append(piece.samples)
            so_far = sum(map(len, heard)) / 16_000
            assert piece.at - began == pytest.approx(so_far)
            assert clock.now - began == pytest.approx(so_far, abs=1e-3)
    assert (sound.rate, sound.name) == (16_000, str(recording))
    np.testing.assert_array_equal(np.concatenate(heard), whole(recording))


def test_who_was_away_gets_all_that_has_come(recording):
    clock = Clock()
    with playback(recording, clock, clock.sleep) as sound:
        began, lengths = clock.now, []
        for piece in sound.pieces:
            lengths.append(len(piece.samples))
            assert piece.at <= clock.now + 1e-3
            clock.now += 0.7
    # Whole steps of 20 ms, which is all that a step later is not due.
    assert set(lengths[1:-1]) == {round(0.7 * 16_000)}
    assert sum(lengths) == len(whole(recording))
    assert clock.now - began < 9.3 + 2 * 0.7


class PortAudioError(Exception):
    pass


class Inputs:
    """The part of sounddevice that is used: two inputs, of which one thread gives what it is told."""

    def __init__(self, blocks=(), broken=False):
        self.default = SimpleNamespace(device=[2, 0])
        self.PortAudioError, self.InputStream = PortAudioError, self.open
        self.blocks, self.broken = blocks, broken

    found = (
        {"name": "Speakers", "max_input_channels": 0, "default_samplerate": 48_000.0},
        {"name": "Webcam", "max_input_channels": 1, "default_samplerate": 16_000.0},
        {"name": "Headset", "max_input_channels": 2, "default_samplerate": 44_100.0},
    )

    def query_devices(self, device=None, kind=None):
        if kind is None:
            return self.found
        if device is None:
            return self.found[2]
        if isinstance(device, int):
            return self.found[device]
        match = [one for one in self.found if device.lower() in one["name"].lower()]
        if not match:
            raise ValueError(f"No input device matching {device!r}")
        return match[0]

    def open(self, *, device, samplerate, channels, dtype, blocksize, callback):
        if self.broken:
            raise PortAudioError("Error opening InputStream: Device unavailable [PaErrorCode -9985]")
        assert (channels, dtype, blocksize) == (1, "float32", round(0.02 * samplerate))
        return Opened(callback, self.blocks)


class Opened:
    def __init__(self, callback, blocks):
        self.thread = threading.Thread(target=self.run, args=(callback, blocks))

    def run(self, callback, blocks):
        buffer = np.zeros((4, 1), np.float32)  # PortAudio uses its buffer again
        for value, lost in blocks:
            buffer[:] = value
            callback(buffer, 4, None, SimpleNamespace(input_overflow=lost))

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.thread.join()


@pytest.fixture
def inputs(monkeypatch):
    def put(**given):
        monkeypatch.setitem(sys.modules, "sounddevice", Inputs(**given))

    return put


def test_a_microphone_gives_what_has_come_since_the_last_time(inputs, monkeypatch):
    inputs(blocks=[(1.0, False), (2.0, True), (3.0, False)])
    with microphone("webcam") as sound:
        assert (sound.name, sound.rate) == ("Webcam", 16_000)
        queue = sound.pieces.gi_frame.f_locals["coming"]
        while queue.qsize() < 3:
            time.sleep(0.01)
        kept = [queue.get() for _ in range(3)]

        class Late:
            """A queue that is filled when it is first waited for."""

            def __init__(self):
                self.left = []

            def empty(self):
                return not self.left

            def get(self, timeout=None):
                if timeout is not None:
                    self.left = list(kept)
                return self.left.pop(0)

        from serjax.audio.capture import _drained

        piece = next(_drained(Late(), "x"))
    np.testing.assert_array_equal(piece.samples[:, 0], np.repeat([1, 2, 3], 4))
    assert (piece.lost, piece.at) == (1, kept[-1].at)


def test_what_came_before_is_not_heard(inputs):
    inputs(blocks=[(1.0, False)] * 50)
    with microphone() as sound:
        assert (sound.name, sound.rate) == ("Headset", 44_100)
        while sound.pieces.gi_frame.f_locals["coming"].qsize() < 50:
            time.sleep(0.01)
        queue = sound.pieces.gi_frame.f_locals["coming"]
        timer = threading.Timer(0.2, lambda: queue.put(kept))
        kept = queue.get()._replace(samples=np.full((2, 1), 7, np.float32))
        timer.start()
        assert next(sound.pieces).samples.tolist() == [[7], [7]]


def test_a_microphone_that_is_pulled_out_is_told(inputs, monkeypatch):
    monkeypatch.setattr("serjax.audio.capture._QUIET", 0.05)
    inputs()
    with microphone("1") as sound, pytest.raises(UserError, match=r"Webcam: it has given no sound for 0.05 s; is it"):
        next(sound.pieces)


@pytest.mark.parametrize(
    ("given", "device", "message"),
    [
        ({}, "violin", r"--device violin: it cannot be opened \(No input device matching 'violin'\); choose another"),
        ({"broken": True}, None, r"the system's input: it cannot be opened \(.*Device unavailable.*--list-devices"),
    ],
)
def test_an_input_that_cannot_be_opened_is_told(inputs, given, device, message):
    inputs(**given)
    with pytest.raises(UserError, match=message), microphone(device):
        pass


def test_inputs_are_listed(inputs):
    inputs()
    assert devices() == [Device(1, "Webcam", 1, 16_000, False), Device(2, "Headset", 2, 44_100, True)]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ImportError, MissingPackage, r"Microphones are recorded by sounddevice, which is not installed; .*live"),
        (OSError, UserError, r"PortAudio, a library of the system that is not installed; .*apt install libportaudio2"),
    ],
)
def test_what_is_missing_is_told(monkeypatch, error, kind, message):
    real = builtins.__import__

    def without(name, *given):
        if name == "sounddevice":
            raise error(name)
        return real(name, *given)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(kind, match=message):
        devices()
    with pytest.raises(kind, match=message), microphone():
        pass
