"""Standing duties outlive whatever ends them: an error nobody expected, a cancellation not ours."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.schedule import Repeatable
from asyncmqd.runtime import duties
from asyncmqd.runtime.duties import Duties, in_thread
from asyncmqd.runtime.leases import LEASES, Leases
from asyncmqd.runtime.worker import Worker
from tests.eventually import eventually
from tests.runtime.conftest import Bench, Memory
from tests.runtime.virtual import store_clock, virtual

TICK = Repeatable(task="tick", every=7.0)


class Surprising(InMemoryBackend):
    """Raises once, in one verb, what no store should: as redis-py's cluster client did."""

    def __init__(self, verb: str, error: type[BaseException] = KeyError) -> None:
        super().__init__(now=store_clock)
        self.raised = self.answered = False
        whole = getattr(self, verb)

        async def surprising(*args: Any, **kwargs: Any) -> Any:
            if not self.raised:
                self.raised = True
                raise error("moved")
            self.answered = True
            return await whole(*args, **kwargs)

        setattr(self, verb, surprising)


@virtual
@pytest.mark.parametrize("error", [KeyError, asyncio.CancelledError])
@pytest.mark.parametrize(
    ("verb", "duty"),
    [
        ("wait", "wake-ups"),
        ("beat", "heartbeat"),
        ("durability_warning", "heartbeat"),
        ("extend", LEASES),
        ("prune", "sweep"),
        ("outlook", "scanner of q"),
        ("move_due", "scanner of q"),
        ("declare_all", "schedules"),
        ("schedules", "schedules"),
        # An error concerns the one queue that it was in, a cancellation all that have schedules.
        ("fire", {KeyError: "scheduler of q", asyncio.CancelledError: "schedules"}),
        ("now", "heartbeat"),
    ],
)
async def test_a_surprise_in_any_verb_costs_one_pass(
    bench: Bench, verb: str, duty: str | dict[type, str], error: type[BaseException]
) -> None:
    duty = duty if isinstance(duty, str) else duty[error]
    store = bench.backend = Surprising(verb, error)
    bench.task(asyncio.sleep, name="sleep")
    bench.task(asyncio.sleep, name="tick")
    async with bench.worker(repeatables=(TICK,)) as worker:
        await asyncio.sleep(1)
        id = await bench.add("sleep", 40)
        await bench.add("sleep", 0, delay=2)
        await asyncio.sleep(30)
        assert store.raised
        assert any(told.startswith(f"{duty}: ") for told in worker.context.duties.crashed)
        await bench.ended(id)
        await asyncio.sleep(100)
        assert worker.context.duties.crashed == [], "it is told of for a minute"
        started = asyncio.get_running_loop().time()
        await bench.ended(await bench.add("sleep", 0.1))
        assert asyncio.get_running_loop().time() - started < 1, "wake-ups still come"
    assert store.answered
    (crash,) = [fields for name, fields in bench.observer.events if name == "duty.crashed"]
    assert crash["duty"] == duty
    assert isinstance(crash["exc_info"], error)


@virtual
async def test_a_reload_that_removes_the_last_queue_during_the_sweep(bench: Bench) -> None:
    class Slow(InMemoryBackend):
        async def outlook(self, queues: Any) -> Any:
            outlooks = await super().outlook(queues)
            if asyncio.get_running_loop().time() >= 30:
                await asyncio.sleep(5)
            return outlooks

    bench.backend = Slow(now=store_clock)
    async with bench.context() as context:
        serving = asyncio.create_task(Worker("q", context, QueueOptions()).run())
        await asyncio.sleep(31)
        serving.cancel()
        await asyncio.sleep(60)
    assert "duty.crashed" not in bench.observer.names()


@virtual
async def test_whoever_cancels_all_tasks_ends_no_duty(bench: Bench) -> None:
    bench.task(asyncio.sleep, name="tick")
    async with bench.worker(repeatables=(TICK,)) as worker:
        await asyncio.sleep(1)
        mine = {"wake-ups", "heartbeat", "sweep", LEASES, "scanner of q", "scheduler of q"}
        for task in asyncio.all_tasks():
            if task.get_name() in {*mine, "schedules"}:
                task.cancel()
        await asyncio.sleep(0.5)
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert all(names.count(name) == 1 for name in (*mine, "schedules"))
        assert {told.partition(":")[0] for told in worker.context.duties.crashed} == mine
        await asyncio.sleep(20)
    assert bench.observer.names().count("schedule.fired") == 3
    crashed = [fields["duty"] for name, fields in bench.observer.events if name == "duty.crashed"]
    assert sorted(set(crashed) - {"schedules"}) == sorted(mine)
    assert max(map(crashed.count, crashed)) == 1


