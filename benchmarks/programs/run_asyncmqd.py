"""asyncmqd: the producer, and the tasks that the daemon imports."""

from __future__ import annotations

import asyncio

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


@task(queue=marks.QUEUE, name="stamp")
async def stamp(reference: int) -> None:
    marks.sample(reference)


TASKS = {"noop": noop, "nap": nap, "stamp": stamp}


class Producer:
    def __init__(self) -> None:
        self.queue = Queue(marks.QUEUE, marks.url())

    async def one(self, name: str, *args: int) -> None:
        await self.queue.add(TASKS[name], *args)

    async def many(self, name: str, count: int) -> None:
        await self.queue.add_bulk([TASKS[name].job() for _ in range(count)])

    async def later(self, delay: float, name: str, *args: int) -> None:
        await self.queue.add(TASKS[name], *args, delay=delay)


async def main() -> None:
    import producing

    producer = Producer()
    await producing.produce(producer)
    await producer.queue.backend.close()


if __name__ == "__main__":
    uvloop.run(main())
