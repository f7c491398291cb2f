"""A job that is cancelled or removed while it runs: its holder hears of it at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from asyncmqd.admin import job_actions
from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import RECALLED, BaseBackend, StoreRefused
from asyncmqd.backends.redis import RedisBackend
from asyncmqd.client.job import Job
from asyncmqd.client.operations import begin, carry_on
from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.job import JobSpec, NewJob
from asyncmqd.domain.operation import Order
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.shared_limits import SharedLimits
from asyncmqd.domain.states import State
from asyncmqd.domain.tasks import Registry, TaskDef, TaskOptions
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.worker import Worker
from tests.contract.conftest import Opener
from tests.contract.jobs import QUEUE
from tests.eventually import LIMIT, eventually
from tests.runtime.virtual import store_clock, virtual

FOR_EVER = 40 * LIMIT  # of a lease: whoever waits for its renewal waits in vain


class Run:
    """A task that runs until somebody ends it."""

    def __init__(self) -> None:
        self.began, self.ended = asyncio.Event(), asyncio.Event()
        self.at = 0.0

    async def task(self) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.at = time.monotonic()
            self.ended.set()


@asynccontextmanager
async def worker(store: BaseBackend, run: Run) -> AsyncIterator[ProcessContext]:
    registry = Registry()
    registry.add(TaskDef(run.task, "t", TaskOptions()))
    context = ProcessContext(
        store, lease=FOR_EVER, hang_limit=2 * FOR_EVER, registry=registry, observer=Observer([])
    )
    async with context:
        options = QueueOptions(concurrency=1, drain_timeout=0.0)
        running = asyncio.create_task(Worker(QUEUE, context, options).run())
        try:
            yield context
        finally:
            running.cancel()
            await asyncio.wait([running])


async def add(store: BaseBackend) -> None:
    await store.add(QUEUE, [NewJob(id="j", payload=encode_spec(JobSpec(id="j", task="t")))])


async def cancel_by_id(store: BaseBackend) -> None:
    assert await job_actions.move(store, "cancel", ["j"]) == {"j": None}


async def remove_by_id(store: BaseBackend) -> None:
    assert await job_actions.move(store, "remove", ["j"]) == {"j": None}


async def cancel_by_application(store: BaseBackend) -> None:
    assert await Job[None](QUEUE, JobSpec(id="j", task="t"), store).cancel()


async def remove_by_application(store: BaseBackend) -> None:
    assert await Job[None](QUEUE, JobSpec(id="j", task="t"), store).remove()


async def purge(store: BaseBackend) -> None:
    order = Order(verb="remove", states=(State.ACTIVE,))
    assert await carry_on(store, await begin(store, QUEUE, order, "ann"))


WAYS = [cancel_by_id, remove_by_id, cancel_by_application, remove_by_application, purge]


@pytest.mark.parametrize("take_away", WAYS, ids=lambda way: way.__name__)
async def test_a_run_ends_at_once(
    open_store: Opener,
    take_away: Callable[[BaseBackend], Awaitable[None]],
    seen: Callable[[str], None],
) -> None:
    store, other, run = await open_store(), await open_store(), Run()
    await add(store)
    async with worker(store, run):
        async with asyncio.timeout(LIMIT):
            await run.began.wait()
            began = time.monotonic()
            await take_away(other)
            await run.ended.wait()
    seen(f"cancel, {take_away.__name__}: {(run.at - began) * 1000:.1f} ms")


async def test_only_those_who_ask_for_it_are_woken(open_store: Opener) -> None:
    store, holder, idle = [await open_store() for _ in range(3)]
    await holder.wait({QUEUE, RECALLED}, 0.0)  # the first is told to look at all
    await idle.wait({QUEUE}, 0.0)
    hears = asyncio.create_task(holder.wait({QUEUE, RECALLED}, LIMIT))
    sleeps = asyncio.create_task(idle.wait({QUEUE}, LIMIT))
    await asyncio.sleep(0.05)
    await store.recall()
    assert await hears == {RECALLED}
    assert not sleeps.done()
    sleeps.cancel()
    await asyncio.wait([sleeps])


async def test_a_claim_that_is_cancelled_on_its_way_is_not_run(
    open_store: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recall arrives before the reply that brings the claim."""
    store, other, run = await open_store(), await open_store(), Run()
    turn = store.turn

    async def slow_turn(*args: object) -> object:
        reply = await turn(*args)  # type: ignore[arg-type]
        if reply.claims:
            await cancel_by_id(other)

            async def heard() -> bool:
                return context.leases.recalled_at > before

            await eventually(heard)
        return reply

    async def listens() -> bool:
        return context.leases.recalled_at > 0.0

    async with worker(store, run) as context:
        await eventually(listens)
        before = context.leases.recalled_at
        monkeypatch.setattr(store, "turn", slow_turn)
        monkeypatch.setattr(context.leases, "duration", 10 * LIMIT)
        await other.declare_limits(QUEUE, SharedLimits(concurrency=1), "x")
        await add(other)

        async def is_over() -> bool:
            [record] = await other.get(QUEUE, ["j"])
            return record is not None and record.state is State.CANCELLED

        async def is_free() -> bool:
            return (await other.outlook([QUEUE]))[QUEUE].ghosts == 0

        await eventually(is_over)
        await eventually_idle(context)
        await eventually(is_free)  # its holder says that no code of it runs
    assert not run.began.is_set()


async def eventually_idle(context: ProcessContext) -> None:
    """Until the worker has done with what its last claim brought."""

    async def is_idle() -> bool:
        [handle] = context.workers.of(QUEUE)
        return len(handle.running) == 0 and handle.has_room

    await eventually(is_idle)


async def test_a_recall_that_cannot_be_sent_is_no_error(open_store: Opener) -> None:
    """The job is cancelled: its holder learns it when it renews the lease."""
    store = await open_store()
    if isinstance(store, RedisBackend):
        store._link.ask = refuse  # type: ignore[method-assign]
    await store.recall()


async def refuse(*_: object) -> list[object]:
    raise StoreRefused("NOPERM")


@virtual
async def test_a_cancelled_run_waits_for_no_clock() -> None:
    """Not a moment of virtual time passes: nothing on the way looks now and then."""
    store, run = InMemoryBackend(now=store_clock), Run()
    await add(store)
    async with worker(store, run):
        await run.began.wait()
        loop = asyncio.get_running_loop()
        await asyncio.sleep(1)  # all duties wait
        began = loop.time()
        await cancel_by_id(store)
        await run.ended.wait()
        assert loop.time() == began
