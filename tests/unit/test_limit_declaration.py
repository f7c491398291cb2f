"""What one claim loop knows of the limits over all daemons."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from asyncmqd.backends.base import Turn
from asyncmqd.backends.memory import InMemoryBackend
from asyncmqd.domain.shared_limits import DeclaredLimits, SharedLimits
from asyncmqd.runtime.claiming.limit_declaration import Declaring
from tests.eventually import LIMIT

FAST = SharedLimits(rate_limit=100_000, burst=1)  # so that its waits are spread over no time


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_two_turns_may_say_that_a_rate_lets_start_now(run) -> None:
    """uvloop makes no timer of a call in less than half a millisecond."""

    async def play() -> None:
        woken = asyncio.Event()
        declaring = Declaring("mail", InMemoryBackend(), "d1", woken.set)
        told = Turn([], [], DeclaredLimits(since=1.0, by="d1", limits=FAST), 0.0)
        declaring.note(told)
        declaring.note(told)
        async with asyncio.timeout(LIMIT):
            await woken.wait()
        declaring.close()

    run(play())
