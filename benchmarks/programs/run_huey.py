"""huey, on Redis or on SQLite: its own consumer. Its client blocks, and it has no bulk call.

Two processes for what only costs CPU time, 100 greenlets for what waits, 100 threads where threads
are asked for. On SQLite, whose queue all poll, few threads are best; every commit is flushed to
the disk, as ours is.
"""

from __future__ import annotations

import sys

import marks

SQLITE = marks.url().startswith("sqlite://")
WORKERS = {"sleep": ("greenlet", marks.SLOTS), "threads": ("thread", marks.SLOTS)}
KIND, COUNT = WORKERS.get(marks.work(), ("process", 2))
if SQLITE:
    KIND, COUNT = ("thread", marks.SLOTS if marks.work() == "sleep" else 4)

if sys.argv[1] == "work" and KIND == "greenlet":
    from gevent import monkey

    monkey.patch_all()

from collections.abc import Sequence  # noqa: E402 - as gevent asks, its patches come first
from typing import Any  # noqa: E402

import plain  # noqa: E402
from huey import PriorityRedisHuey, RedisHuey, SqliteHuey  # noqa: E402


def _huey() -> Any:
    if SQLITE:
        path = marks.url().removeprefix("sqlite://")
        return SqliteHuey(marks.QUEUE, filename=path, fsync=True)
    kind = PriorityRedisHuey if marks.work() == "mixed" else RedisHuey
    return kind(marks.QUEUE, url=marks.url())


huey = _huey()
limit = huey.rate_limit("limit", limit=marks.LIMIT, per=1)


def _tasks() -> dict[str, Any]:
    functions = dict(plain.FUNCTIONS)
    if marks.work() == "limited":
        functions["noop"] = limit(plain.noop)
    return {
        name: huey.task(name=name, retries=3 if name == "flaky" else 0)(function)
        for name, function in functions.items()
    }


TASKS = _tasks()


class Producer:
    async def one(self, order: Any) -> None:
        called = TASKS[order.task]
        if order.delay:
            called.schedule(args=order.args, delay=order.delay)
        elif order.level is None:
            called(*order.args)
        else:
            called(*order.args, priority=-order.level)

    async def many(self, orders: Sequence[Any]) -> None:
        for order in orders:
            await self.one(order)


if __name__ == "__main__":
    if sys.argv[1] == "produce":
        import asyncio

        import producing

        asyncio.run(producing.produce(Producer()))
    else:
        huey.create_consumer(workers=COUNT, worker_type=KIND).run()
