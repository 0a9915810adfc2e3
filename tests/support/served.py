"""Servers of tests: a tiny run behind the application, in this process or on a port."""

import base64
import contextlib
import io
import threading
import time

import numpy as np
import soundfile
import uvicorn
from saved_runs import write_run
from starlette.testclient import TestClient

from serjax.inference.load import load
from serjax.inference.server.app import make_app
from serjax.inference.server.run import bind
from serjax.inference.server.service import Service, Settings


def sound(seconds=0.8, pitch=200.0, rate=16_000, channels=1, kind="WAV"):
    """Bytes of a sound file with a tone, another in each channel."""
    time_ = np.arange(round(seconds * rate)) / rate
    wave = np.stack([0.3 * np.sin(2 * np.pi * pitch * (1 + 0.5 * c) * time_) for c in range(channels)], 1)
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=kind)
    return file.getvalue()


def in_base64(content):
    return base64.b64encode(content).decode()


def make_service(folder, *, card="# Card", **settings):
    """A service of a run of two folds that hears 0.5 s; nothing is compiled before it is needed."""
    if not folder.is_dir():
        write_run(folder)
    return Service(load(folder), Settings(**{"name": "tiny", "card": card, "decoders": 1, "warm_up": False} | settings))


@contextlib.contextmanager
def client(service):
    """A client of the application in this process, when the service is ready."""
    with TestClient(make_app(service), base_url="http://server") as found:
        wait_for(lambda: service.ready)
        yield found


@contextlib.contextmanager
def on_port(service):
    """URL of the application on a port of this machine, when the service is ready."""
    listening = bind("127.0.0.1", 0)
    config = uvicorn.Config(
        make_app(service), log_config=None, loop="asyncio", lifespan="on", timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        wait_for(lambda: service.ready)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


def wait_for(there, seconds=60.0):
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
