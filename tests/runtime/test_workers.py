"""Workers as wholes: stopping, losing claims, outages, changes in place, the guide's functions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asyncmqd import (
    current_job,
    delayed_job_scanner,
    process_job,
    run_worker,
    start_worker,
    worker_loop,
)
from asyncmqd.admin import why
from asyncmqd.backends import InMemoryBackend, StoreError
from asyncmqd.backends.base import Turn
from asyncmqd.client.connection import configured_scan_interval
from asyncmqd.client.operations import pause
from asyncmqd.client.queue import Queue
from asyncmqd.domain.change import Change
from asyncmqd.domain.heartbeat import BEAT, serving_of
from asyncmqd.domain.job import Claim
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.settle import CRASH_LIMIT
from asyncmqd.domain.states import State
from asyncmqd.domain.tasks import REGISTRY, TaskDef, TaskOptions
from asyncmqd.runtime import runners
from asyncmqd.runtime.claiming.runs import Runs
from asyncmqd.runtime.worker import Worker
from tests.runtime.conftest import Bench
from tests.runtime.virtual import store_clock, virtual


def sleeper(seconds: float, done: list[str] | None = None) -> Any:
    async def sleep() -> None:
        await asyncio.sleep(seconds)
        if done is not None:
            done.append("done")

    return sleep


async def cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


# ---------------------------------------------------------------------- stopping


@virtual
async def test_the_first_cancellation_lets_running_jobs_finish(bench: Bench) -> None:
    bench.task(sleeper(20), name="short")
    bench.task(sleeper(100), name="long")
    short, long, waiting = [await bench.add(name) for name in ("short", "long", "short")]
    async with bench.worker(concurrency=2, drain_timeout=30):
        await asyncio.sleep(1)
    assert asyncio.get_running_loop().time() == pytest.approx(31, abs=0.1)
    records = [await bench.record(id) for id in (short, long, waiting)]
    assert [r.state for r in records] == [State.COMPLETED, State.WAITING, State.WAITING]
    assert [(r.token, r.failures) for r in records] == [(1, 0), (1, 0), (0, 0)]
    first = await bench.backend.claim("q", 1, 15, "next")
    assert [claim.id for claim in first] == [long], "what was handed back keeps its place"


@virtual
async def test_a_second_cancellation_hands_back_at_once(bench: Bench) -> None:
    bench.task(sleeper(1000), name="long")
    id = await bench.add("long")
    async with bench.context() as context:
        worker = asyncio.create_task(Worker("q", context, QueueOptions(drain_timeout=500)).run())
        await asyncio.sleep(1)
        worker.cancel()
        await asyncio.sleep(1)
        assert (await bench.record(id)).state is State.ACTIVE
        await cancel(worker)
    assert asyncio.get_running_loop().time() < 3
    assert (await bench.record(id)).state is State.WAITING


@virtual
async def test_a_run_that_is_stopped_before_it_began_is_handed_back_at_once(bench: Bench) -> None:
    class Stopping(InMemoryBackend):
        """Has the first run stopped before its task makes its first step."""

        claims = 0

        async def turn(self, *args: Any) -> Turn:
            reply = await super().turn(*args)
            self.claims += len(reply.claims)
            if reply.claims and self.claims == 1:
                asyncio.get_running_loop().call_soon(stop)
            return reply

    def stop() -> None:
        (run,) = worker.running.values()
        run.stop("released")

    bench.backend = Stopping(now=store_clock)
    bench.task(sleeper(0), name="work")
    id = await bench.add("work")
    async with bench.worker() as worker:
        (record,) = await bench.ended(id)
    assert asyncio.get_running_loop().time() < 0.5
    assert (record.token, record.failures, record.crashes) == (2, 0, 0)
    assert "job.stuck" not in bench.observer.names()


@virtual
async def test_a_worker_that_drains_claims_nothing_new(bench: Bench) -> None:
    bench.task(sleeper(5), name="short")
    await bench.add("short")
    async with bench.worker(concurrency=3, drain_timeout=10) as worker:
        await asyncio.sleep(1)
        asyncio.get_running_loop().call_later(1, lambda: asyncio.ensure_future(bench.add("short")))
        assert not worker.draining
    counts = (await bench.backend.counts(["q"]))["q"]
    assert (counts.completed, counts.waiting) == (1, 1)


# ---------------------------------------------------------------------- losing claims


@virtual
async def test_an_idle_worker_tells_at_once_who_paused_its_queue_and_why(bench: Bench) -> None:
    async with bench.worker():
        await asyncio.sleep(100)  # nothing to do: it sleeps until it is woken
        await bench.backend.pause("q", True, by="ann", reason="moving")
        await asyncio.sleep(1)
        await bench.backend.pause("q", True, by="bob")
        await asyncio.sleep(1)
        await pause(bench.backend, "q", False, by="carl")
        await asyncio.sleep(1)
    told = [(name, fields) for name, fields in bench.observer.events if name.startswith("queue.")]
    now = told[0][1]["paused_at"]
    first = {"queue": "q", "paused_by": "ann", "reason": "moving", "paused_at": now}
    second = {"queue": "q", "paused_by": "bob", "reason": None, "paused_at": now + 1}
    ended = {**second, "resumed_by": "carl"}
    assert told == [("queue.paused", first), ("queue.paused", second), ("queue.resumed", ended)]


@virtual
async def test_a_heartbeat_tells_at_once_that_jobs_are_not_safe(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def warning() -> str:
        return "it keeps nothing on disk"

    async with bench.worker():
        await asyncio.sleep(1)
        assert [serving_of(each.info).degraded for each in await bench.backend.workers()] == [""]
        monkeypatch.setattr(bench.backend, "durability_warning", warning)
        await asyncio.sleep(BEAT)
        [said] = [serving_of(each.info) for each in await bench.backend.workers()]
    assert said.degraded == "it keeps nothing on disk"


@virtual
async def test_a_late_finisher_changes_nothing_any_more(bench: Bench) -> None:
    """One worker is silent for longer than its lease; another takes over; the first comes back."""
    other = Bench()
    other.backend = bench.backend
    returned: list[str] = []

    async def slow() -> str:
        await asyncio.sleep(40)
        returned.append("slow")
        return "slow"

    async def quick() -> str:
        return "quick"

    bench.task(slow, name="work")
    other.task(quick, name="work")
    id = await bench.add("work")
    async with bench.worker() as first:
        await asyncio.sleep(1)
        await first.context.leases.stop()  # as SIGSTOP does: no renewal, but the run goes on
        async with other.worker():
            (record,) = await bench.ended(id)
            assert asyncio.get_running_loop().time() < 17
            await asyncio.sleep(60)
    assert returned == ["slow"]
    assert await bench.record(id) == record
    assert (record.result, record.token, record.crashes) == (b'"quick"', 3, 0)
    assert bench.observer.names().count("job.lease_lost") == 1
    assert "job.recovered" in other.observer.names()


@virtual
async def test_a_lost_claim_cancels_its_run(bench: Bench) -> None:
    bench.task(sleeper(1000), name="long")
    id = await bench.add("long")
    async with bench.worker() as worker:
        await asyncio.sleep(1)
        assert await bench.backend.remove("q", [id]) == [True]
        await asyncio.sleep(5)
        assert not worker.running
    assert bench.observer.names() == ["job.started", "job.lease_lost"]


@virtual
async def test_a_blocked_loop_does_not_recover_its_own_runs(bench: Bench) -> None:
    done: list[str] = []
    bench.task(sleeper(30, done), name="long")
    id = await bench.add("long")
    async with bench.worker(scan_interval=0.1):
        await asyncio.sleep(1)
        asyncio.get_running_loop()._virtual.now += 60  # four leases in which nothing ran
        (record,) = await bench.ended(id)
    assert (record.state, record.token, done) == (State.COMPLETED, 1, ["done"])


@virtual
async def test_a_poison_job_costs_three_crashes_and_no_innocent(bench: Bench) -> None:
    """Processes die: their nodes stop renewing and never settle. A candidate runs alone."""
    poison = await bench.add("poison")
    innocents = [await bench.add("innocent") for _ in range(5)]
    crashes = 0

    async def innocent() -> None:
        await asyncio.sleep(2)

    for _ in range(10):
        life = Bench()
        life.backend = bench.backend
        died = asyncio.Event()

        async def deadly(died: asyncio.Event = died) -> None:
            died.set()
            await asyncio.sleep(1e9)

        life.task(deadly, name="poison")
        life.task(innocent)
        context = life.context()
        await context.__aenter__()
        worker = Worker("q", context, QueueOptions(concurrency=10))
        running = asyncio.create_task(worker.run())
        dying = asyncio.create_task(died.wait())
        finished = asyncio.create_task(bench.ended(poison, *innocents))
        await asyncio.wait([dying, finished], return_when=asyncio.FIRST_COMPLETED)
        if finished.done():
            await cancel(running)
            await context.__aexit__()
            break
        crashes += 1
        finished.cancel()
        await kill(worker, running)
        await asyncio.sleep(16)
    records = await bench.ended(poison, *innocents)
    assert crashes == CRASH_LIMIT
    assert records[0].state is State.FAILED
    assert b"crash 3 of 3" in records[0].error
    assert {record.state for record in records[1:]} == {State.COMPLETED}


async def kill(worker: Worker, running: asyncio.Task[None]) -> None:
    """As kill -9: nothing of this worker reaches the store any more."""

    class Dead(InMemoryBackend):
        async def turn(self, *_: Any) -> Turn:
            await asyncio.sleep(1e12)
            raise AssertionError

    await worker.context.leases.stop()
    for duty in worker.context._group._begun:
        duty.end()
    worker._claims._backend = Dead()
    for run in list(worker.running.values()):
        run.stop("lost")
    running.cancel()


# ---------------------------------------------------------------------- outages


class Flaky(InMemoryBackend):
    """A store that can be down, or lose replies after it has done what was asked."""

    def __init__(self) -> None:
        super().__init__(now=store_clock)
        self.down = False
        self.lose_replies = 0.0
        self.rng = random.Random(1)

    def _check(self) -> None:
        if self.down:
            raise StoreError("down")

    async def turn(
        self, queue: str, changes: Sequence[Change], limit: int, lease: float, *rest: Any
    ) -> Turn:
        self._check()
        reply = await super().turn(queue, changes, limit, lease, *rest)
        if self.rng.random() < self.lose_replies:
            raise StoreError("the reply was lost")
        return reply

    async def outlook(self, queues: Sequence[str]) -> Any:
        self._check()
        return await super().outlook(queues)

    async def extend(self, held: Any, lease: float) -> list[bool]:
        self._check()
        return await super().extend(held, lease)

    async def beat(self, worker: str, info: bytes, ttl: float) -> list[str]:
        self._check()
        return await super().beat(worker, info, ttl)


@virtual
async def test_after_an_outage_work_goes_on_within_five_seconds(bench: Bench) -> None:
    store = bench.backend = Flaky()
    done: list[str] = []
    bench.task(sleeper(3, done), name="work")
    await bench.add("work")
    async with bench.worker():
        await asyncio.sleep(1)
        store.down = True
        await asyncio.sleep(300)  # far longer than the lease
        assert done == ["done"], "running jobs go on"
        ids = [await bench.add("work") for _ in range(3)]
        store.down = False
        await asyncio.sleep(5 + 3)
        assert {(await bench.record(id)).state for id in ids} == {State.COMPLETED}
    assert bench.observer.names().count("daemon.degraded") == 1
    assert bench.observer.names().count("daemon.recovered") == 1
    assert "job.recovered" not in bench.observer.names()


class LosesProgress(Flaky):
    """The first round trip that carries progress takes two seconds, and fails."""

    async def turn(
        self, queue: str, changes: Sequence[Change], limit: int, lease: float, *rest: Any
    ) -> Turn:
        if not self.down and any(change.edge == "update" for change in changes):
            self.down = True
            await asyncio.sleep(2)
            self.down = False
            raise StoreError("lost on its way")
        return await super().turn(queue, changes, limit, lease, *rest)


@virtual
async def test_an_end_takes_progress_along_that_is_on_its_way(bench: Bench) -> None:
    bench.backend = LosesProgress()

    async def work() -> None:
        current_job().progress("half")
        await asyncio.sleep(1)

    bench.task(work)
    id = await bench.add("work")
    async with bench.worker():
        (record,) = await bench.ended(id)
    assert record.progress == b'"half"'


@virtual
async def test_a_drain_ends_though_the_store_does_not_come_back(bench: Bench) -> None:
    store = bench.backend = Flaky()
    bench.task(sleeper(1), name="short")
    bench.task(sleeper(1000), name="long")
    await bench.add("short")
    await bench.add("long")
    async with bench.worker(drain_timeout=10):
        await asyncio.sleep(0.5)
        store.down = True
        await asyncio.sleep(30)
    assert asyncio.get_running_loop().time() < 0.5 + 30 + 10 + 6
    store.down = False
    assert (await store.counts(["q"]))["q"].active == 2, "their leases bring them back"


@virtual
async def test_a_loop_that_crashes_hands_back_what_a_reply_had_brought(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.task(sleeper(1000), name="long")
    running, brought = await bench.add("long"), ""
    async with bench.context() as context:
        worker = asyncio.create_task(Worker("q", context, QueueOptions(concurrency=5)).run())
        await asyncio.sleep(1)
        monkeypatch.setattr(Runs, "start", fail)
        brought = await bench.add("long")
        await asyncio.wait([worker])
    with pytest.raises(BaseExceptionGroup, match="unhandled"):
        worker.result()
    assert asyncio.get_running_loop().time() < 5, "sooner than by the end of a lease"
    for id in (running, brought):
        record = await bench.record(id)
        assert (record.state, record.token, record.crashes) == (State.WAITING, 1, 0)


@virtual
async def test_a_loop_that_crashes_hands_back_its_runs_though_its_store_names_no_claims(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.task(sleeper(1000), name="long")
    running = await bench.add("long")
    async with bench.context() as context:
        worker = asyncio.create_task(Worker("q", context, QueueOptions(concurrency=5)).run())
        await asyncio.sleep(1)
        monkeypatch.setattr(Runs, "start", fail)
        monkeypatch.setattr(bench.backend, "held", fail)
        await bench.add("long")
        await asyncio.wait([worker])
    assert worker.exception() is not None
    assert (await bench.record(running)).state is State.WAITING


def fail(*_: Any) -> None:
    raise LookupError("an error of ours")


@virtual
async def test_two_workers_of_a_queue_do_not_take_each_others_claims_for_lost(
    bench: Bench,
) -> None:
    """Both share a context; replies are slow and some are lost."""

    class Slow(Flaky):
        async def turn(self, *args: Any) -> Turn:
            reply = await super().turn(*args)
            await asyncio.sleep(self.rng.choice([0.01, 0.3]))
            return reply

    store = bench.backend = Slow()
    ran: list[str] = []

    async def work(number: int) -> None:
        ran.append(str(number))

    bench.task(work)
    ids = [await bench.add("work", number) for number in range(200)]
    store.lose_replies = 0.2
    async with bench.context() as context:
        running = [
            asyncio.create_task(Worker("q", context, QueueOptions(concurrency=4)).run())
            for _ in range(2)
        ]
        await bench.ended(*ids)
        for each in running:
            await cancel(each)
    assert sorted(ran, key=int) == [str(number) for number in range(200)]


@virtual
async def test_a_wake_up_during_an_empty_claim_is_not_lost(bench: Bench) -> None:
    class Slow(InMemoryBackend):
        async def turn(self, *args: Any) -> Turn:
            reply = await super().turn(*args)
            await asyncio.sleep(1)  # the reply is on its way
            return reply

    bench.backend = Slow(now=store_clock)
    bench.task(sleeper(0), name="work")
    async with bench.worker():
        await asyncio.sleep(0.5)  # the first claim found nothing; we do not know yet
        id = await bench.add("work")
        await asyncio.sleep(5)
        assert (await bench.record(id)).state is State.COMPLETED


@virtual
async def test_lost_replies_lose_no_job_and_double_none(bench: Bench) -> None:
    store = bench.backend = Flaky()
    ran: list[str] = []

    async def work(number: int) -> None:
        ran.append(str(number))
        await asyncio.sleep(0.5)

    bench.task(work)
    ids = [await bench.add("work", number) for number in range(200)]
    store.lose_replies = 0.4
    async with bench.worker(concurrency=10):
        records = await bench.ended(*ids)
    assert sorted(ran, key=int) == [str(number) for number in range(200)]
    assert {record.token for record in records} == {1}
    assert asyncio.get_running_loop().time() < 120


# ---------------------------------------------------------------------- changing in place


@virtual
async def test_numbers_change_in_place_and_tokens_stay(bench: Bench) -> None:
    bench.task(sleeper(10), name="work")
    for _ in range(50):
        await bench.add("work")
    options = QueueOptions(concurrency=2, rate_limit=20, rate_interval=1000)
    async with bench.context() as context:
        worker = Worker("q", context, options)
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(1)
        assert len(worker.running) == 2
        before = dict(worker.running)
        worker.adjust(msgspec.structs.replace(options, concurrency=5))
        await asyncio.sleep(1)
        assert len(worker.running) == 5
        assert before.items() <= worker.running.items(), "what ran was left alone"
        worker.adjust(msgspec.structs.replace(options, concurrency=1))
        await asyncio.sleep(10)
        assert len(worker.running) == 1
        worker.adjust(msgspec.structs.replace(options, concurrency=100))
        await asyncio.sleep(1)
        assert len(worker.running) == 15, "six of twenty tokens were used"
        worker.adjust(QueueOptions(concurrency=100))
        await asyncio.sleep(1)
        assert len(worker.running) == 45
        await cancel(running)


@virtual
async def test_a_custom_scanner_enqueues_and_one_that_fails_runs_again(bench: Bench) -> None:
    calls: list[tuple[str, float]] = []

    async def inbox(queue_name: str, backend: Any, interval: float) -> None:
        calls.append((queue_name, interval))
        await bench.add("work")
        if len(calls) < 3:
            raise OSError("the folder is gone")

    bench.task(sleeper(1), name="work")
    async with bench.worker(scanners=(inbox,), scan_interval=7.0):
        await asyncio.sleep(30)
        assert (await bench.backend.counts(["q"]))["q"].completed == 3
    assert calls == [("q", 7.0)] * 3
    assert bench.observer.names().count("scanner.crashed") == 2


@virtual
async def test_a_custom_scanner_that_ends_itself_runs_again(bench: Bench) -> None:
    calls: list[int] = []

    async def ends(queue_name: str, backend: Any, interval: float) -> None:
        calls.append(len(calls))
        match len(calls):
            case 1:
                raise SystemExit(3)
            case 2:
                asyncio.current_task().cancel()  # type: ignore[union-attr]
            case 3:
                raise asyncio.CancelledError
        await asyncio.sleep(1e6)

    bench.task(sleeper(1), name="work")
    async with bench.worker(scanners=(ends,)):
        await asyncio.sleep(30)
        await bench.ended(await bench.add("work"))
    assert len(calls) == 4
    assert bench.observer.names().count("scanner.crashed") == 3


# ---------------------------------------------------------------------- the guide's functions


@pytest.fixture
def known() -> Any:
    """A task in the process-wide registry, which the guide's functions use."""
    ran: list[float] = []

    async def guide_task() -> None:
        ran.append(round(asyncio.get_running_loop().time(), 2))
        if len(ran) == 1:
            raise ValueError("the first time")

    task = TaskDef(guide_task, "guide.task", TaskOptions(queue="g", retries=1))
    REGISTRY.add(task)
    yield ran
    REGISTRY.remove("guide.task")


