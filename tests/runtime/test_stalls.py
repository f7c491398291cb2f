"""A store that stands still for a while: leases end meanwhile, and their holders live."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from asyncmqd.backends import InMemoryBackend, StoreError
from asyncmqd.domain.states import State
from tests.runtime.conftest import Bench
from tests.runtime.virtual import store_clock, virtual


class Stalls(InMemoryBackend):
    """Answers nothing until `wakes`; then the renewals that were under way are lost."""

    wakes = 0.0  # loop time

    async def _stall(self) -> bool:
        pause = self.wakes - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, pause))
        return pause > 0

    async def outlook(self, queues: Sequence[str]) -> Any:
        await self._stall()
        return await super().outlook(queues)

    async def extend(self, held: Any, lease: float) -> list[bool]:
        if await self._stall():
            await asyncio.sleep(0.5)
            raise StoreError("no reply")
        return await super().extend(held, lease)


@virtual
async def test_after_a_stall_holders_get_time_to_renew(bench: Bench) -> None:
    """All leases look over when the store wakes, and their holders are alive."""
    store = bench.backend = Stalls(now=store_clock)
    bench.task(asyncio.sleep, name="long")
    id = await bench.add("long", 60)
    async with bench.worker(), bench.worker(bench.context(), scan_interval=1.0):
        await asyncio.sleep(6)
        store.wakes = asyncio.get_running_loop().time() + 20  # longer than a lease
        (record,) = await bench.ended(id)
    assert (record.state, record.token, record.crashes) == (State.COMPLETED, 1, 0)


class LosesOne(InMemoryBackend):
    """The first renewal that time brings is lost, which its sender learns after six seconds.

    There may be one at the start: claims may have been taken while nobody listened.
    """

    lost = False

    async def extend(self, held: Any, lease: float) -> list[bool]:
        if not self.lost and asyncio.get_running_loop().time() > 1:
            self.lost = True
            await asyncio.sleep(6)
            raise StoreError("no reply")
        return await super().extend(held, lease)


@virtual
async def test_one_lost_renewal_costs_no_lease(bench: Bench) -> None:
    """Of three tries in a lease the first took more than the time of two: the next is at once."""
    bench.backend = LosesOne(now=store_clock)
    bench.task(asyncio.sleep, name="long")
    id = await bench.add("long", 30)
    scanning = {"scan_interval": 1.0}  # whichever of them has the job, the other looks
    async with bench.worker(**scanning), bench.worker(bench.context(), **scanning):
        (record,) = await bench.ended(id)
    assert (record.state, record.token, record.crashes) == (State.COMPLETED, 1, 0)
