"""rq: its SimpleWorker, which does not fork for each job: one job at a time. Its client blocks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import marks
from redis import Redis
from rq import Queue, Retry, SimpleWorker

PAGE = 1_000
NAMES = marks.LEVELS if marks.work() == "mixed" else marks.queues()


class Producer:
    def __init__(self, connection: Redis) -> None:
        names = {marks.QUEUE, *NAMES}
        self.queues = {name: Queue(name, connection=connection) for name in names}

    async def one(self, order: Any) -> None:
        queue = self.queues[_name(order)]
        if order.delay:
            after = timedelta(seconds=order.delay)
            queue.enqueue_in(after, _path(order), *order.args)
        else:
            queue.enqueue(_path(order), *order.args, retry=_retry(order))

    async def many(self, orders: Sequence[Any]) -> None:
        batches: dict[str, list[Any]] = {}
        for order in orders:
            data = Queue.prepare_data(_path(order), args=order.args, retry=_retry(order))
            batches.setdefault(_name(order), []).append(data)
        for name, batch in batches.items():
            for at in range(0, len(batch), PAGE):
                self.queues[name].enqueue_many(batch[at : at + PAGE])


def _name(order: Any) -> str:
    return order.queue if order.level is None else marks.LEVELS[order.level]


def _path(order: Any) -> str:
    return f"plain.{order.task}"


def _retry(order: Any) -> Retry | None:
    return Retry(max=3) if order.task == "flaky" else None


if __name__ == "__main__":
    with Redis.from_url(marks.url()) as connection:
        if sys.argv[1] == "produce":
            import producing

            asyncio.run(producing.produce(Producer(connection)))
        else:
            worker = SimpleWorker(list(NAMES), connection=connection)
            worker.work(with_scheduler=marks.work() in ("due", "delayed"), logging_level="WARNING")
