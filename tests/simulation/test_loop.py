"""The loop of a simulated process: what it needs of asyncio, and that it stops and dies well."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tests.simulation.loop import SimLoop
from tests.simulation.world import World


class Host:
    """A world with one loop."""

    def __init__(self, seed: int = 0, offset: float = 0.0, rate: float = 1.0) -> None:
        self.world = World(seed)
        self.loop = SimLoop(lambda: self.world.now, random.Random(seed), offset, rate)
        self.world.loops.append(self.loop)

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self.loop.create_task(work)


Hosts = Callable[..., Host]


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    """Makes hosts, which are gone afterwards."""
    made: list[Host] = []

    def make(*args: Any, **kwargs: Any) -> Host:
        made.append(Host(*args, **kwargs))
        return made[-1]

    yield make
    for host in made:
        host.world.dispose()


async def _note(noted: list[float], host: Host, *pauses: float) -> None:
    for pause in pauses:
        await asyncio.sleep(pause)
        noted.append(round(host.world.now, 3))


def test_timers_keep_the_time_of_the_world_whatever_the_loops_clock_shows(hosts: Hosts) -> None:
    host, noted = hosts(offset=12_345.0, rate=1.5), []
    task = host.begin(_note(noted, host, 3.0, 1.5))
    host.world.rest(10)
    assert task.done()
    assert noted == [2.0, 3.0]
    assert host.loop.time() == pytest.approx(12_345 + 15)


def test_after_a_pause_timers_fire_late_and_all_at_once(hosts: Hosts) -> None:
    host, noted = hosts(), []
    host.begin(_note(noted, host, 1.0))
    host.begin(_note(noted, host, 2.0))
    host.begin(_note(noted, host, 9.0))
    host.world.after(0.5, host.loop.pause, 4.0)
    host.world.rest(10)
    assert noted == [4.5, 4.5, 9.0]


def test_of_a_killed_process_nothing_runs_not_even_a_finally(hosts: Hosts) -> None:
    host, noted = hosts(), []

    async def work() -> None:
        try:
            await _note(noted, host, 1.0, 1.0)
        finally:
            noted.append(-1.0)

    host.begin(work())
    host.world.after(1.5, host.loop.kill)
    host.world.after(1.5, host.world.bury, host.loop)
    host.world.rest(10)
    assert noted == [1.0]


def test_what_is_ready_runs_in_an_order_that_the_seed_draws(hosts: Hosts) -> None:
    def order(seed: int) -> list[int]:
        host, ran = hosts(seed), []
        for number in range(6):
            host.loop.call_soon(ran.append, number)
        host.world.rest(0)
        return ran

    assert sorted(order(1)) == list(range(6))
    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(20)}) > 10


def test_asyncio_still_has_the_private_parts_that_the_loop_turns() -> None:
    """They are not promised: a new Python that lacks one fails here, and says which."""
    loop = SimLoop(lambda: 0.0, random.Random(0))
    handle = loop.call_soon(print)
    timer = loop.call_later(1, print)
    assert list(loop._ready) == [handle]
    assert loop._scheduled == [timer]
    assert (handle._cancelled, timer._scheduled, timer._when) == (False, True, 1.0)
    timer.cancel()
    assert timer._cancelled
    loop.turn()
    assert not loop._ready
    loop.close()
