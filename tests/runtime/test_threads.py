"""Threads of plain functions end with whoever started them."""

from __future__ import annotations

import asyncio
import threading

from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.states import State
from asyncmqd.runtime.execution.run import Run
from asyncmqd.runtime.execution.stuck_threads import Overstays
from asyncmqd.runtime.handle_job import run_one
from tests.eventually import eventually
from tests.runtime.conftest import Bench
from tests.runtime.virtual import virtual


def job_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "asyncmqd-job"]


async def test_jobs_that_run_one_by_one_leave_no_thread_behind(bench: Bench):
    def plain() -> int:
        return threading.get_ident()

    name = bench.task(plain)
    context = bench.context()
    for _ in range(20):
        await bench.add(name)
        (claim,) = await bench.backend.claim("q", 1, 15.0, context.presence.id)
        before = set(job_threads())
        await run_one(context, claim, QueueOptions())
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


async def test_a_function_that_overstays_loses_its_slot_and_its_say(bench: Bench):
    entered, leave = threading.Event(), threading.Event()

    def stuck() -> str:
        entered.set()
        leave.wait()
        return "too late"

    def quick() -> str:
        return "in time"

    context = bench.context()
    async with bench.worker(context, concurrency=1) as worker:
        late = await bench.add(bench.task(stuck))
        await asyncio.to_thread(entered.wait)
        (run,) = worker.running.values()
        run.stop("timeout")
        (record,) = await bench.ended(late)
        assert (record.state, len(context.overstays)) == (State.FAILED, 1)
        (other,) = await bench.ended(await bench.add(bench.task(quick)))
        assert other.state is State.COMPLETED
        leave.set()
        await eventually(lambda: _value(not context.overstays))
        assert await bench.record(late) == record
    told = [fields for name, fields in bench.observer.events if name == "job.stuck"]
    assert (told[0]["job_id"], told[0]["reason"]) == (late, "timeout")
    assert any(line.endswith(" stuck") for line in told[0]["stack"])


@virtual
async def test_it_is_told_again_at_growing_intervals_until_it_returns(bench: Bench):
    times, counts = [], []
    bench.observer.event = lambda name, **_: times.append(asyncio.get_running_loop().time())
    overstays = Overstays(bench.observer)
    overstays.on_more = counts.append
    await bench.add(bench.task(lambda: None, name="stuck"))
    (claim,) = await bench.backend.claim("q", 1, 15.0, "w")
    run = Run(claim, claim.id, 0.0)
    overstays.begin(run)
    await asyncio.sleep(20)
    overstays.end(run)
    await asyncio.sleep(1_000)
    assert times == [0, 1, 3, 7, 15]
    assert (counts, len(overstays)) == ([1], 0)


async def _value(value: bool) -> bool:
    return value
