"""dramatiq: its own command, with as many processes as its default has cores, at most two.

The variant is the number of threads in each: 8 is its default, 50 makes the 100 slots that others
have. Its client blocks, and it has no bulk call.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import dramatiq
import marks
import plain
from dramatiq.brokers.redis import RedisBroker
from dramatiq.rate_limits import WindowRateLimiter
from dramatiq.rate_limits.backends import RedisBackend

broker = RedisBroker(url=marks.url())
dramatiq.set_broker(broker)
limiter = WindowRateLimiter(RedisBackend(url=marks.url()), "limit", limit=marks.LIMIT, window=1)


def limited() -> None:
    with limiter.acquire():
        marks.begin()


FUNCTIONS = plain.FUNCTIONS | ({"noop": limited} if marks.work() == "limited" else {})


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
                plain.noop, actor_name=words, queue_name=marks.QUEUE, priority=level
            )
    if marks.work() == "queues":
        for queue in marks.queues():
            actors["noop", queue, None] = dramatiq.actor(
                plain.noop, actor_name=f"noop-{queue}", queue_name=queue
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
