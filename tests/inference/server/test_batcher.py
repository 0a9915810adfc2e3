"""The batcher: windows of a length go together, answers go to whom they belong, and one who is gone costs nothing."""

import asyncio
import threading
import time

import numpy as np
import pytest

from serjax.inference.server.batcher import Batcher
from serjax.inference.server.limits import Limits
from serjax.inference.server.metrics import Metrics


class Fake:
    """Models whose logits are the sum of a window, and which note what they are called with."""

    longest = 24_000
    """Samples; padded lengths are 16,000, 20,160 and 24,000."""

    def __init__(self, seconds=0.0):
        self.calls, self.seconds, self.threads = [], seconds, set()

    def logits(self, waves, longest):
        time.sleep(self.seconds)
        self.calls.append((len(waves), longest))
        self.threads.add(threading.get_ident())
        return np.array([[[wave.sum()]] for wave in waves], np.float32)


def run(work, models, **limits):
    async def all_of_it():
        batcher = Batcher(models, Limits(**limits), Metrics())
        task = asyncio.create_task(batcher.run())
        try:
            return await work(batcher)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return asyncio.run(all_of_it())


def waves(count, samples=8_000):
    return [np.full(samples, number / samples, np.float32) for number in range(count)]


def test_windows_of_several_requests_are_one_call():
    models = Fake()
    own = waves(8)
    found = run(lambda batcher: asyncio.gather(*(batcher.logits([one]) for one in own)), models, wait=5.0)
    np.testing.assert_allclose(np.ravel(found), range(8), atol=1e-4)
    assert models.calls == [(8, 16_000)]
    assert models.threads != {threading.get_ident()}


def test_a_window_alone_waits_no_longer_than_it_must():
    models = Fake()
    began = time.monotonic()
    run(lambda batcher: batcher.logits(waves(1)), models, wait=0.01)
    assert models.calls == [(1, 16_000)]
    assert time.monotonic() - began < 30  # and not until others come


@pytest.mark.parametrize(("batch", "expected"), [(8, {8}), (2, {2})])
def test_windows_of_other_lengths_go_apart(batch, expected):
    models = Fake()

    async def work(batcher):
        return await asyncio.gather(*(batcher.logits(waves(8, samples)) for samples in (1_000, 20_000, 23_000, 24_000)))

    found = run(work, models, batch=batch, wait=5.0)
    for one in found:
        np.testing.assert_allclose(one[:, 0, 0], range(8), atol=1e-4)
    assert {size for size, _ in models.calls} == expected
    assert sum(size for size, _ in models.calls) == 32
    assert {length for _, length in models.calls} == {16_000, 20_160, 24_000}


def test_a_request_that_has_ended_is_not_computed():
    models = Fake(0.1)

    async def work(batcher):
        first = asyncio.create_task(batcher.logits(waves(8)))
        await asyncio.sleep(0.05)
        gone = asyncio.create_task(batcher.logits(waves(3, 20_000)))
        await asyncio.sleep(0)
        gone.cancel()
        await first
        await asyncio.sleep(0.05)
        return batcher.waiting

    assert run(work, models) == 0
    assert models.calls == [(8, 16_000)]


def test_an_error_reaches_the_requests_of_its_call_and_no_others():
    class Broken(Fake):
        def logits(self, waves, longest):
            if longest == 16_000:
                raise ValueError("broken")
            return super().logits(waves, longest)

    async def work(batcher):
        return await asyncio.gather(batcher.logits(waves(1)), batcher.logits(waves(1, 20_000)), return_exceptions=True)

    broken, fine = run(work, Broken())
    assert isinstance(broken, ValueError)
    assert fine.shape == (1, 1, 1)


def test_the_end_is_told_to_those_who_wait():
    async def work():
        batcher = Batcher(Fake(0.2), Limits(), Metrics())
        task = asyncio.create_task(batcher.run())
        waiting = [asyncio.create_task(batcher.logits(waves(8))) for _ in range(4)]
        await asyncio.sleep(0.05)
        task.cancel()
        done = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
        return [type(one) for one in done]

    assert asyncio.CancelledError in asyncio.run(work())


def test_every_program_is_compiled_at_the_start():
    async def work(batcher):
        for size, length in batcher.shapes():
            await batcher.compile(size, length)
        return batcher.shapes()

    models = Fake()
    shapes = run(work, models)
    assert shapes == [(size, length) for length in (16_000, 20_160, 24_000) for size in (1, 2, 4, 8)]
    assert models.calls == shapes

    short = Fake()
    short.longest = 8_000
    assert Batcher(short, Limits(batch=2), Metrics()).shapes() == [(1, 8_000), (2, 8_000)]


def test_warmed_up_shapes_are_those_that_clips_ask_for(run_folder):
    from serjax.inference.load import load

    ensemble, asked = load(run_folder), set()
    inner = ensemble._logits

    def noted(params, shared, inputs, **more):
        asked.add(inputs.wave.shape)
        return inner(params, shared, inputs, **more)

    ensemble._logits = noted

    async def work(batcher):
        for size, length in batcher.shapes():
            await batcher.compile(size, length)
        warm = set(asked)
        rng = np.random.default_rng(0)
        for count in (1, 3, 8, 13):
            await batcher.logits([np.ones(rng.integers(600, 8_001), np.float32) for _ in range(count)])
        return warm

    warm = run(work, ensemble)
    assert asked == warm
