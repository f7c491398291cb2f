"""What a thousand waits for results cost, and how late they learn of an end.

    python benchmarks/waiters.py          measure SQLite and Redis, in about a minute and a half

Beside it, in turns, how late an idle worker begins a job that is enqueued. Both are measured from
the call: the one that ends a job until its result is there, the one that enqueues a job until it
runs. The figures stand in docs/results.md.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import redis
import structlog
from servers import USUAL, RedisServer

from asyncmqd import Job, Queue, run_worker, task
from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.factory import open_backend
from asyncmqd.domain.job import Claim
from asyncmqd.domain.settle import Policy, Succeeded, settle

WAITS = 1_000
QUIET = 30.0  # seconds in which nothing ends
BETWEEN = 0.003  # seconds between two ends
LEASE = 600.0

_begun: list[asyncio.Future[float]] = []


@task(name="bench.begin")
async def begin() -> None:
    _begun.pop().set_result(time.perf_counter())


async def claimed(store: BaseBackend) -> list[Claim]:
    queue = Queue("mail", store)
    for _ in range(WAITS):
        await queue.add("bench.nothing")
    claims: list[Claim] = []
    while len(claims) < WAITS:
        claims += await store.claim("mail", WAITS, LEASE, "bench")
    return claims


async def waits(url: str, server: redis.Redis | None) -> None:
    application, worker, idle = open_backend(url), open_backend(url), open_backend(url)
    claims = await claimed(worker)
    ended: dict[str, float] = {}
    late: list[float] = []
    woken: list[float] = []

    async def wait(id: str) -> None:
        await Job.from_ref(f"mail.{id}", application).result(LEASE)
        late.append((time.perf_counter() - ended[id]) * 1_000)

    waiting = [asyncio.create_task(wait(claim.id)) for claim in claims]
    await asyncio.sleep(1)
    before, began = commands(server), time.perf_counter()
    await asyncio.sleep(QUIET)
    rate = (commands(server) - before) / (time.perf_counter() - began)
    serving = asyncio.create_task(run_worker("idle", idle))
    await asyncio.sleep(1)
    for claim in claims:
        ended[claim.id] = time.perf_counter()
        await worker.apply("mail", [settle(claim, Succeeded(b"1"), Policy(), draw=0.5)])
        await asyncio.sleep(BETWEEN)
        _begun.append(asyncio.get_running_loop().create_future())
        [start], enqueued = _begun, time.perf_counter()
        await Queue("idle", application).add("bench.begin")
        woken.append((await start - enqueued) * 1_000)
        await asyncio.sleep(BETWEEN)
    await asyncio.gather(*waiting)
    serving.cancel()
    await asyncio.wait([serving])
    print(
        f"{url.partition(':')[0]}: {rate:.2f} commands a second while nothing ends;"
        f" a result is there {shown(late)} after the call that ends the job,"
        f" a worker begins a job {shown(woken)} after the call that enqueues it"
    )
    for store in (application, worker, idle):
        await store.close()


def shown(late: list[float]) -> str:
    late = sorted(late)
    return f"{statistics.median(late):.2f} ms (99 %: {late[WAITS * 99 // 100]:.1f})"


def commands(server: redis.Redis | None) -> int:
    return server.info("stats")["total_commands_processed"] if server is not None else 0


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(waits(f"sqlite://{directory}/jobs.db", None))
        with RedisServer(USUAL, Path(directory)) as server, server.client() as client:
            asyncio.run(waits(server.url, client))


if __name__ == "__main__":
    main()