async def enqueue_known(store: InMemoryBackend, delay: float = 0.0) -> None:
    await Queue("g", store).add("guide.task", delay=delay)


@pytest.mark.parametrize("start", [start_worker, run_worker, worker_loop], ids=lambda f: f.__name__)
@virtual
async def test_each_runner_retries_and_promotes_delayed_jobs(
    start: Any, known: list[float]
) -> None:
    store = InMemoryBackend(now=store_clock)
    await enqueue_known(store, delay=30)
    args = ("g", 7) if start is worker_loop else ("g",)
    running = asyncio.create_task(start(*args, backend=store))
    await asyncio.sleep(60)
    assert (await store.counts(["g"]))["g"].completed == 1
    assert known[0] == 30
    assert 30 <= known[1] <= 31, "one retry, by the default back-off of at most a second"
    await cancel(running)


@virtual
async def test_a_worker_loop_gives_each_job_to_handle_job(monkeypatch: pytest.MonkeyPatch) -> None:
    store = InMemoryBackend(now=store_clock)
    handled: list[tuple[str, Claim]] = []

    async def handle(queue_name: str, raw_job: Claim, backend: Any) -> None:
        handled.append((queue_name, raw_job))

    monkeypatch.setattr(runners, "handle_job", handle)
    for _ in range(3):
        await Queue("g", store).add("any.task")
    running = asyncio.create_task(worker_loop("g", 1, store))
    await asyncio.sleep(1)
    await cancel(running)
    assert [queue for queue, _ in handled] == ["g"] * 3
    assert {claim.worker.partition("#")[2] for _, claim in handled} == {"1"}


