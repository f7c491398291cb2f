"""A million jobs, two daemons, no faults: each runs exactly once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.job import JobSpec, NewJob
from tests.added import are_new
from tests.daemon.harness import Store, until
from tests.servers import RedisServer
from tests.soak.conftest import Silent

JOBS = 1_000_000
BATCH = 1_000  # jobs of one round trip
BACKLOG = 50_000  # jobs that wait at most: what is measured is not the server's memory
QUEUE = "[queues.many]\nconcurrency = 100\n"


def _batch(first: int) -> list[NewJob]:
    specs = (JobSpec(id=f"{n:08}", task="count") for n in range(first, first + BATCH))
    return [NewJob(id=spec.id, payload=encode_spec(spec)) for spec in specs]


@pytest.mark.timeout(1_800)
def test_a_million_jobs_run_once_each(
    silent: Callable[..., Silent], server: RedisServer, seen: Callable[[str], None]
) -> None:
    daemons = [silent(server.url, QUEUE, name=name) for name in ("a", "b")]
    ledger = daemons[0].ledger
    began = time.monotonic()

    def runs() -> int:
        return ledger.stat().st_size // 8

    store = Store(server.url)
    for first in range(0, JOBS, BATCH):
        batch = _batch(first)
        assert all(are_new(store.do(lambda backend, batch=batch: backend.add("many", batch))))
        until(lambda first=first: runs() >= first - BACKLOG, 60.0)
    until(lambda: runs() >= JOBS, 600.0)
    until(lambda: store.counts("many").active == 0)
    took = time.monotonic() - began
    assert [daemon.stop() for daemon in daemons] == [0, 0]
    data = ledger.read_bytes()
    times = bytearray(JOBS)
    for at in range(0, len(data), 8):
        times[int(data[at : at + 8])] += 1
    assert os.path.getsize(ledger) == 8 * JOBS
    assert times == b"\x01" * JOBS
    seen(
        f"{JOBS:,} jobs over two daemons without faults: each ran once, {JOBS / took:,.0f} a second"
    )
