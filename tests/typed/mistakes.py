"""What mypy and pyright refuse: each line that says so, and no other (see check.py). It is not run.

After the colon stands a part of the rules' names, where it matters.
"""

from __future__ import annotations

from asyncmqd import Queue, connect, task


@task
async def add(a: int, b: int = 0) -> int:
    return a + b


@task
def name(number: int) -> str:
    return str(number)


queue = Queue("mail")


async def options_of_a_job() -> None:
    add.options(prio=1)  # refused
    add.options(priority="high")  # refused
    add.options(delay=[1])  # refused
    add.options(executor="thread")  # refused
    await queue.add(add, 1, retry=3)  # refused
    await queue.add(add, 1, timeout=b"1")  # refused
    await queue.add(add, 1, queue="z")  # refused
    await queue.add("other", delay=None, ttl={})  # refused
    queue.add_sync(add, 1, job_id=7)  # refused


def options_of_a_schedule() -> None:
    queue.add_repeatable(add, evry=3)  # refused
    queue.add_repeatable(add, every=3, delay=1)  # refused
    queue.add_repeatable(add, cron=3)  # refused
    queue.add_repeatable(add, every="5m", retries="two")  # refused


def options_of_a_task() -> None:
    task(retires=3)  # refused
    task(retries="3")  # refused
    task(executor="processes")  # refused
    task(retry_on="OSError")  # refused
    task(backoff=ValueError())  # refused


async def arguments() -> None:
    await add.enqueue("1")  # refused
    await add.enqueue()  # refused
    await add.options(delay=1).enqueue(1, c=2)  # refused
    add.job(1, 2, 3)  # refused
    name.enqueue_sync("x")  # refused
    connect("redis://localhost", timeout=[2])  # refused


async def results() -> None:
    text: str = await (await add.enqueue(1)).result()  # refused
    number: int = name.enqueue_sync(1).result_sync()  # refused
    print(text, number)


async def forgotten_awaits() -> None:
    add.enqueue(1)  # refused: unused
    name.delay(1)  # refused: unused
    queue.add(add, 1)  # refused: unused
    queue.add_bulk([add.job(1)])  # refused: unused
    queue.pause()  # refused: unused
    add.enqueue(1).result()  # refused
