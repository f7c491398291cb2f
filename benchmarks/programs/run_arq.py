"""arq: its own worker; it has no bulk call, and looks for jobs every half second as it does."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import marks
import producing
import uvloop
from arq import Retry, Worker, create_pool
from arq.connections import ArqRedis, RedisSettings


async def noop(_context: object) -> None:
    marks.begin()


async def nap(_context: object) -> None:
    marks.begin()
    await asyncio.sleep(marks.NAP)


async def stamp(_context: object, reference: int) -> None:
    marks.sample(reference)


async def weigh(_context: object, blob: str) -> None:
    assert blob
    marks.begin()


async def flaky(_context: object, number: int) -> None:
    if marks.fails(number):
        raise Retry  # any other error is final


class Producer:
    def __init__(self, pool: ArqRedis) -> None:
        self.pool = pool

    async def one(self, order: producing.Order) -> None:
        await self.pool.enqueue_job(order.task, *order.args, _defer_by=order.delay or None)

    async def many(self, orders: Sequence[producing.Order]) -> None:
        await producing.gathered([self.one(order) for order in orders], 100)


async def main() -> None:
    settings = RedisSettings.from_dsn(marks.url())
    if sys.argv[1] == "produce":
        await producing.produce(Producer(await create_pool(settings)))
    else:
        tasks = [noop, nap, stamp, weigh, flaky]
        worker = Worker(tasks, redis_settings=settings, max_jobs=marks.SLOTS)
        await worker.async_run()


if __name__ == "__main__":
    uvloop.run(main())
