"""Live sound: the window of every hop, its answer over the WebSocket, and what is refused."""

import json

import numpy as np
import pytest
from starlette.websockets import WebSocketDisconnect

from serjax.inference.load import load


def pcm(samples):
    return (np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes()


def tone(seconds, rate=16_000):
    return 0.3 * np.sin(2 * np.pi * 200 * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("size", [999, 1_000, 7_777])
def test_pieces_of_any_length_are_answered_as_one(asked, run_folder, size):
    """Pieces may end within a sample; a rate of 44.1 kHz is resampled as a whole."""
    whole = pcm(tone(1.3, 44_100))
    with asked.websocket_connect("/stream?rate=44100&window=0.5&hop=0.25") as socket:
        for place in range(0, len(whole), size):
            socket.send_bytes(whole[place : place + size])
        socket.send_json({"end": True})
        found = [socket.receive_json() for _ in range(6)]
    live = load(run_folder).stream(44_100, 0.5, 0.25)
    expected = live.push(np.frombuffer(whole, "<i2")) + live.flush()
    assert [(one["start"], one["end"]) for one in found] == [(one.start, one.end) for one in expected]
    for one, other in zip(found, expected, strict=True):
        scores = {entry["label"]: entry["score"] for entry in one["scores"]}
        np.testing.assert_allclose([scores[label] for label in live.labels], other.score, atol=1e-5)


def test_a_stream_is_answered_every_hop(asked, run_folder):
    samples = tone(1.3)
    with asked.websocket_connect("/stream?rate=16000&window=0.5&hop=0.25") as socket:
        for piece in np.split(samples, 13):
            socket.send_bytes(pcm(piece))
        socket.send_json({"end": True})
        found = [socket.receive_json() for _ in range(6)]
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()
    assert [(one["start"], one["end"]) for one in found] == [
        (0.0, 0.25),
        (0.0, 0.5),
        (0.25, 0.75),
        (0.5, 1.0),
        (0.75, 1.25),
        (0.8, 1.3),
    ]
    heard = np.frombuffer(pcm(samples), "<i2").astype(np.float32) / 32_768
    ensemble = load(run_folder)
    for one in found:
        expected = ensemble((heard[round(16_000 * one["start"]) : round(16_000 * one["end"])], 16_000))
        np.testing.assert_allclose(
            [entry["score"] for entry in one["scores"]], [entry["score"] for entry in expected], atol=1e-5
        )
        assert one["uncertainty"] >= 0


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("rate=4000", "rate: got 4000"),
        ("rate=x", "rate: got x"),
        ("window=9", "window: got 9 s"),
        ("hop=x", "hop: got x"),
    ],
)
def test_wrong_parameters_are_refused_before_the_stream_opens(asked, query, sentence):
    from starlette.testclient import WebSocketDenialResponse

    with pytest.raises(WebSocketDenialResponse) as refused, asked.websocket_connect(f"/stream?{query}"):
        pass
    assert refused.value.status_code == 422
    assert sentence in refused.value.json()["error"]


@pytest.mark.parametrize("message", ["hello", "[]", '{"end": false}'])
def test_other_messages_are_refused(asked, message):
    with asked.websocket_connect("/stream") as socket:
        socket.send_text(message)
        assert "send 16-bit PCM as binary messages" in socket.receive_json()["error"]
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == 1008


def test_silence_of_the_client_ends_a_stream(service_of):
    from served import client

    from serjax.inference.server.limits import Limits

    service = service_of(limits=Limits(idle_seconds=0.02))
    with client(service) as own, own.websocket_connect("/stream") as socket:
        assert "no sound came for a while" in socket.receive_json()["error"]
    assert service.streams == 0


def test_there_are_no_more_streams_than_allowed(service_of):
    from served import client
    from starlette.testclient import WebSocketDenialResponse

    from serjax.inference.server.limits import Limits

    with client(service_of(limits=Limits(streams=1))) as own, own.websocket_connect("/stream") as socket:
        with pytest.raises(WebSocketDenialResponse) as refused, own.websocket_connect("/stream"):
            pass
        assert refused.value.status_code == 429
        socket.send_json({"end": True})


@pytest.mark.parametrize("right", [True, False])
def test_the_key_comes_in_a_header_or_in_the_first_message(service_of, right):
    from served import client

    key = "secret" if right else "wrong"
    with client(service_of(api_key="secret")) as own:
        for headers, first in (({"Authorization": f"Bearer {key}"}, None), ({}, {"api_key": key})):
            with own.websocket_connect("/stream?hop=0.5&window=0.5", headers=headers) as socket:
                if first or not right:
                    socket.send_text(json.dumps(first or {"api_key": key}))
                if right:
                    socket.send_bytes(pcm(tone(0.5)))
                    assert "scores" in socket.receive_json()
                    socket.send_json({"end": True})
                else:
                    assert "the API key is missing or wrong" in socket.receive_json()["error"]
