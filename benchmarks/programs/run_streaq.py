"""streaq: its Worker of 100 slots, under uvloop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import marks
import producing
from streaq import StreaqRetry, Worker

worker = Worker(
    redis_url=marks.url(),
    queue_name=marks.QUEUE,
    concurrency=marks.SLOTS,
    # It names the least urgent first, and turns a list around in place.
    priorities=list(reversed(marks.LEVELS)) if marks.work() == "mixed" else None,
    anyio_kwargs={"use_uvloop": True},
)


@worker.task
async def noop() -> None:
    marks.begin()


@worker.task
async def nap() -> None:
    marks.begin()
    await asyncio.sleep(marks.NAP)


@worker.task
def plain() -> None:
    marks.begin()


@worker.task
async def stamp(reference: int) -> None:
    marks.sample(reference)


@worker.task
async def weigh(blob: str) -> None:
    assert blob
    marks.begin()


@worker.task(max_tries=4)
async def flaky(number: int) -> None:
    if marks.fails(number):
        raise StreaqRetry("the first run fails", delay=0)


TASKS = {"noop": noop, "nap": nap, "plain": plain, "stamp": stamp, "weigh": weigh, "flaky": flaky}


class Producer:
    async def one(self, order: producing.Order) -> None:
        await _called(order)

    async def many(self, orders: Sequence[producing.Order]) -> None:
        for at in range(0, len(orders), 1_000):
            await worker.enqueue_many([_called(order) for order in orders[at : at + 1_000]])


def _called(order: producing.Order) -> Any:
    called: Any = TASKS[order.task]
    job = called.enqueue(*order.args)
    if order.level is not None:
        return job.start(priority=marks.LEVELS[order.level])
    return job.start(delay=timedelta(seconds=order.delay)) if order.delay else job


async def produce() -> None:
    async with worker:
        await producing.produce(Producer())


if __name__ == "__main__":
    if sys.argv[1] == "produce":
        import uvloop

        uvloop.run(produce())
    else:
        worker.run_sync()
