"""docket: its Worker of 100 slots, under uvloop; it looks for jobs every 250 ms as it does.

Each running job takes a connection, so the pool's default of 100 is too small.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import marks
import producing
import uvloop
from docket import Docket, Worker
from docket.dependencies import RateLimit, Retry

A_SECOND = timedelta(seconds=1)


async def noop() -> None:
    marks.begin()


async def limited(_rate: RateLimit = RateLimit(marks.LIMIT, per=A_SECOND)) -> None:  # noqa: B008 - its way
    marks.begin()


async def nap() -> None:
    marks.begin()
    await asyncio.sleep(marks.NAP)


async def stamp(reference: int) -> None:
    marks.sample(reference)


async def weigh(blob: str) -> None:
    assert blob
    marks.begin()


async def flaky(number: int, _retry: Retry = Retry(attempts=4)) -> None:  # noqa: B008 - its way
    if marks.fails(number):
        raise RuntimeError("the first run fails")


TASKS: dict[str, Any] = {
    "noop": limited if marks.work() == "limited" else noop,
    "nap": nap,
    "stamp": stamp,
    "weigh": weigh,
    "flaky": flaky,
}


class Producer:
    def __init__(self, docket: Docket) -> None:
        self.docket = docket

    async def one(self, order: producing.Order) -> None:
        await self.docket.add(TASKS[order.task], when=_when(order))(*order.args)

    async def many(self, orders: Sequence[producing.Order]) -> None:
        await self.docket.add_many(
            self.docket.call(TASKS[order.task], when=_when(order))(*order.args) for order in orders
        )


def _when(order: producing.Order) -> datetime | None:
    return datetime.now(UTC) + timedelta(seconds=order.delay) if order.delay else None


async def main() -> None:
    async with Docket(marks.QUEUE, f"{marks.url()}?max_connections=250") as docket:
        for function in TASKS.values():
            docket.register(function)
        if sys.argv[1] == "produce":
            await producing.produce(Producer(docket))
        else:
            async with Worker(docket, concurrency=marks.SLOTS) as worker:
                await worker.run_forever()


if __name__ == "__main__":
    uvloop.run(main())
