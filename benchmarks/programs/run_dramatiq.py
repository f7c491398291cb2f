"""dramatiq: its own command, with as many processes as its default has cores, at most two.

The variant is the number of threads in each: 8 is its default, 50 makes the 100 slots that others
have. Its client blocks, and it has no bulk call.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import dramatiq
import marks
from dramatiq.brokers.redis import RedisBroker
from dramatiq.rate_limits import WindowRateLimiter
from dramatiq.rate_limits.backends import RedisBackend

broker = RedisBroker(url=marks.url())
dramatiq.set_broker(broker)
limiter = WindowRateLimiter(RedisBackend(url=marks.url()), "limit", limit=marks.LIMIT, window=1)


def noop() -> None:
    marks.begin()


def limited() -> None:
    with limiter.acquire():
        marks.begin()


def nap() -> None:
    marks.begin()
    time.sleep(marks.NAP)


def stamp(reference: int) -> None:
    marks.sample(reference)


def weigh(blob: str) -> None:
    assert blob
    marks.begin()


def flaky(number: int) -> None:
    if marks.fails(number):
        raise RuntimeError("the first run fails")


FUNCTIONS = {
    "noop": limited if marks.work() == "limited" else noop,
    "nap": nap,
    "plain": noop,
    "stamp": stamp,
    "weigh": weigh,
    "flaky": flaky,
}


def _actors() -> dict[tuple[str, str, int | None], Any]:
    """An actor for each task; priorities and queues are an actor's."""
    actors = {}
    for name, function in FUNCTIONS.items():
        options = {"max_retries": 3, "min_backoff": 1, "max_backoff": 1}
        actors[name, marks.QUEUE, None] = dramatiq.actor(
            function, actor_name=name, queue_name=marks.QUEUE, **options
        )
    if marks.work() == "mixed":
        for level, words in enumerate(marks.LEVELS):
            actors["noop", marks.QUEUE, level] = dramatiq.actor(
                noop, actor_name=words, queue_name=marks.QUEUE, priority=level
            )
    if marks.work() == "queues":
        for queue in marks.queues():
            actors["noop", queue, None] = dramatiq.actor(
                noop, actor_name=f"noop-{queue}", queue_name=queue
            )
    return actors


ACTORS = _actors()


class Producer:
    async def one(self, order: Any) -> None:
        actor = ACTORS[order.task, order.queue, order.level]
        delay = round(order.delay * 1000) or None
        actor.send_with_options(args=order.args, delay=delay)

    async def many(self, orders: Sequence[Any]) -> None:
        for order in orders:
            ACTORS[order.task, order.queue, order.level].send(*order.args)


if __name__ == "__main__":
    if sys.argv[1] == "produce":
        import asyncio

        import producing

        asyncio.run(producing.produce(Producer()))
    else:
        here = os.path.dirname(__file__)
        options = ["--processes", "2", "--threads", marks.variant(), "--path", here]
        command = [sys.executable, "-m", "dramatiq", "run_dramatiq", *options]
        os.execv(sys.executable, command)
