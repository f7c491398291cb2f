"""A producer with one event loop after the other, which tells what they left behind.

python -m tests.client.many_loops URL COUNT prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import uvloop
from asgiref.sync import async_to_sync

from asyncmqd import Job, connect, task

Turn = Callable[[], Coroutine[Any, Any, None]]


@task(queue="loops", name="loops.plain")
async def plain(number: int) -> None: ...


def closed_only(turn: Turn) -> None:
    """Somebody who does not know `asyncio.run`."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(turn())
    loop.close()


def dropped(turn: Turn) -> None:
    """Somebody who knows even less."""
    asyncio.new_event_loop().run_until_complete(turn())


def in_a_thread(turn: Turn) -> None:
    thread = threading.Thread(target=lambda: asyncio.run(turn()))
    thread.start()
    thread.join()


WAYS: tuple[Callable[[Turn], None], ...] = (
    lambda turn: asyncio.run(turn()),
    lambda turn: async_to_sync(turn)(),
    lambda turn: uvloop.run(turn()),
    in_a_thread,
    closed_only,
    dropped,
)


def turn_with(kept: Job) -> Turn:
    """What one loop does: enqueues at the same time, and a look at a job of another loop."""

    async def turn() -> None:
        await asyncio.gather(plain.enqueue(1), plain.enqueue(2), plain.enqueue(3))
        await kept.state()

    return turn


def held() -> dict[str, int]:
    """What this process holds now."""
    for _ in range(3):  # a loop that was dropped is freed in two steps
        gc.collect()
    loops = sum(isinstance(each, asyncio.AbstractEventLoop) for each in gc.get_objects())
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "loops": loops,
        "memory": psutil.Process().memory_info().rss,
    }


def main(url: str, count: int) -> None:
    """Half of the loops, and the other half: what is held after each."""
    connect(url)
    turn = turn_with(plain.enqueue_sync(0))
    seen = []
    for _ in range(2):
        for number in range(count // 2):
            WAYS[number % len(WAYS)](turn)
        seen.append(held())
    print(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
