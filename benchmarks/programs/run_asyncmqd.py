"""asyncmqd: the producer, and the tasks that the daemon imports."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import marks
import uvloop

from asyncmqd import Queue, task


@task(queue=marks.QUEUE, name="noop")
async def noop() -> None:
    marks.begin()


@task(queue=marks.QUEUE, name="nap")
async def nap() -> None:
    marks.begin()
    await asyncio.sleep(marks.NAP)


@task(queue=marks.QUEUE, name="plain")
def plain() -> None:
    marks.begin()


@task(queue=marks.QUEUE, name="stamp")
async def stamp(reference: int) -> None:
    marks.sample(reference)


@task(queue=marks.QUEUE, name="weigh")
async def weigh(_blob: str) -> None:
    marks.begin()


@task(queue=marks.QUEUE, name="flaky", retries=3, backoff=0)
async def flaky(number: int) -> None:
    if marks.fails(number):
        raise RuntimeError("the first run fails")


TASKS = {"noop": noop, "nap": nap, "plain": plain, "stamp": stamp, "weigh": weigh, "flaky": flaky}
PRIORITIES = (1, 5, 9)


async def main() -> None:
    import producing

    class Producer:
        def __init__(self) -> None:
            first = Queue(marks.QUEUE, marks.url())
            self.queues = {marks.QUEUE: first}
            self.queues |= {name: Queue(name, first.backend) for name in marks.queues()}

        async def one(self, order: producing.Order) -> None:
            options: dict[str, float] = {}
            if order.level is not None:
                options["priority"] = PRIORITIES[order.level]
            if order.delay:
                options["delay"] = order.delay
            await self.queues[order.queue].add(TASKS[order.task], *order.args, **options)

        async def many(self, orders: Sequence[producing.Order]) -> None:
            batches: dict[str, list[Any]] = {}
            for order in orders:
                called = TASKS[order.task]
                if order.level is not None:
                    called = called.options(priority=PRIORITIES[order.level])
                if order.key is not None:
                    called = called.options(key=order.key)
                batches.setdefault(order.queue, []).append(called.job(*order.args))
            for name, batch in batches.items():
                await self.queues[name].add_bulk(batch)

    producer = Producer()
    await producing.produce(producer)
    await producer.queues[marks.QUEUE].backend.close()


if __name__ == "__main__":
    uvloop.run(main())
