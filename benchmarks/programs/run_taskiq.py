"""taskiq on a Redis stream, its broker that acknowledges, under uvloop. It has no bulk call."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import marks
import producing
import uvloop
from taskiq import SimpleRetryMiddleware
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

# "0": the group that the worker makes reads what was sent before it, too.
broker = RedisStreamBroker(marks.url(), queue_name=marks.QUEUE, consumer_id="0")
broker = broker.with_middlewares(SimpleRetryMiddleware(default_retry_count=3))


@broker.task(task_name="noop")
async def noop() -> None:
    marks.begin()


@broker.task(task_name="nap")
async def nap() -> None:
    marks.begin()
    await asyncio.sleep(marks.NAP)


@broker.task(task_name="plain")
def plain() -> None:
    marks.begin()


@broker.task(task_name="stamp")
async def stamp(reference: int) -> None:
    marks.sample(reference)


@broker.task(task_name="weigh")
async def weigh(blob: str) -> None:
    assert blob
    marks.begin()


@broker.task(task_name="flaky", retry_on_error=True)
async def flaky(number: int) -> None:
    if marks.fails(number):
        raise RuntimeError("the first run fails")


TASKS = {"noop": noop, "nap": nap, "plain": plain, "stamp": stamp, "weigh": weigh, "flaky": flaky}


class Producer:
    async def one(self, order: producing.Order) -> None:
        await TASKS[order.task].kiq(*order.args)

    async def many(self, orders: Sequence[producing.Order]) -> None:
        await producing.gathered([self.one(order) for order in orders])


async def main() -> None:
    await broker.startup()
    if sys.argv[1] == "produce":
        await producing.produce(Producer())
    else:
        broker.is_worker_process = True
        await run_receiver_task(broker, max_async_tasks=marks.SLOTS)


if __name__ == "__main__":
    uvloop.run(main())
