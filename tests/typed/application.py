"""An application as type checkers see it: nothing here is wrong for them. It is not run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

from asyncmqd import Exponential, Job, JobFailed, Queue, Retry, State, Task, connect, task
from asyncmqd.client.tasks import AsyncTask, PlainTask


@dataclass
class Order:
    number: int
    lines: list[str]


@task
async def total(order: Order) -> float:
    return float(len(order.lines))


@task
def label(order: Order, *, copies: int = 1) -> str:
    return f"{order.number}x{copies}"


@task(
    queue="mail",
    name="shop.thank",
    retries=5,
    backoff=Exponential(base=1),
    retry_on=[OSError],
    dont_retry_on=ValueError,
    timeout="30s",
    ttl=timedelta(hours=1),
    priority=3,
)
async def thank(address: str, order: Order | None = None) -> None:
    raise Retry(after="5m")


@task(executor="process", timeout=None, backoff=lambda failures, error: 2.0 * failures)
def render(number: int) -> bytes:
    return bytes(number)


async def produce(order: Order) -> float:
    connect("redis://localhost", timeout=2)
    job = await total.enqueue(order)
    assert_type(job, Job[float])
    assert_type(await job.result(timeout=10), float)
    assert_type(await (await label.delay(order, copies=2)).result(), str)
    assert_type(await (await thank.send("a@example.org", order=order)).result(), None)
    assert_type(label.enqueue_sync(order).result_sync(), str)
    assert_type(await job.state(), State)
    assert_type((job.id, job.queue, job.priority), tuple[str, str, int])
    later = await total.options(delay="5m", job_id=f"total-{order.number}", queue="z").enqueue(
        order
    )
    assert_type(later, Job[float])
    try:
        return await later.result()
    except JobFailed as failed:
        assert_type(failed.state, State)
        return 0.0


async def through_a_queue(order: Order) -> None:
    queue = Queue("mail", "sqlite:///jobs.db")
    job = await queue.add(render, 3, delay=timedelta(seconds=1), ttl=60, priority=None)
    assert_type(await job.result(), bytes)
    assert_type(await queue.add("shop.other", kwargs={"a": 1}, retries=2), Job[Any])
    assert_type(queue.add_sync(total, order, timeout="1m"), Job[float])
    assert_type(
        await queue.add_bulk([total.job(order), thank.options(delay=1).job("b")]), list[Job[Any]]
    )
    queue.add_repeatable(total, every="5m", args=[order], priority=9)
    queue.add_repeatable("shop.nightly", cron="0 3 * * *", timezone="Europe/Lisbon", ttl=60)


async def calls(order: Order) -> None:
    assert_type(await total(order), float)
    assert_type(label(order), str)
    both: tuple[AsyncTask[[Order], float], PlainTask[[int], bytes]] = (total, render)
    assert_type(await both[0](order), float)
    assert_type(render.options(priority=1)(3), bytes)


async def enqueue_all(work: Task[[Order], Any], orders: list[Order]) -> None:
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(work.enqueue(order)) for order in orders]
    await asyncio.gather(*(each.result().result() for each in running))


def hand_over(call: Callable[[Order], Awaitable[object]]) -> None: ...


def hand_over_a_coroutine(call: Callable[[int], Coroutine[Any, Any, Job[bytes]]]) -> None: ...


def any_of(tasks: list[Task[..., object]]) -> None: ...


async def everywhere(orders: list[Order]) -> None:
    await enqueue_all(total, orders)
    await enqueue_all(total.options(queue="z"), orders)
    hand_over(total)
    hand_over(total.enqueue)
    hand_over_a_coroutine(render.enqueue)
    any_of([total, label, thank, render])
