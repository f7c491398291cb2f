"""The reference implementation: run_worker on its Redis backend, under uvloop."""

from __future__ import annotations

import asyncio
import sys

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
async def stamp(reference: int) -> None:
    marks.sample(reference)


TASKS = {"noop": noop, "nap": nap, "stamp": stamp}


class Producer:
    def __init__(self) -> None:
        self.backend = RedisBackend(marks.url())
        self.queue = Queue(marks.QUEUE, backend=self.backend)

    async def one(self, name: str, *args: int) -> None:
        await TASKS[name].enqueue(*args, backend=self.backend)

    async def many(self, name: str, count: int) -> None:
        await self.queue.add_bulk([{"task_id": TASKS[name].task_id} for _ in range(count)])

    async def later(self, delay: float, name: str, *args: int) -> None:
        await TASKS[name].enqueue(*args, backend=self.backend, delay=delay)


async def main() -> None:
    if sys.argv[1] == "produce":
        await producing.produce(Producer())
    else:
        await run_worker(marks.QUEUE, RedisBackend(marks.url()), concurrency=marks.SLOTS)


if __name__ == "__main__":
    uvloop.run(main())