@virtual
async def test_process_job_shares_a_semaphore_and_leaves_delayed_jobs(known: list[float]) -> None:
    store = InMemoryBackend(now=store_clock)
    known.append(0.0)  # the first failure is not the point here
    limiter = asyncio.Semaphore(2)
    await limiter.acquire()
    await limiter.acquire()
    for _ in range(3):
        await enqueue_known(store)
    await enqueue_known(store, delay=5)
    running = asyncio.create_task(process_job("g", limiter, backend=store))
    await asyncio.sleep(10)
    assert (await store.counts(["g"]))["g"].waiting == 3, "somebody else holds the semaphore"
    limiter.release()
    await asyncio.sleep(1)
    counts = (await store.counts(["g"]))["g"]
    assert (counts.completed, counts.delayed) == (3, 1)
    scanning = asyncio.create_task(delayed_job_scanner("g", store, 0.5))
    await asyncio.sleep(2)
    assert (await store.counts(["g"]))["g"].completed == 4
    await cancel(running)
    await cancel(scanning)
    limiter.release()
    assert not limiter.locked()


@virtual
async def test_who_only_scans_counts_as_no_worker_and_has_no_slots() -> None:
    store = InMemoryBackend(now=store_clock)

    async def slots() -> list[dict[str, int]]:
        said = [serving_of(each.info).queues or {} for each in await store.workers()]
        return [{name: load.concurrency for name, load in each.items()} for each in said]

    scanning = asyncio.create_task(delayed_job_scanner("g", store, 0.5))
    await asyncio.sleep(2 * BEAT)
    assert await slots() == [{}]
    await Queue("g", store).add("any.task")
    assert (await why.queue(store, "g")).name == "no_daemon"
    running = asyncio.create_task(process_job("g", asyncio.Semaphore(2), backend=store))
    await asyncio.sleep(1)
    assert await slots() == [{"g": runners.CONCURRENCY}]
    await cancel(running)
    await cancel(scanning)


