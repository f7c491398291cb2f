"""arq: its own worker; it has no bulk call, and looks for jobs every half second as it does."""

from __future__ import annotations

import asyncio
import sys

import marks
import producing
import uvloop
from arq import Worker, create_pool
from arq.connections import ArqRedis, RedisSettings


async def noop(_context: object) -> None:
    marks.begin()


async def nap(_context: object) -> None:
    marks.begin()
    await asyncio.sleep(marks.NAP)


async def stamp(_context: object, reference: int) -> None:
    marks.sample(reference)


class Producer:
    def __init__(self, pool: ArqRedis) -> None:
        self.pool = pool

    async def one(self, name: str, *args: int) -> None:
        await self.pool.enqueue_job(name, *args)

    async def many(self, name: str, count: int) -> None:
        await producing.gathered([self.pool.enqueue_job(name) for _ in range(count)], 100)

    async def later(self, delay: float, name: str, *args: int) -> None:
        await self.pool.enqueue_job(name, *args, _defer_by=delay)


async def main() -> None:
    settings = RedisSettings.from_dsn(marks.url())
    if sys.argv[1] == "produce":
        await producing.produce(Producer(await create_pool(settings)))
    else:
        worker = Worker([noop, nap, stamp], redis_settings=settings, max_jobs=marks.SLOTS)
        await worker.async_run()


if __name__ == "__main__":
    uvloop.run(main())