def test_the_end_of_a_loop_is_no_crash(bench: Bench) -> None:
    """`asyncio.run` cancels all tasks: those that would end the duties, and the duties."""
    began: list[str] = []

    async def job() -> None:
        began.append("job")
        await asyncio.sleep(1e9)

    bench.backend = InMemoryBackend()
    bench.task(job, name="job")
    bench.task(asyncio.sleep, name="tick")

    async def serve() -> None:
        async with bench.context() as context:
            await Worker("q", context, QueueOptions(repeatables=(TICK,)), scanners=(_look,)).run()

    async def program() -> None:
        serving = asyncio.create_task(serve())
        await bench.add("job")
        await eventually(_true_of(began))
        del serving

    asyncio.run(program())
    assert [name for name in bench.observer.names() if "crashed" in name] == []
    assert asyncio.run(bench.backend.counts(["q"]))["q"].waiting == 1


async def _look(_queue: str, **_: object) -> None:
    await asyncio.sleep(1e9)


def _true_of(found: list[str]) -> Callable[[], Any]:
    async def look() -> bool:
        return bool(found)

    return look


@asynccontextmanager
async def _kept(duties: Duties, *args: Any, **options: Any) -> AsyncIterator[Any]:
    duty = duties.begin(*args, **options)
    yield duty
    await asyncio.wait([duty.end()])


@virtual
async def test_pauses_grow_and_whoever_can_start_a_new_process_is_told() -> None:
    observer = Memory()
    watched = Duties(observer)
    hopeless: list[tuple[str, str]] = []
    watched.on_hopeless = lambda *what: hopeless.append(what)
    begun: list[float] = []

    async def doomed() -> None:
        begun.append(asyncio.get_running_loop().time())
        raise LookupError("again")

    async with _kept(watched, "doomed", doomed):
        await asyncio.sleep(duties.STEADY)
    pauses = [fields["restart_in"] for _, fields in observer.events]
    assert pauses[0] < pauses[3] < pauses[-1] <= duties.LAST_PAUSE
    assert len(hopeless) == len(begun) - duties.HOPELESS + 1 > 0
    assert hopeless[0] == ("doomed", "doomed crashed 7 times: LookupError: again")


@virtual
async def test_a_duty_that_is_ended_is_not_begun_again() -> None:
    watched = Duties(Memory())
    for pause in (0.0, 0.05, 100.0):
        async with _kept(watched, "sleeps", lambda: asyncio.sleep(1e9)):
            await asyncio.sleep(pause)

    async def fails() -> None:
        raise LookupError

    async with _kept(watched, "fails", fails):
        await asyncio.sleep(0.001)
    await asyncio.sleep(100)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert watched.crashed == []


@pytest.mark.parametrize("error", [KeyError, SystemExit, StopIteration])
async def test_a_thread_that_dies_is_a_duty_that_crashed(error: type[BaseException]) -> None:
    observer, begun = Memory(), []

    def work(stopped: threading.Event) -> None:
        begun.append(threading.current_thread())
        if len(begun) == 1:
            raise error("surprise")
        stopped.wait()

    async def second() -> bool:
        return len(begun) == 2

    async with _kept(Duties(observer), "thread", lambda: in_thread("t", work)):
        await eventually(second)
    assert observer.names() == ["duty.crashed"]
    assert [thread.join(10) for thread in begun] == [None, None]


async def test_the_lease_thread_is_begun_again_and_renews() -> None:
    calls: list[int] = []

    class Threaded(InMemoryBackend):
        def extender(self) -> Callable[..., list[bool]]:
            return self._extend

        def _extend(self, held: Any, lease: float) -> list[bool]:
            calls.append(len(held))
            if len(calls) == 1:
                raise KeyError("moved")
            return [True] * len(held)

    observer = Memory()
    leases = Leases(Threaded(), 0.15, 60.0, observer, Duties(observer), lambda _: None)
    leases.hold(_Run())  # type: ignore[arg-type]
    leases.start()

    async def renewed() -> bool:
        return len(calls) > 2

    await eventually(renewed)
    await leases.stop()
    assert observer.names() == ["duty.crashed"]


class _Run:
    held, ended = None, False