@virtual
async def test_start_worker_tasks_are_cancelled_cleanly() -> None:
    store = InMemoryBackend(now=store_clock)
    tasks = [asyncio.create_task(start_worker("g", 2, store)) for _ in range(3)]
    await asyncio.sleep(1)
    for task in tasks:
        await cancel(task)
    assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []
    assert await store.workers() == []


@virtual
async def test_dynamic_concurrency_by_cancelling_and_starting_anew(bench: Bench) -> None:
    bench.task(sleeper(4), name="work")
    for _ in range(12):
        await bench.add("work")
    async with bench.worker(concurrency=1, drain_timeout=10):
        await asyncio.sleep(1)
    async with bench.worker(concurrency=11):
        await asyncio.sleep(4.5)
        assert (await bench.backend.counts(["q"]))["q"].completed == 12


async def test_the_pace_of_a_scanner_is_the_configured_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "queues.toml"
    monkeypatch.setenv("ASYNCMQD_CONFIG", str(config))
    assert configured_scan_interval("g") == 1.0
    config.write_text("[defaults]\nscan_interval = 0.25\n[queues.slow]\nscan_interval = '1m'\n")
    assert [configured_scan_interval(each) for each in ("g", "slow")] == [0.25, 60.0]
    seen: asyncio.Queue[float] = asyncio.Queue()

    async def scanner(queue_name: str, backend: Any, interval: float) -> None:
        await seen.put(interval)
        await asyncio.Event().wait()

    running = asyncio.create_task(run_worker("slow", InMemoryBackend(), scanners=[scanner]))
    assert await seen.get() == 60.0
    await cancel(running)


@pytest.mark.parametrize("name", ["E mails", "", 5])
async def test_a_worker_of_a_name_that_no_queue_has_is_refused(name: Any) -> None:
    store = InMemoryBackend()
    for serve in (
        run_worker(name, store),
        worker_loop(name, 1, store),
        start_worker(name, 1, store),
    ):
        with pytest.raises(ValueError, match="queue: expected a queue name of a-z"):
            await serve
    assert await store.queues() == []
