"""saq: a Worker of 100 slots, under uvloop. It has no bulk call."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

import marks
import producing
import uvloop
from redis.asyncio import Redis
from saq import Worker
from saq.queue.redis import RedisQueue


async def noop(_context: object) -> None:
    marks.begin()


async def nap(_context: object) -> None:
    marks.begin()
    await asyncio.sleep(marks.NAP)


def plain(_context: object) -> None:
    marks.begin()


async def stamp(_context: object, *, argument: int) -> None:
    marks.sample(argument)


async def weigh(_context: object, *, argument: str) -> None:
    assert argument
    marks.begin()


async def flaky(_context: object, *, argument: int) -> None:
    if marks.fails(argument):
        raise RuntimeError("the first run fails")


def queue() -> RedisQueue:
    # One operation a slot; its default is 20 for all of them.
    return RedisQueue(
        Redis.from_url(marks.url(), max_connections=250),
        name=marks.QUEUE,
        max_concurrent_ops=100,
    )


class Producer:
    def __init__(self) -> None:
        self.queue = queue()

    async def one(self, order: producing.Order) -> None:
        options: dict[str, object] = dict(zip(("argument",), order.args, strict=False))
        if order.delay:  # it takes whole seconds only
            options["scheduled"] = round(time.time() + order.delay)
        if order.task == "flaky":
            options["retries"] = 3
        await self.queue.enqueue(order.task, **options)

    async def many(self, orders: Sequence[producing.Order]) -> None:
        await producing.gathered([self.one(order) for order in orders])


async def main() -> None:
    if sys.argv[1] == "produce":
        await producing.produce(Producer())
    else:
        tasks = [noop, nap, plain, stamp, weigh, flaky]
        await Worker(queue(), functions=tasks, concurrency=marks.SLOTS).start()


if __name__ == "__main__":
    uvloop.run(main())
