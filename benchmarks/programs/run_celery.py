"""celery: its own worker. Its client blocks; it has no bulk call.

A pool of two processes, its default on two cores, for what only costs CPU time; 100 threads for
what waits and where threads are asked for. No results are kept, as its documentation advises where
nobody reads them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

import marks
from celery import Celery

app = Celery("run_celery", broker=marks.url())
app.conf.update(
    task_default_queue=marks.QUEUE,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    worker_send_task_events=False,
)
LIMIT = f"{marks.LIMIT}/s" if marks.work() == "limited" else None


@app.task(name="noop", rate_limit=LIMIT)
def noop() -> None:
    marks.begin()


@app.task(name="nap")
def nap() -> None:
    marks.begin()
    time.sleep(marks.NAP)


@app.task(name="stamp")
def stamp(reference: int) -> None:
    marks.sample(reference)


@app.task(name="weigh")
def weigh(blob: str) -> None:
    assert blob
    marks.begin()


@app.task(name="flaky", autoretry_for=(RuntimeError,), max_retries=3, default_retry_delay=0)
def flaky(number: int) -> None:
    if marks.fails(number):
        raise RuntimeError("the first run fails")


TASKS = {
    "noop": noop,
    "nap": nap,
    "plain": noop,
    "stamp": stamp,
    "weigh": weigh,
    "flaky": flaky,
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
