"""What a thousand waits for results cost, and how late they learn of an end.

    python benchmarks/waiters.py          measure SQLite and Redis, in about a minute and a half

The figures stand in docs/results.md.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import redis
from servers import USUAL, RedisServer

from asyncmqd import Job, Queue
from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.factory import open_backend
from asyncmqd.domain.job import Claim
from asyncmqd.domain.settle import Policy, Succeeded, settle

WAITS = 1_000
QUIET = 30.0  # seconds in which nothing ends
BETWEEN = 0.003  # seconds between two ends
LEASE = 600.0


async def claimed(store: BaseBackend) -> list[Claim]:
    queue = Queue("mail", store)
    for _ in range(WAITS):
        await queue.add("bench.nothing")
    claims: list[Claim] = []
    while len(claims) < WAITS:
        claims += await store.claim("mail", WAITS, LEASE, "bench")
    return claims


async def waits(url: str, server: redis.Redis | None) -> None:
    application, worker = open_backend(url), open_backend(url)
    claims = await claimed(worker)
    ended: dict[str, float] = {}
    late: list[float] = []

    async def wait(id: str) -> None:
        await Job.from_ref(f"mail.{id}", application).result(LEASE)
        late.append((time.perf_counter() - ended[id]) * 1_000)

    waiting = [asyncio.create_task(wait(claim.id)) for claim in claims]
    await asyncio.sleep(1)
    before, began = commands(server), time.perf_counter()
    await asyncio.sleep(QUIET)
    rate = (commands(server) - before) / (time.perf_counter() - began)
    for claim in claims:
        ended[claim.id] = time.perf_counter()
        await worker.apply("mail", [settle(claim, Succeeded(b"1"), Policy(), draw=0.5)])
        await asyncio.sleep(BETWEEN)
    await asyncio.gather(*waiting)
    late.sort()
    print(
        f"{url.partition(':')[0]}: {rate:.2f} commands a second while nothing ends;"
        f" late by {statistics.median(late):.1f} ms (median),"
        f" {late[WAITS * 99 // 100]:.1f} ms (99 %), from the call that ends the job"
    )
    await application.close()
    await worker.close()


def commands(server: redis.Redis | None) -> int:
    return server.info("stats")["total_commands_processed"] if server is not None else 0


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(waits(f"sqlite://{directory}/jobs.db", None))
        with RedisServer(USUAL, Path(directory)) as server, server.client() as client:
            asyncio.run(waits(server.url, client))


if __name__ == "__main__":
    main()
