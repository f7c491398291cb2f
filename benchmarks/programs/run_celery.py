"""celery: its own worker. Its client blocks; it has no bulk call.

A pool of two processes, its default on two cores, for what only costs CPU time; 100 threads for
what waits and where threads are asked for. No results are kept, as its documentation advises where
nobody reads them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import marks
import plain
from celery import Celery

app = Celery("run_celery", broker=marks.url())
app.conf.update(
    task_default_queue=marks.QUEUE,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    worker_send_task_events=False,
)
LIMIT = f"{marks.LIMIT}/s" if marks.work() == "limited" else None
OPTIONS: dict[str, dict[str, Any]] = {
    "noop": {"rate_limit": LIMIT},
    "flaky": {"autoretry_for": (RuntimeError,), "max_retries": 3, "default_retry_delay": 0},
}
TASKS = {
    name: app.task(name=name, **OPTIONS.get(name, {}))(function)
    for name, function in plain.FUNCTIONS.items()
}
PRIORITIES = (0, 3, 6)


class Producer:
    async def one(self, order: Any) -> None:
        self._send(order)

    async def many(self, orders: Sequence[Any]) -> None:
        for order in orders:
            self._send(order)

    @staticmethod
    def _send(order: Any) -> None:
        options = {} if order.level is None else {"priority": PRIORITIES[order.level]}
        TASKS[order.task].apply_async(
            order.args, queue=order.queue, countdown=order.delay or None, **options
        )


def work() -> None:
    waits = marks.work() in ("sleep", "threads")
    pool = ["--pool", "threads", "--concurrency", str(marks.SLOTS)]
    processes = ["--pool", "prefork", "--concurrency", "2"]
    quiet = ["--loglevel", "warning", "--without-gossip", "--without-mingle"]
    app.worker_main(
        ["worker", "--queues", ",".join(marks.queues()), *(pool if waits else processes), *quiet]
    )


if __name__ == "__main__":
    if sys.argv[1] == "produce":
        import producing

        asyncio.run(producing.produce(Producer()))
    else:
        work()
