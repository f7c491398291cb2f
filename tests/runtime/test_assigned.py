"""Jobs that are claimed for a waiting worker in the call that adds them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import ASSIGNED, Assigned, Held, StoreError, Take, Turn
from asyncmqd.client.job import Job
from asyncmqd.domain import clock
from asyncmqd.domain.job import Claim, JobSpec, NewJob
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.states import State
from asyncmqd.runtime.worker import Worker
from tests.runtime.conftest import Bench
from tests.runtime.virtual import store_clock, virtual

Deliver = Callable[[Take, Assigned], None]


class Posting(InMemoryBackend):
    """What happens to messages is `deliver`'s; the reply to a claim may be slow."""

    def __init__(self) -> None:
        super().__init__(now=store_clock)
        self.deliver: Deliver = lambda take, assigned: take(assigned)
        self.messages: list[Assigned] = []
        self.looks = 0  # of workers, at what they hold
        self.checks: list[list[str]] = []  # of what jobs it was asked whether they are still held
        self.check_delay = 0.0  # seconds
        self.delay = 0.0  # seconds
        self.broken = asyncio.Event()  # its connection for wake-ups

    def take_assigned(self, take: Take) -> None:
        def told(assigned: Assigned) -> None:
            self.messages.append(assigned)
            self.deliver(take, assigned)

        super().take_assigned(told)

    async def wait(self, queues: Collection[str], timeout: float) -> set[str]:
        broken = asyncio.create_task(self.broken.wait())
        woken = asyncio.create_task(super().wait(queues, timeout))
        try:
            await asyncio.wait({broken, woken}, return_when=asyncio.FIRST_COMPLETED)
            if broken.done():
                raise StoreError("wait: connection reset")
            return await woken
        finally:
            broken.cancel()
            woken.cancel()

    async def turn(self, queue: str, changes: Any, *rest: Any) -> Turn:
        reply = await super().turn(queue, changes, *rest)
        await asyncio.sleep(self.delay)
        return reply

    async def held(self, queue: str, worker: str) -> list[Claim]:
        self.looks += 1
        return await super().held(queue, worker)

    async def extend(self, held: Sequence[Held], lease: float) -> list[bool]:
        self.checks.append([each.id for each in held])
        await asyncio.sleep(self.check_delay)
        return await super().extend(held, lease)


@pytest.fixture
def store(bench: Bench) -> Posting:
    store = bench.backend = Posting()
    return store


@pytest.fixture
def ran(bench: Bench) -> list[float]:
    """When runs of the task "work" began, in loop time; it takes a second."""
    began: list[float] = []

    async def work() -> None:
        began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(1)

    bench.task(work)
    return began


@virtual
async def test_it_runs_without_a_claim(bench: Bench, store: Posting, ran: list[float]) -> None:
    async with bench.worker():
        await asyncio.sleep(1)
        store.delay = 0.5  # of all claims from now on
        id = await bench.add("work")
        (record,) = await bench.ended(id)
        assert (record.state, record.token, ran) == (State.COMPLETED, 1, [1.0])
        assert len(store.messages) == 1
        assert store.looks == 0


@virtual
async def test_the_next_one_comes_the_same_way(
    bench: Bench, store: Posting, ran: list[float]
) -> None:
    async with bench.worker(concurrency=5):
        for second in range(1, 6):
            await asyncio.sleep(second - asyncio.get_running_loop().time())
            await bench.add("work")
        await asyncio.sleep(2)
        assert (ran, len(store.messages), store.looks) == ([1.0, 2.0, 3.0, 4.0, 5.0], 5, 0)


@virtual
async def test_whom_one_fills_looks_for_what_is_due(bench: Bench, store: Posting) -> None:
    """Nobody wakes it for a delayed job then, and others may have room once that waits."""
    go = asyncio.Event()

    async def held() -> None:
        await go.wait()

    bench.task(held)
    async with bench.worker(concurrency=1):
        await asyncio.sleep(1)
        await bench.add("held")
        await asyncio.sleep(0.1)
        due = await bench.add("held", delay=2.0)
        await asyncio.sleep(2.0 + QueueOptions().scan_interval)
        assert (await bench.record(due)).state is State.WAITING
        go.set()


