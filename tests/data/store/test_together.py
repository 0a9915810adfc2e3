"""Processes that share a folder decode each clip once between them, and leave what one process leaves."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import filelock
import numpy as np
import pytest
import soundfile

from serjax.data.store import together as module
from serjax.data.store.clips import open_store
from serjax.data.store.ragged import RaggedWriter
from serjax.data.store.together import make_together, remove_parts, work_together
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError

PROGRAM = Path(__file__).with_name("several_processes.py")


@pytest.fixture(scope="module")
def utterances(tmp_path_factory):
    """Clips of one length of noise each, as files."""
    folder, rng = tmp_path_factory.mktemp("recordings"), np.random.default_rng(0)
    found = []
    for i in range(13):
        path = folder / f"clip{i}.wav"
        soundfile.write(path, rng.uniform(-0.5, 0.5, 1_600 + 100 * (i % 5)), 16_000)
        found.append(Utterance(path.stem, path, "sad"))
    return found


@pytest.fixture(scope="module")
def alone(utterances, tmp_path_factory):
    """Folder of the store that one process writes."""
    return open_store(utterances, tmp_path_factory.mktemp("alone") / "clips", skip_bad=False).folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run(caches, utterances, killed="-", statuses=None, program=PROGRAM):
    """Open a store in a process for each cache; return what each printed, and what it said on standard error."""
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    paths = [str(clip.path) for clip in utterances]
    processes = [
        subprocess.Popen(
            [sys.executable, program, str(port), str(len(caches)), str(index), str(cache), killed, *paths],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"JAX_NUM_CPU_DEVICES": "1", "JAX_PLATFORMS": "cpu"},
        )
        for index, cache in enumerate(caches)
    ]
    ended = [process.communicate(timeout=240) for process in processes]
    found = [process.returncode for process in processes]
    assert found == (statuses or [0] * len(caches)) or statuses is False, ended
    return ended if statuses is not None else [json.loads(out.splitlines()[-1]) | {"log": out} for out, _ in ended]


@pytest.mark.parametrize(("count", "clips"), [(2, 13), (4, 13), (4, 3)])
def test_each_file_is_hashed_and_decoded_by_one_process(tmp_path, utterances, count, clips):
    utterances = utterances[:clips]
    alone = open_store(utterances, tmp_path / "alone", skip_bad=False).folder
    found = run([tmp_path] * count, utterances)
    names = sorted(clip.path.name for clip in utterances)
    for work in ("decoded", "hashed"):
        assert sorted(name for one in found for name in one[work]) == names
        assert all(len(one[work]) >= len(names) // count for one in found)
    assert {one["store"] for one in found} == {str(tmp_path / "clips" / alone.name)}
    assert contents(tmp_path / "clips" / alone.name) == contents(alone)
    # No part is left, and no lock of one.
    assert {path.name for path in (tmp_path / "clips").iterdir()} == {alone.name, f".{alone.name}.lock"}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, utterances):
    """A cache that two processes left when the second was killed at the clip before the last."""
    cache = tmp_path_factory.mktemp("stopped")
    run([cache] * 2, utterances, "clip11.wav", statuses=False)
    assert [path.name[-11:] for path in (cache / "clips").glob("*1-of-2.part")] == ["1-of-2.part"]
    return cache


@pytest.mark.slow
def test_parts_are_gone_on_with_after_a_kill(stopped, utterances, alone, tmp_path):
    subprocess.run(["cp", "-a", f"{stopped}/.", tmp_path], check=True)
    first, second = run([tmp_path] * 2, utterances)
    assert first["decoded"] == []
    assert "clip12.wav" in second["decoded"]
    assert len(second["decoded"]) <= 4
    assert contents(tmp_path / "clips" / alone.name) == contents(alone)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_parts_of_another_number_of_processes_go(stopped, utterances, alone, tmp_path, count):
    subprocess.run(["cp", "-a", f"{stopped}/.", tmp_path], check=True)
    if count == 1:
        open_store(utterances, tmp_path / "clips", skip_bad=False)
    else:
        run([tmp_path] * count, utterances)
    assert contents(tmp_path / "clips" / alone.name) == contents(alone)
    assert not list((tmp_path / "clips").glob("*-of-*"))


@pytest.mark.slow
def test_what_one_process_left_is_not_joined_again(utterances, alone, tmp_path):
    """A store of which eight clips are there needs the last part alone."""
    unfinished = tmp_path / "clips" / f"{alone.name}.part"
    unfinished.mkdir(parents=True)
    store = open_store(utterances, alone.parent, skip_bad=False)
    with RaggedWriter(unfinished, "<f4", items=13, name="samples", option="--data.cache") as writer:
        for i in range(8):
            columns = {name: values[i] for name, values in store._ragged.columns.items()}
            writer.write(i, store.clip(i), **columns)
            writer.step()
    first, second = run([tmp_path] * 2, utterances)
    assert first["decoded"] == []
    assert len(second["decoded"]) == 7
    assert contents(tmp_path / "clips" / alone.name) == contents(alone)


@pytest.mark.slow
def test_processes_without_a_folder_in_common_decode_all(tmp_path, utterances, alone):
    caches = [tmp_path / "a", tmp_path / "b", tmp_path / "b"]
    found = run(caches, utterances)
    for cache in caches:
        assert contents(cache / "clips" / alone.name) == contents(alone)
    # Of the two that have one folder in common, one decodes.
    assert sorted(len(one["decoded"]) for one in found) == [0, 13, 13]
    log = found[0]["log"]
    assert log.count("processes 1, 2 cannot see") == 1
    assert "clips are decoded once on each machine; --data.cache names" in log


def test_clips_that_cannot_be_used_end_all_processes_with_a_sentence(tmp_path, utterances):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound")
    clips = [Utterance("bad", bad, "sad"), *utterances[:6], Utterance("gone", tmp_path / "gone.wav", "sad")]
    (_, first), (_, second) = run([tmp_path] * 2, clips, statuses=[2, 2])
    assert "2 of 8 clips cannot be used; repair or remove them" in first
    assert f"{bad}: it is not a sound file" in first
    assert f"{tmp_path / 'gone.wav'}: it cannot be opened" in first
    assert "Traceback" not in first + second


def test_other_clips_are_named(tmp_path, utterances):
    """The division of work follows from the list, so that all must have the same one."""
    program = PROGRAM.read_text().replace("for path in paths]", "for path in paths][distributed.index() :]")
    assert "[distributed.index() :]" in program
    (tmp_path / "other.py").write_text(program)
    (_, first), _ = run([tmp_path] * 2, utterances, statuses=[2, 2], program=tmp_path / "other.py")
    assert "process 1 has another list of clips (its fingerprint) than process 0" in first


def test_one_process_needs_no_parts(tmp_path):
    assert not work_together(tmp_path)
    made = []

    def fill(folder, steps):
        made.append(list(steps))
        (folder / "index.json").write_text("{}")

    def join(folder, parts):
        assert [part.is_dir() for part in parts] == [True]
        (folder / "index.json").write_text("joined")

    for _ in range(2):
        make_together(tmp_path / "key", lambda part, parts: range(part, 3, parts), fill, join, "--data.cache")
    assert made == [[0, 1, 2]]
    assert (tmp_path / "key" / "index.json").read_text() == "joined"
    assert not list(tmp_path.glob("*-of-*"))


def test_parts_that_somebody_makes_stay(tmp_path):
    for name in ("key.0-of-2", "key.1-of-2.part", "key.0-of-3.part", "other.0-of-2"):
        (tmp_path / name).mkdir()
    with filelock.FileLock(tmp_path / ".key.0-of-3.lock"):
        remove_parts(tmp_path / "key", [tmp_path / "key.0-of-2"])
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {
        "key.0-of-2",
        "key.0-of-3.part",
        "other.0-of-2",
    }


def test_an_array_that_does_not_come_into_sight_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "wait_for", lambda path: path.is_file())
    with pytest.raises(
        UserError, match=r"key\.0-of-1: process 0 does not see what another process has written there; .*cache"
    ):
        make_together(tmp_path / "key", lambda part, parts: range(2), lambda *_: None, lambda *_: None, "--data.cache")
