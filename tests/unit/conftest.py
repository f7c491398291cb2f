"""What the tests of the log's way out share, and those of Redis."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import uvloop

from asyncmqd.backends.redis import RedisBackend
from asyncmqd.observe.line_writer import LineWriter
from asyncmqd.observe.log_sinks import Outlet, outlet_of
from tests.ends import Ends, report


@pytest.fixture
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    made = Ends(getattr(request, "param", "pipe"))
    yield made
    made.close()


@pytest.fixture
def writer_to() -> Iterator[Callable[..., LineWriter]]:
    """Makes writers to a descriptor or an outlet, which report what they dropped."""
    made: list[LineWriter] = []

    def make(to: int | Outlet, **options: Any) -> LineWriter:
        outlet = outlet_of(os.dup(to)) if isinstance(to, int) else to
        made.append(LineWriter(outlet, report, **options))
        return made[-1]

    yield make
    for each in made:
        each.outlet.close()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Runs a coroutine in the loop that the daemon has, and in the usual one."""
    if request.param == "asyncio":
        return asyncio.run

    def run_uvloop(work: Any) -> Any:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)

    return run_uvloop


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[str], RedisBackend]]:
    """Opens stores, and closes them after the test."""
    stores: list[RedisBackend] = []

    def one(url: str) -> RedisBackend:
        stores.append(RedisBackend(url))
        return stores[-1]

    yield one
    for each in stores:
        await each.close()