@virtual
async def test_one_for_which_there_is_no_room_is_handed_back(
    bench: Bench, store: Posting, ran: list[float]
) -> None:
    async with bench.worker(concurrency=1) as worker:
        await asyncio.sleep(1)
        store.deliver = lambda take, assigned: (
            worker._claims.capacity.slots.take(1),
            take(assigned),
        )[1]
        id = await bench.add("work")
        await asyncio.sleep(1)
        record = await bench.record(id)
        assert (record.state, record.failures, ran) == (State.WAITING, 0, [])
        worker._claims.capacity.slots.give(1)
        worker._claims.ring()
        (record,) = await bench.ended(id)
        assert record.token == 2


@virtual
async def test_one_that_comes_beside_a_claim_waits_for_the_slots_that_it_gives_back(
    bench: Bench, store: Posting, ran: list[float]
) -> None:
    async with bench.worker(concurrency=2):
        await asyncio.sleep(1)
        first = await bench.add("work")
        await asyncio.sleep(0.5)
        store.delay = 0.1
        await asyncio.sleep(0.55)  # its end is told, with a claim
        second = await bench.add("work")
        records = await bench.ended(first, second)
        assert [record.token for record in records] == [1, 1]
        assert ran == [1.0, pytest.approx(2.1)]
        assert store.looks == 0


@virtual
async def test_a_message_that_comes_twice_starts_one_run(
    bench: Bench, store: Posting, ran: list[float]
) -> None:
    async with bench.worker(concurrency=3):
        await asyncio.sleep(1)
        store.deliver = lambda take, assigned: (take(assigned), take(assigned))[0]
        await bench.ended(await bench.add("work"))
        assert ran == [1.0]
        store.deliver = lambda take, assigned: take(store.messages[0])
        await bench.ended(await bench.add("work"))
        assert len(ran) == 2


@virtual
async def test_a_message_of_somebody_else_starts_nothing(
    bench: Bench, store: Posting, ran: list[float]
) -> None:
    async with bench.worker(concurrency=3):
        await asyncio.sleep(1)
        forged: list[Assigned] = []

        def forge(take: Take, assigned: Assigned) -> None:
            take(replace(assigned, claim=replace(assigned.claim, id="forged"), sign_up=7))
            forged.append(assigned)

        store.deliver = forge
        id = await bench.add("work")
        (record,) = await bench.ended(id)  # found at the store
        assert (record.token, len(ran), len(forged)) == (1, 1, 1)


def late(take: Take, assigned: Assigned) -> None:
    """A message that was said at any time since the first second."""
    take(replace(assigned, since=1.0))


@virtual
async def test_a_message_that_was_long_under_way_is_checked(
    bench: Bench, store: Posting, ran: list[float]
) -> None:
    """Its claim may have been taken over: this process stood still."""
    async with bench.worker(concurrency=3):
        await asyncio.sleep(60)
        store.deliver = late
        id = await bench.add("work")
        (record,) = await bench.ended(id)
        assert (store.looks, store.checks, record.token, len(ran)) == (0, [[id]], 1, 1)


