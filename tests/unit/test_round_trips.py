"""How often a page waits for the store: what it asks at the same time shares a round trip.

On Redis such calls leave in one write, and the thread of SQLite answers them in one look.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from asyncmqd.admin import jobs, schedules
from asyncmqd.admin.overview import Looks, Wanted
from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import BaseBackend
from asyncmqd.web.dashboard.pages import job, queue
from tests.cli.test_jobs import new

QUEUES = [f"q{number:03}" for number in range(60)]
QUIET = 50  # turns of the loop without another call, after which a trip ends


class Trips:
    """A store that counts its round trips."""

    def __init__(self, store: BaseBackend) -> None:
        self._store = store
        self.number = 0
        self._trip: asyncio.Future[None] | None = None
        self._quiet = 0

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        if not inspect.iscoroutinefunction(verb):
            return verb

        async def call(*args: Any, **options: Any) -> Any:
            await self._travel()
            return await verb(*args, **options)

        return call

    async def _travel(self) -> None:
        self._quiet = 0
        if self._trip is None:
            self.number += 1
            self._trip = asyncio.get_running_loop().create_future()
            self._turn(self._trip)
        await self._trip

    def _turn(self, trip: asyncio.Future[None]) -> None:
        self._quiet += 1
        if self._quiet > QUIET:
            self._trip = None
            trip.set_result(None)
        else:
            asyncio.get_running_loop().call_soon(self._turn, trip)


@pytest.fixture
async def store() -> BaseBackend:
    """Many queues, of which some have jobs in all states that are looked at."""
    backend = InMemoryBackend()
    for name in QUEUES:
        await backend.add(name, [new(f"{name}-{number}") for number in range(3)])
        await backend.add(name, [new(f"{name}-later", delay=900.0)])
        await backend.claim(name, 1, 60.0, "host/worker#1")
        await backend.declare(name, {"tick": b'{"task":"f","every":60}'}, fresh=True)
    return backend


Look = Callable[[BaseBackend], Awaitable[object]]


@pytest.mark.parametrize(
    ("look", "most"),
    [
        (lambda s: Looks(s).look(Wanted(listed=False), judge=True), 6),
        (lambda s: queue._look(s, "q007", 1, queue.listed({"queue": "q007"}), tuple), 4),
        (lambda s: job._look(s, "q007-2", "q007"), 3),
        (lambda s: jobs.find(s, ["q007-2"], None), 2),
        (lambda s: schedules.ahead(s, 3_600.0), 4),
    ],
    ids=["overview", "queue", "job", "job by its id", "schedules"],
)
async def test_pages_do_not_ask_one_thing_after_the_other(
    store: BaseBackend, look: Look, most: int
) -> None:
    trips = Trips(store)
    await look(cast("BaseBackend", trips))
    assert trips.number <= most
