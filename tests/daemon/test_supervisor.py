"""Keepers alone, in the test's own loop, for what no signal can be timed to hit."""

from __future__ import annotations

import asyncio
import gc
import weakref
from uuid import uuid4

import pytest

from asyncmqd.backends.memory import InMemoryBackend
from asyncmqd.daemon.queue_supervisor import QueueSupervisor
from asyncmqd.daemon.supervisor import Supervisor
from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.job import JobSpec, NewJob
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.shared_limits import SharedLimits
from asyncmqd.domain.tasks import Registry, TaskDef, TaskOptions
from asyncmqd.runtime.process.context import ProcessContext
from tests.eventually import eventually

PATIENT = QueueOptions(drain_timeout=60)


async def _wait_for_ever() -> None:
    await asyncio.Event().wait()


@pytest.fixture
async def context():
    registry = Registry()
    registry.add(TaskDef(_wait_for_ever, "wait", TaskOptions()))
    async with ProcessContext(InMemoryBackend(f"memory://{uuid4()}"), registry=registry) as context:
        yield context


@pytest.fixture
def no_collector():
    gc.disable()
    yield
    gc.enable()


async def _one_running(context: ProcessContext) -> Supervisor:
    supervisor = Supervisor(context)
    supervisor.apply({"mail": PATIENT})
    job = NewJob(id="a", payload=encode_spec(JobSpec(id="a", task="wait")))
    await context.backend.add("mail", [job])

    async def runs() -> bool:
        return supervisor.running == 1

    await eventually(runs)
    return supervisor


async def test_a_second_stop_in_the_same_turn_is_not_lost(context):
    """Two cancellations of a task that has not run between them are delivered as one."""
    supervisor = await _one_running(context)
    (keeper,) = supervisor.queues.values()
    async with asyncio.timeout(5):
        keeper.stop()
        await keeper.hand_back()
        await keeper.ended
    assert (await context.backend.counts(["mail"]))["mail"].waiting == 1


async def test_a_worker_that_will_not_end_does_not_hold_the_stop_for_ever(context, monkeypatch):
    supervisor = await _one_running(context)
    monkeypatch.setattr("asyncmqd.daemon.supervisor.OVERTIME", 0.05)
    supervisor.apply({"mail": QueueOptions(drain_timeout=0.05)})
    (keeper,) = supervisor.queues.values()
    assert keeper.worker is not None
    monkeypatch.setattr(keeper.worker._claims._runs, "release_all", lambda: None)
    async with asyncio.timeout(5):
        await supervisor.stop()
    assert not keeper.ended.done()
    monkeypatch.undo()
    await supervisor.hand_back()
    await keeper.ended


async def test_what_is_unchanged_is_not_touched(context):
    supervisor = await _one_running(context)
    (keeper,) = supervisor.queues.values()
    worker = keeper.worker
    supervisor.apply({"mail": PATIENT})
    supervisor.apply({"mail": QueueOptions(drain_timeout=60, concurrency=9)})
    assert keeper.worker is worker
    assert worker.concurrency == 9
    assert supervisor.running == 1
    supervisor.apply({})
    assert supervisor.draining == ["mail"]
    supervisor.apply({"mail": PATIENT})
    await keeper.hand_back()

    async def served_anew() -> bool:
        return keeper.worker not in (None, worker) and supervisor.running == 1

    await eventually(served_anew)
    assert supervisor.draining == []
    await asyncio.gather(supervisor.stop(), supervisor.hand_back())


async def test_a_queue_that_comes_back_is_served_however_far_its_end_has_come(context):
    """Some turns of the loop lie between the end of its keeper's work and the keeper's own."""
    supervisor = Supervisor(context)

    async def served() -> bool:
        keeper = supervisor.queues.get("mail")
        return keeper is not None and keeper.worker is not None and keeper.worker.claiming

    turns, over = 0, False
    while not over:
        supervisor.apply({"mail": PATIENT})
        await eventually(served, 2.0)
        keeper = supervisor.queues["mail"]
        supervisor.apply({})
        for _ in range(turns):
            await asyncio.sleep(0)
        turns, over = turns + 1, keeper.ended.done()
    assert turns > 5


async def _serve_and_remove(supervisor: Supervisor) -> list[weakref.ref]:
    """Have a queue for a moment; what served it."""
    supervisor.apply({"mail": PATIENT})
    (keeper,) = supervisor.queues.values()

    async def claims() -> bool:
        return keeper.worker is not None and keeper.worker.claiming

    await eventually(claims)
    served = [weakref.ref(each) for each in (keeper, keeper.worker, keeper.worker._claims)]
    supervisor.apply({})
    await keeper.ended
    return served


@pytest.mark.usefixtures("no_collector")
async def test_a_removed_queue_leaves_nothing_to_the_collector(context):
    """A daemon has it run every few hours, and would grow with each reload until then."""
    supervisor = Supervisor(context)
    served = await _serve_and_remove(supervisor)

    async def freed() -> bool:
        return not supervisor.queues and not any(each() for each in served)

    await eventually(freed, 2.0)


LIMITED = QueueOptions(global_concurrency=2, drain_timeout=60)
NEWER = SharedLimits(concurrency=5)


async def _in_force(context: ProcessContext) -> SharedLimits | None:
    found = (await context.backend.outlook(["mail"]))["mail"].limits
    return None if found is None else found.limits


async def _crash(keeper: QueueSupervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the worker fail, and another one serve."""
    worker = keeper.worker
    assert worker is not None

    def fail(view: object) -> None:
        raise RuntimeError("an error of ours")

    with monkeypatch.context() as broken:
        broken.setattr("asyncmqd.runtime.claiming.loop.next_step", fail)
        worker.wake()
        await eventually(lambda: _is(keeper.worker is not worker))
    await eventually(lambda: _is(keeper.worker is not None and keeper.worker.claiming))


async def _is(value: bool) -> bool:
    return value


@pytest.mark.parametrize("lost", [False, True])
async def test_a_worker_that_follows_a_crashed_one_leaves_newer_limits_as_they_are(
    context, monkeypatch, lost
):
    monkeypatch.setattr("asyncmqd.daemon.queue_supervisor.FIRST_PAUSE", 0.01)
    supervisor = Supervisor(context)
    supervisor.apply({"mail": LIMITED})

    async def declared() -> bool:
        return await _in_force(context) == LIMITED.shared_limits

    await eventually(declared)
    (keeper,) = supervisor.queues.values()
    if lost:  # the store is emptied meanwhile: then what was declared before holds again
        context.backend._store.queues.clear()
    else:
        await context.backend.declare_limits("mail", NEWER, "another")
    await _crash(keeper, monkeypatch)
    job = NewJob(id="a", payload=encode_spec(JobSpec(id="a", task="wait")))
    await context.backend.add("mail", [job])
    await eventually(lambda: _is(supervisor.running == 1))
    assert await _in_force(context) == (LIMITED.shared_limits if lost else NEWER)
    supervisor.apply({"mail": LIMITED})  # a reload that changes nothing declares all the same
    await eventually(declared)
    await asyncio.gather(supervisor.stop(), supervisor.hand_back())
