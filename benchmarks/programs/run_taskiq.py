"""taskiq on a Redis stream, its broker that acknowledges, under uvloop. It has no bulk call."""

from __future__ import annotations

import asyncio
import sys

import marks
import producing
import uvloop
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

# "0": the group that the worker makes reads what was sent before it, too.
broker = RedisStreamBroker(marks.url(), queue_name=marks.QUEUE, consumer_id="0")


@broker.task(task_name="noop")
async def noop() -> None:
    marks.begin()


@broker.task(task_name="nap")
async def nap() -> None:
    marks.begin()
    await asyncio.sleep(marks.NAP)


@broker.task(task_name="stamp")
async def stamp(reference: int) -> None:
    marks.sample(reference)


TASKS = {"noop": noop, "nap": nap, "stamp": stamp}


class Producer:
    async def one(self, name: str, *args: int) -> None:
        await TASKS[name].kiq(*args)

    async def many(self, name: str, count: int) -> None:
        await producing.gathered([TASKS[name].kiq() for _ in range(count)])


async def main() -> None:
    await broker.startup()
    if sys.argv[1] == "produce":
        await producing.produce(Producer())
    else:
        broker.is_worker_process = True
        await run_receiver_task(broker, max_async_tasks=marks.SLOTS)


if __name__ == "__main__":
    uvloop.run(main())
