"""saq: a Worker of 100 slots, under uvloop. It has no bulk call."""

from __future__ import annotations

import asyncio
import sys
import time

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


async def stamp(_context: object, *, reference: int) -> None:
    marks.sample(reference)


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

    async def one(self, name: str, *args: int) -> None:
        await self.queue.enqueue(name, **dict(zip(("reference",), args, strict=False)))

    async def many(self, name: str, count: int) -> None:
        await producing.gathered([self.queue.enqueue(name) for _ in range(count)])

    async def later(self, delay: float, name: str, *args: int) -> None:
        await self.queue.enqueue(name, scheduled=round(time.time() + delay), reference=args[0])


async def main() -> None:
    if sys.argv[1] == "produce":
        await producing.produce(Producer())
    else:
        await Worker(queue(), functions=[noop, nap, stamp], concurrency=marks.SLOTS).start()


if __name__ == "__main__":
    uvloop.run(main())
