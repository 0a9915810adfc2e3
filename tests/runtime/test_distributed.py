"""What processes tell each other, alone and as two."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from serjax.runtime import distributed
from serjax.runtime.errors import UserError


def test_a_process_alone_is_the_first_of_one():
    assert not distributed.several()
    assert (distributed.index(), distributed.count(), distributed.first()) == (0, 1, True)
    assert distributed.exchange("names", "me") == ["me"]
    assert distributed.to_first("names", "me") == ["me"]
    assert distributed.from_first("value", lambda: object) is object
    assert distributed.first_then_rest("work", lambda: 3) == 3
    distributed.same({"seed": 3})
    distributed.wait_for_all("end")
    assert distributed.tell_end(2, "over")
    distributed.leave(2)
    distributed.finish()


def test_an_error_of_one_that_is_alone_comes_out_as_it_is():
    def refuse():
        raise UserError("no")

    with pytest.raises(UserError, match=r"^no$"):
        distributed.from_first("value", refuse)
    assert not distributed.lost(jax.errors.JaxRuntimeError("Gloo all-reduce failed"))


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        ("UNKNOWN: Gloo all-reduce failed: Connection reset by peer", True),
        ("INTERNAL: NCCL operation ncclAllReduce failed", True),
        ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes", False),
    ],
)
def test_errors_of_connections_are_told_from_those_of_memory(monkeypatch, message, lost):
    monkeypatch.setattr(distributed, "several", lambda: True)
    monkeypatch.setattr(distributed.time, "sleep", lambda seconds: None)
    assert distributed.lost(jax.errors.JaxRuntimeError(message)) is lost
    assert distributed.lost(ValueError(message)) is lost


@pytest.fixture(scope="module")
def found(cpu_processes):
    return [json.loads(out.splitlines()[-1]) for out in cpu_processes("two_processes.py")]


@pytest.fixture(scope="module")
def cpu_processes():
    def run(script):
        with socket.create_server(("", 0)) as server:
            port = server.getsockname()[1]
        environment = {"JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"}
        processes = [
            subprocess.Popen(
                [sys.executable, Path(__file__).with_name(script), str(port), str(index)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **environment},
            )
            for index in (0, 1)
        ]
        ended = [process.communicate(timeout=240) for process in processes]
        assert [process.returncode for process in processes] == [0, 0], ended
        return [out for out, _ in ended]

    return run


def test_each_knows_its_place(found):
    assert [one["place"] for one in found] == [[0, 2, True, 4], [1, 2, False, 4]]


def test_texts_are_exchanged_in_the_order_of_processes(found):
    for one in found:
        assert one["exchange"] == ["process 0", "process 1"]
        assert one["again"] == ["process 0 again", "process 1 again"]


def test_texts_may_be_longer_than_a_message(found):
    for one in found:
        assert one["long"] == [True, True]
        assert one["none"] == ["", ""]


def test_the_first_is_told_in_the_order_of_processes(found):
    assert [one["to first"] for one in found] == [["process 0", "process 1"], None]
    assert [one["to first again"] for one in found] == [["process 0 again", "process 1 again"], None]


def test_the_first_tells_the_others_what_it_made_or_why_not(found):
    assert [one["from first"] for one in found] == [{"index": 0}] * 2
    assert [one["refused"] for one in found] == ["the first process refuses"] * 2
    # Work that leaves files is done by each, the others' after the first's.
    assert [one["first then rest"] for one in found] == [0, 1]
    assert [one["calls"] for one in found] == [[0, 1], [1]]


def test_facts_that_differ_are_named(found):
    for one in found:
        assert one["differs"].startswith("process 1 has another version of jax than process 0: 0.1, not 0.0;")
        assert one["alike"] is None


def test_arrays_go_to_the_mesh_and_come_back_whole(found):
    rows = np.arange(8.0).reshape(2, 4)
    keys = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(1), 2)))
    for index, one in enumerate(found):
        assert one["mesh"] == [[0, 0], [1, 1]]
        assert one["whole"] == rows.sum(1).tolist()
        assert one["rows"] == rows.tolist()
        assert one["own"] == rows[index : index + 1].tolist()
        assert one["keys"] == keys.tolist()
