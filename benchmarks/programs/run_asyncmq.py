"""The reference implementation: run_worker on its Redis backend, under uvloop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import marks
import producing
import uvloop
from asyncmq.backends.redis import RedisBackend
from asyncmq.queues import Queue
from asyncmq.runners import run_worker
from asyncmq.tasks import task


@task(queue=marks.QUEUE)
async def noop() -> None:
    marks.begin()


@task(queue=marks.QUEUE)
async def nap() -> None:
    marks.begin()
    await asyncio.sleep(marks.NAP)


@task(queue=marks.QUEUE)
def plain() -> None:
    marks.begin()


@task(queue=marks.QUEUE)
async def stamp(reference: int) -> None:
    marks.sample(reference)


@task(queue=marks.QUEUE)
async def weigh(blob: str) -> None:
    assert blob
    marks.begin()


@task(queue=marks.QUEUE, retries=3)
async def flaky(number: int) -> None:
    if marks.fails(number):
        raise RuntimeError("the first run fails")


TASKS = {"noop": noop, "nap": nap, "plain": plain, "stamp": stamp, "weigh": weigh, "flaky": flaky}
PRIORITIES = (1, 5, 10)


class Producer:
    def __init__(self) -> None:
        self.backend = RedisBackend(marks.url())
        names = {marks.QUEUE, *marks.queues()}
        self.queues = {name: Queue(name, backend=self.backend) for name in names}

    async def one(self, order: producing.Order) -> None:
        options = {} if order.level is None else {"priority": PRIORITIES[order.level]}
        await TASKS[order.task].enqueue(
            *order.args, backend=self.backend, delay=order.delay, **options
        )

    async def many(self, orders: Sequence[producing.Order]) -> None:
        batches: dict[str, list[dict[str, Any]]] = {}
        for order in orders:
            job: dict[str, Any] = {
                "task_id": TASKS[order.task].task_id,
                "args": list(order.args),
                "retries": 3 if order.task == "flaky" else 0,
            }
            if order.level is not None:
                job["priority"] = PRIORITIES[order.level]
            batches.setdefault(order.queue, []).append(job)
        for name, jobs in batches.items():
            await self.queues[name].add_bulk(jobs)


async def work() -> None:
    backend = RedisBackend(marks.url())
    limit = {"rate_limit": marks.LIMIT} if marks.work() == "limited" else {}
    queues = marks.queues()
    slots = marks.SLOTS if len(queues) == 1 else 1
    await asyncio.gather(*(run_worker(name, backend, slots, **limit) for name in queues))


if __name__ == "__main__":
    uvloop.run(producing.produce(Producer()) if sys.argv[1] == "produce" else work())
