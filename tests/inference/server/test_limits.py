"""Limits: bodies that are too large, too slow or without an end are refused, and what is held is given back."""

import asyncio

import pytest

from serjax.inference.server.limits import Budget, Limits, Refused, bounded

SMALL = Limits(max_bytes=100, idle_seconds=0.05, upload_seconds=0.2)


def read(parts, declared=None, most=100, budget=None):
    async def run():
        with (budget or Budget(1000)).allowance() as allowance:
            return b"".join([part async for part in bounded(parts(), declared, most, SMALL, allowance)])

    return asyncio.run(run())


async def few():
    for _ in range(3):
        yield b"abc"


async def endless():
    while True:
        yield b"x" * 10


async def stuck():
    yield b"abc"
    await asyncio.sleep(60)


async def dripping():
    while True:
        await asyncio.sleep(0.02)
        yield b"x"


def test_a_body_is_passed_on():
    assert read(few) == b"abcabcabc"
    assert read(few, declared="9") == b"abcabcabc"


@pytest.mark.parametrize(("parts", "declared"), [(endless, None), (few, "101")])
def test_a_large_body_is_refused(parts, declared):
    with pytest.raises(Refused, match="the body has more than 100 bytes") as refused:
        read(parts, declared)
    assert refused.value.status == 413


@pytest.mark.parametrize("parts", [stuck, dripping])
def test_a_slow_body_is_refused(parts):
    with pytest.raises(Refused, match="came too slowly") as refused:
        read(parts)
    assert refused.value.status == 408


def test_a_body_is_refused_where_there_is_no_room_and_gives_back_what_it_held():
    budget = Budget(25)
    with pytest.raises(Refused, match="as its memory has room for") as refused:
        read(endless, budget=budget)
    assert (refused.value.status, refused.value.retry_after) == (503, 5)
    assert budget.held == 0
    assert read(few, budget=budget) == b"abcabcabc"
