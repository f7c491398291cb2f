"""Many calls with a time limit each, and one timer for all of them."""

from __future__ import annotations

import asyncio

import pytest

from asyncmqd.backends.redis.time_limits import Limited, TimeLimits

SHORT, LONG = 0.01, 3_600.0  # seconds


async def _for_ever(limits: TimeLimits) -> None:
    with Limited(limits):
        await asyncio.Event().wait()


async def test_each_call_ends_and_the_later_one_later() -> None:
    limits, ended = TimeLimits(SHORT), []

    async def call(number: int) -> None:
        await asyncio.sleep(number * SHORT)
        with pytest.raises(TimeoutError):
            await _for_ever(limits)
        ended.append(number)

    async with asyncio.timeout(20):
        await asyncio.gather(*map(call, range(4)))
        assert ended == [0, 1, 2, 3]
        await call(0)  # after a time without calls


async def test_a_call_that_is_over_in_time_is_left_alone() -> None:
    limits = TimeLimits(SHORT)
    with Limited(limits):
        await asyncio.sleep(0)
    assert not limits._ends  # or a process would keep all its calls
    await asyncio.sleep(5 * SHORT)  # it would be cancelled here


async def test_who_is_cancelled_by_others_is_told_so() -> None:
    call = asyncio.ensure_future(_for_ever(TimeLimits(LONG)))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_who_is_cancelled_when_its_time_is_over_is_cancelled() -> None:
    limited = Limited(TimeLimits(LONG))

    async def wait() -> None:
        with limited:
            await asyncio.Event().wait()

    call = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    limited.expire()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert call.cancelled()
