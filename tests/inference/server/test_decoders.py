"""Decoding processes: one that dies, hangs or is killed costs nobody else an answer."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from served import sound

from serjax.inference.server.decoders import Decoders
from serjax.inference.server.limits import Limits, Refused
from serjax.inference.server.metrics import Metrics


def run(work, count=1, **limits):
    """Return what `work` returns of started decoders, whose files and processes must be gone afterwards."""

    async def all_of_it():
        metrics = Metrics()
        decoders = Decoders(count, Limits(**limits), metrics)
        await decoders.start()
        try:
            return await work(decoders), metrics
        finally:
            pids = decoders.pids
            await decoders.close()
            assert not decoders._folder.exists()
            assert not any(Path(f"/proc/{pid}").exists() for pid in pids)

    return asyncio.run(all_of_it())


def test_a_process_that_was_killed_is_replaced():
    async def work(decoders):
        (before,) = decoders.pids
        os.kill(before, signal.SIGKILL)
        found = await decoders.decode(sound(), apart=False)
        return before, decoders.pids, found

    (before, after, found), metrics = run(work)
    assert len(found.mono) == 12_800
    assert before not in after
    assert len(after) == 1
    assert metrics.value("serjax_decoder_restarts_total") <= 1


def test_a_process_that_is_killed_while_it_decodes_is_asked_again():
    async def work(decoders):
        (pid,) = decoders.pids
        os.kill(pid, signal.SIGSTOP)  # it hangs
        task = asyncio.create_task(decoders.decode(sound(), apart=False))
        await asyncio.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        return await task

    found, metrics = run(work)
    assert len(found.mono) == 12_800
    assert metrics.value("serjax_decoder_restarts_total") == 1


def test_a_process_that_hangs_is_killed_and_the_next_recording_is_decoded():
    async def work(decoders):
        (pid,) = decoders.pids
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(Refused, match=r"took more than 0\.5 s") as refused:
            await decoders.decode(sound(), apart=False)
        assert refused.value.status == 422
        assert not Path(f"/proc/{pid}").exists()
        return await decoders.decode(sound(), apart=False)

    found, _ = run(work, decode_seconds=0.5)
    assert len(found.mono) == 12_800


def test_a_recording_that_kills_its_process_twice_is_refused(monkeypatch):
    async def work(decoders):
        async def killer():
            while True:
                for pid in decoders.pids:
                    if decoders._idle.empty():
                        os.kill(pid, signal.SIGKILL)
                await asyncio.sleep(0.005)

        task = asyncio.create_task(killer())
        try:
            with pytest.raises(Refused) as refused:
                await decoders.decode(b"x" * 30_000_000, apart=False)
        finally:
            task.cancel()
        return refused.value.status

    status, _ = run(work)
    assert status in (422, 503)  # as it dies while it decodes, or while it starts


def test_recordings_are_not_mixed_up():
    async def work(decoders):
        lengths = [0.1 * number for number in range(1, 13)]
        found = await asyncio.gather(*(decoders.decode(sound(seconds=one), apart=False) for one in lengths))
        return [len(one.mono) for one in found] == [round(one * 16_000) for one in lengths]

    same, _ = run(work, count=2)
    assert same


def test_too_much_memory_is_refused():
    async def work(decoders):
        with pytest.raises(Refused) as refused:
            await decoders.decode(sound(seconds=4000, pitch=0, rate=8_000, kind="FLAC"), apart=True)
        assert len((await decoders.decode(sound(), apart=False)).mono) == 12_800
        return refused.value.status

    status, _ = run(work, decode_bytes=500 << 20)
    assert status in (413, 422)
