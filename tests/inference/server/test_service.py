"""The service: the models that it takes, its warm-up, its end, and clients that hang up."""

import asyncio
import http.client
import socket
import time

import pytest
from saved_runs import SPEECH, write_run
from served import client, make_service, on_port, sound, wait_for

from serjax.inference.files import answer
from serjax.inference.load import load
from serjax.inference.server.limits import Limits, Refused
from serjax.inference.server.service import Service, Settings, read_card
from serjax.runtime.errors import UserError


def test_models_of_video_and_whole_clips_are_refused(run_folder):
    ensemble = load(run_folder)
    ensemble.modalities = frozenset({"sound", "video"})
    with pytest.raises(UserError, match="this model takes video"):
        Service(ensemble, Settings("x"))
    ensemble = load(run_folder)
    ensemble.long_clips = "whole"
    with pytest.raises(UserError, match="leave --whole out"):
        Service(ensemble, Settings("x"))


def test_the_warm_up_compiles_everything_before_the_server_is_ready(service_of):
    service = service_of(warm_up=True, limits=Limits(batch=2))
    assert (service.ready, service.compiled) == (False, 0)
    with pytest.raises(Refused, match="warming up"):
        service.check_ready()
    with client(service):
        assert service.compiled == service.programs == len(service.batcher.shapes())
    with pytest.raises(Refused, match="shutting down"):
        service.check_ready()


def test_a_card_is_read_where_there_is_one(tmp_path):
    assert read_card(tmp_path) is None
    (tmp_path / "README.md").write_text("# Card")
    assert read_card(tmp_path) == "# Card"


def test_a_head_alone_is_answered_where_it_is_asked_for(tmp_path):
    write_run(tmp_path / "run", SPEECH)
    ensemble = load(tmp_path / "run", long_clips="head")
    service = Service(ensemble, Settings("x", decoders=1, warm_up=False))
    content = sound(seconds=70, rate=8_000)
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    with client(service) as own:
        found = own.post("/", content=content).json()
    (expected,) = answer(ensemble, [path])
    assert [one["label"] for one in found] == [one["label"] for one in expected.scores]


def connect(url):
    return socket.create_connection(url.removeprefix("http://").split(":"), timeout=20)


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\n"


def test_clients_that_hang_up_leave_nothing_behind(service_of):
    service = service_of()
    whole = sound()
    with on_port(service) as url:
        for part in (b"", whole[:5_000], whole):
            with connect(url) as line:
                line.sendall(HEAD + f"Content-Length: {len(whole)}\r\n\r\n".encode() + part)
        wait_for(lambda: service.requests == 0 and service.budget.held == 0 and service.batcher.waiting == 0)
        name, port = url.removeprefix("http://").split(":")
        line = http.client.HTTPConnection(name, int(port), timeout=60)
        line.request("POST", "/", whole)
        assert line.getresponse().status == 200
        line.close()


def test_slow_bodies_and_bodies_without_an_end_are_ended_by_the_server(service_of):
    service = service_of(limits=Limits(idle_seconds=0.2, max_bytes=100_000))
    with on_port(service) as url:
        with connect(url) as line:
            line.sendall(HEAD + b"Content-Length: 1000\r\n\r\nRIFF")
            assert line.recv(4096).startswith(b"HTTP/1.1 408")
        with connect(url) as line:
            line.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            answer = b""
            try:
                for _ in range(1000):
                    line.sendall(b"1000\r\n" + bytes(4096) + b"\r\n")
                    line.settimeout(0.001)
                    try:
                        answer += line.recv(4096)
                        break
                    except TimeoutError:
                        line.settimeout(20)
            except (BrokenPipeError, ConnectionResetError):
                pass
            if not answer:
                answer = line.recv(4096)
            assert answer.startswith(b"HTTP/1.1 413")
    assert service.budget.held == 0


def test_requests_of_many_clients_get_their_own_answers(tmp_path):
    """Loudness differs from pitch to pitch in nothing; each client's clip has an answer of its own."""
    from concurrent.futures import ThreadPoolExecutor

    service = make_service(tmp_path / "run", limits=Limits(wait=0.05))
    clips = [sound(seconds=0.1 + 0.07 * number, pitch=100 + 60 * number) for number in range(12)]
    with client(service) as own, ThreadPoolExecutor(12) as pool:
        alone = [own.post("/", content=clip).json() for clip in clips]
        together = list(pool.map(lambda clip: own.post("/", content=clip).json(), clips * 4))
        for number, found in enumerate(together):
            expected = {one["label"]: one["score"] for one in alone[number % 12]}
            assert {one["label"]: one["score"] for one in found} == pytest.approx(expected, abs=1e-5)
    assert len({str(one) for one in alone}) == 12


def test_the_event_loop_is_free_while_models_compute(service_of, monkeypatch):
    service = service_of()
    inner = service.ensemble.logits

    def slow(*given):
        time.sleep(0.5)
        return inner(*given)

    monkeypatch.setattr(service.ensemble, "logits", slow)

    async def run():
        async with service.running():
            while not service.ready:
                await asyncio.sleep(0.01)
            task = asyncio.create_task(service.classify(sound(), lambda _: None))
            ticks = 0
            while not task.done():
                await asyncio.sleep(0.01)
                ticks += 1
            await task
            return ticks

    assert asyncio.run(run()) > 10
