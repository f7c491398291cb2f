"""ardiq: its own worker of 100 slots, under uvloop; the defaults for all else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import marks
import producing
import uvloop
from ardiq import Ardiq

app = Ardiq(
    marks.url(),
    marks.QUEUE,
    list(marks.LEVELS) if marks.work() == "mixed" else None,
    concurrency=marks.SLOTS,
)


@app.task
async def noop() -> None:
    marks.begin()


@app.task
async def nap() -> None:
    marks.begin()
    await asyncio.sleep(marks.NAP)


@app.task
def plain() -> None:
    marks.begin()


@app.task
async def stamp(reference: int) -> None:
    marks.sample(reference)


@app.task
async def weigh(blob: str) -> None:
    assert blob
    marks.begin()


@app.task(max_retries=3)
async def flaky(number: int) -> None:
    if marks.fails(number):
        raise RuntimeError("the first run fails")


TASKS = {"noop": noop, "nap": nap, "plain": plain, "stamp": stamp, "weigh": weigh, "flaky": flaky}


class Producer:
    async def one(self, order: producing.Order) -> None:
        await _called(order).enqueue(*order.args)

    async def many(self, orders: Sequence[producing.Order]) -> None:
        for at in range(0, len(orders), 1_000):
            page = orders[at : at + 1_000]
            await app.enqueue_many(_called(order).prepare(*order.args) for order in page)


def _called(order: producing.Order) -> Any:
    called = TASKS[order.task]
    if order.level is None and not order.delay:
        return called
    level = None if order.level is None else marks.LEVELS[order.level]
    return called.options(priority=level, delay_ms=round(order.delay * 1000))


if __name__ == "__main__":
    uvloop.run(producing.produce(Producer()) if sys.argv[1] == "produce" else app.run())
