"""Threads of plain functions end with whoever started them."""

from __future__ import annotations

import asyncio
import threading

from asyncmqd.runtime.options import WorkerOptions
from asyncmqd.runtime.single import run_one
from tests.runtime.conftest import Bench


def job_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "asyncmqd-job"]


async def test_jobs_that_run_one_by_one_leave_no_thread_behind(bench: Bench):
    def plain() -> int:
        return threading.get_ident()

    name = bench.task(plain)
    node = bench.node()
    for _ in range(20):
        await bench.add(name)
        (claim,) = await bench.backend.claim("q", 1, 15.0, node.id)
        before = set(job_threads())
        await run_one(node, claim, WorkerOptions())
        for thread in set(job_threads()) - before:
            await asyncio.to_thread(thread.join, 10)
            assert not thread.is_alive()


async def test_a_thread_whose_run_was_stopped_ends_when_its_function_returns(bench: Bench):
    entered, leave = threading.Event(), threading.Event()
    used: list[threading.Thread] = []

    def stuck() -> None:
        used.append(threading.current_thread())
        entered.set()
        leave.wait()

    async with bench.worker():
        await bench.add(bench.task(stuck))
        await asyncio.to_thread(entered.wait)
    leave.set()
    await asyncio.to_thread(used[0].join, 10)
    assert not used[0].is_alive()