@virtual
async def test_a_message_that_came_while_the_host_was_suspended_is_checked(
    bench: Bench, store: Posting, ran: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop's clock stood still: to it the message is new."""
    async with bench.worker(concurrency=3):
        await asyncio.sleep(1)
        suspended = clock.suspended() + 60
        monkeypatch.setattr(clock, "suspended", lambda: suspended)
        first = await bench.add("work")
        await bench.ended(first)
        await bench.ended(await bench.add("work"))
        assert (store.looks, store.checks, len(ran)) == (0, [[first]], 2)


@virtual
async def test_a_message_from_before_a_recall_is_checked(
    bench: Bench, store: Posting, ran: list[float]
) -> None:
    """The job may be among those that were cancelled. The store is asked for no other one."""
    async with bench.worker(concurrency=3) as worker:
        await asyncio.sleep(1)
        worker.context.leases.look()
        await asyncio.sleep(1)
        store.deliver = late
        id = await bench.add("work")
        await bench.ended(id)
        assert (store.looks, store.checks, ran) == (0, [[id]], [2.0])


@virtual
async def test_one_that_was_cancelled_before_its_message_came_does_not_start(
    bench: Bench, store: Posting, ran: list[float]
) -> None:
    async with bench.worker(concurrency=3):
        await asyncio.sleep(60)
        loop, came = asyncio.get_running_loop(), asyncio.Event()

        def come(take: Take, assigned: Assigned) -> None:
            late(take, assigned)
            came.set()

        store.deliver = lambda take, assigned: loop.call_later(1, come, take, assigned) and None
        id = await bench.add("work")
        assert await Job("q", JobSpec(id=id, task="work"), store).cancel()
        await came.wait()
        await asyncio.sleep(1)
        assert (store.looks, store.checks[-1], ran) == (0, [id], [])
        await bench.ended(await bench.add("work"))


@virtual
@pytest.mark.parametrize("delay", [0.0, 0.2])
async def test_one_whose_check_is_under_way_starts_once(
    bench: Bench, store: Posting, ran: list[float], delay: float
) -> None:
    """A look at the store finds it meanwhile, and has its answer before the check or behind it."""
    async with bench.worker(concurrency=3) as worker:
        await asyncio.sleep(60)
        store.deliver, store.check_delay = late, 0.2
        id = await bench.add("work")
        await asyncio.sleep(0.1)
        store.check_delay = delay
        worker.look_for_assigned()
        await bench.ended(id)
        assert store.checks.count([id]) == 2
        assert len(ran) == 1


@virtual
async def test_one_whose_check_fails_is_found_by_a_look(
    bench: Bench, store: Posting, ran: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> list[bool]:
        monkeypatch.undo()
        raise StoreError("down")

    async with bench.worker(concurrency=3):
        await asyncio.sleep(60)
        store.deliver = late
        monkeypatch.setattr(store, "extend", fail)
        (record,) = await bench.ended(await bench.add("work"))
        assert (store.looks, record.token, len(ran)) == (1, 1, 1)


@virtual
async def test_one_whose_check_is_under_way_as_the_worker_ends_is_handed_back(
    bench: Bench, store: Posting, ran: list[float]
) -> None:
    async with bench.worker(concurrency=3):
        await asyncio.sleep(60)
        store.deliver, store.check_delay = late, 0.5
        id = await bench.add("work")
        await asyncio.sleep(0.1)
    record = await bench.record(id)
    assert (record.state, record.crashes, ran) == (State.WAITING, 0, [])


@virtual
async def test_after_a_look_the_next_message_is_believed(
    bench: Bench, store: Posting, ran: list[float]
) -> None:
    """Its sign-up was sent at the very time at which the look had its answer."""
    store.deliver = lambda take, assigned: take(replace(assigned, since=0.5))
    async with bench.worker(concurrency=3) as worker:
        await asyncio.sleep(1)
        worker.look_for_assigned()
        await asyncio.sleep(1)
        await bench.ended(await bench.add("work"))
        assert (store.looks, ran) == (1, [2.0])


@virtual
async def test_a_message_whose_job_a_look_has_found_starts_nothing(
    bench: Bench, store: Posting, ran: list[float]
) -> None:
    loop = asyncio.get_running_loop()
    store.deliver = lambda take, assigned: loop.call_later(0.5, take, assigned) and None
    async with bench.worker(concurrency=3) as worker:
        await asyncio.sleep(1)
        id = await bench.add("work")
        await asyncio.sleep(0.1)
        worker.look_for_assigned()
        await bench.ended(id)
        assert (len(store.messages), ran) == (1, [1.1])


@virtual
async def test_a_lost_message_costs_a_reconnection(
    bench: Bench, store: Posting, ran: list[float]
) -> None:
    async with bench.worker(concurrency=3):
        await asyncio.sleep(1)
        store.deliver = lambda take, assigned: None
        id = await bench.add("work")
        await asyncio.sleep(1)
        assert ran == []
        store._store.wake(ASSIGNED)  # the connection broke, and is there again
        (record,) = await bench.ended(id)
        assert (record.token, ran) == (1, [2.0])


@virtual
async def test_a_message_may_be_lost_before_the_first_wait_has_ended(
    bench: Bench, store: Posting, ran: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It listened, broke, and listens again."""
    wait = store.wait

    async def break_at_first(queues: Collection[str], timeout: float) -> set[str]:
        monkeypatch.setattr(store, "wait", listen_again)
        await wait(queues, 0.0)
        await asyncio.sleep(1)
        raise StoreError("wait: connection reset")

    async def listen_again(queues: Collection[str], timeout: float) -> set[str]:
        monkeypatch.setattr(store, "wait", wait)
        return {*queues}

    monkeypatch.setattr(store, "wait", break_at_first)
    store.deliver = lambda take, assigned: None
    async with bench.worker(concurrency=3):
        await asyncio.sleep(0.5)
        (record,) = await bench.ended(await bench.add("work"))
        assert (record.token, record.crashes, len(store.messages), len(ran)) == (1, 0, 1, 1)


@virtual
@pytest.mark.parametrize("gap", [0.0, 0.5])
async def test_one_that_comes_to_a_worker_that_ends_is_handed_back(
    bench: Bench, store: Posting, ran: list[float], gap: float
) -> None:
    """Whether its message comes before the end or not at all."""
    loop = asyncio.get_running_loop()
    store.deliver = lambda take, assigned: loop.call_later(gap, take, assigned) and None
    async with bench.worker(concurrency=3):
        await asyncio.sleep(1)
        id = await bench.add("work")
        await asyncio.sleep(0)
    record = await bench.record(id)
    assert (record.state, record.failures, record.crashes, ran) == (State.WAITING, 0, 0, [])
    assert "job.released" in bench.observer.names()


@virtual
async def test_one_whose_connection_breaks_as_the_worker_ends_is_handed_back(
    bench: Bench, store: Posting, ran: list[float]
) -> None:
    """That connection is one of two: by the other one the store still answers."""
    async with bench.worker(concurrency=3):
        await asyncio.sleep(1)
        store.deliver = lambda take, assigned: store.broken.set()
        id = await bench.add("work")
        await asyncio.sleep(0.01)
    record = await bench.record(id)
    assert (record.state, record.crashes, ran) == (State.WAITING, 0, [])


@virtual
async def test_nothing_is_assigned_to_a_worker_that_has_ended(
    bench: Bench, store: Posting, ran: list[float]
) -> None:
    """Another worker of the queue goes on in the same process."""
    async with bench.context() as context, bench.worker(context, concurrency=2):
        await asyncio.sleep(1)
        second = Worker("q", context, QueueOptions(concurrency=2))
        running = asyncio.create_task(second.run())
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait([running])
        (record,) = await bench.ended(await bench.add("work"))
        assert (record.token, ran) == (1, [2.0])


@virtual
async def test_nothing_is_assigned_once_no_worker_is_left(
    bench: Bench, store: Posting, ran: list[float]
) -> None:
    """Though the process still listens."""
    async with bench.context() as context:
        async with bench.worker(context):
            await asyncio.sleep(1)
        id = await bench.add("work")
        assert (await bench.record(id)).state is State.WAITING


@virtual
async def test_a_look_that_fails_is_repeated(
    bench: Bench, store: Posting, ran: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> list[Claim]:
        raise StoreError("down")

    async with bench.worker(concurrency=3):
        await asyncio.sleep(1)
        store.deliver = lambda take, assigned: None
        id = await bench.add("work")
        with monkeypatch.context() as patch:
            patch.setattr(store, "held", fail)
            store._store.wake(ASSIGNED)
            await asyncio.sleep(1)
        (record,) = await bench.ended(id)
        assert record.token == 1


class Contended(dict[Any, Any]):
    """Who waits for a queue; at each look or change another thread is quicker, and does `first`."""

    def __init__(self, first: Callable[[], object]) -> None:
        super().__init__()
        self.first = first

    def pop(self, *key: Any) -> Any:
        self.first()
        return super().pop(*key)


async def test_a_loop_that_ends_does_not_mind_a_new_queue() -> None:
    """Of a worker in another thread."""
    store = InMemoryBackend()
    waiters = store._store.waiters
    for name in "ab":
        waiters[name] = Contended(lambda: waiters[f"new{len(waiters)}"])
    await store.wait(["a"], 0.0)
    await store.close()
    assert len(waiters) == 4


async def test_a_producer_does_not_mind_a_loop_that_ends() -> None:
    """Whose worker it was about to give the job to."""
    store = InMemoryBackend()
    store.take_assigned(lambda _: None)
    await store.wait(["q"], 0.0)
    waiters = store._store.waiters["q"] = Contended(lambda: dict.clear(waiters))
    await store.turn("q", (), 1, 60.0, "w", None, 7)
    assert len(waiters) == 1
    await store.add("q", [NewJob(id="a", payload=b"{}")])
    assert [claim.id for claim in await store.claim("q", 1, 60.0, "w")] == ["a"]
