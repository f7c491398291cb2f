"""What an application does with greenlets in the place of threads, for test_greenlets.py."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

from asyncmqd import connect, task
from asyncmqd.client.sync_calls import run_sync


@task(queue="web", name="web.plain")
async def plain(number: int) -> None: ...


async def loop_of_its_own(ready: threading.Event, end: threading.Event) -> str:
    """An event loop in one greenlet is none of another's; in its own nothing may block."""
    try:
        plain.enqueue_sync(0)
    except RuntimeError as error:
        said = str(error)
    ready.set()
    # Under gevent 26.9 and Python 3.14 to_thread(end.wait) is not always woken.
    while not end.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    return said


def main(library: str, url: str) -> None:
    """Print a line of JSON: what 40 greenlets came to that enqueue at once, beside one that counts
    and one that runs an event loop of its own. Threads are greenlets here.
    """
    connect(url)
    said: list[str] = []
    ready, end = threading.Event(), threading.Event()
    beside = threading.Thread(target=lambda: said.append(asyncio.run(loop_of_its_own(ready, end))))
    if library == "gevent":  # under eventlet an event loop of asyncio holds up all greenlets
        beside.start()
        ready.wait()
    outcomes: list[str] = []

    def enqueue(number: int) -> None:
        try:
            plain.enqueue_sync(number)
            outcomes.append("stored")
        except Exception as error:
            outcomes.append(repr(error))

    threads = [threading.Thread(target=enqueue, args=(number,)) for number in range(40)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    end.set()
    if library == "gevent":
        beside.join()
    waiting = threading.Thread(target=run_sync, args=(asyncio.sleep(0.2),))
    waiting.start()
    turns = 0
    while waiting.is_alive():
        turns += 1
        time.sleep(0.001)
    job = plain.enqueue_sync(41)
    told = {"outcomes": outcomes, "state": job.state_sync(), "said": said, "turns": turns}
    print(json.dumps(told))


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """A web application: each request enqueues a job."""
    job = plain.enqueue_sync(int(environ["PATH_INFO"][1:]))
    start_response("202 Accepted", [("Content-Type", "text/plain")])
    return [job.id.encode()]
