"""Running a server: ports that cannot be had, and the end on a signal."""

import re
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
from served import sound

from serjax.inference.server.run import bind
from serjax.runtime.errors import UserError


def test_a_port_that_is_in_use_gets_a_sentence():
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            UserError, match=f"127.0.0.1:{port}: the server cannot listen there .*Address already in use"
        ):
            bind("127.0.0.1", port)


def test_an_address_that_is_none_gets_a_sentence():
    with pytest.raises(UserError, match="the server cannot listen there"):
        bind("no.such.host.invalid", 8_000)
    with pytest.raises(UserError, match="--port: got 70000; give 0 to 65535"):
        bind("127.0.0.1", 70_000)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_after_its_requests(run_folder, number):
    command = [sys.executable, "-m", "serjax.serve", str(run_folder), "--port", "0", "--batch", "1", "--decoders", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    told = []
    try:
        for line in process.stderr:
            told.append(line)
            if line.startswith("Ready"):
                break
        url = re.search(r"http://127\.0\.0\.1:\d+", "".join(told))[0]
        request = urllib.request.Request(url, sound(), {"Content-Type": "audio/wav"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200
        process.send_signal(number)
        began = time.monotonic()
        rest = process.stderr.read()
        assert process.wait(60) == 0
        assert time.monotonic() - began < 60
        assert rest == "The server has ended.\n"
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
