"""What an application has put round runs and enqueues: in loop, thread and child."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import types
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncmqd import JobRun, Outgoing, Queue, around_enqueue, around_run, task
from asyncmqd.backends import InMemoryBackend
from asyncmqd.config.models import Settings
from asyncmqd.config.tables import read
from asyncmqd.daemon import start_warnings
from asyncmqd.domain.job import Failure
from asyncmqd.domain.middleware import AROUND_ENQUEUE, AROUND_RUN
from asyncmqd.domain.settle import decode_failure
from asyncmqd.domain.states import State
from tests.runtime import surrounding
from tests.runtime.conftest import Bench, tasks_of
from tests.runtime.surrounding import EXECUTORS


@pytest.fixture
def around(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is round anything but what the test declares."""
    monkeypatch.setattr(AROUND_RUN, "declared", [])
    monkeypatch.setattr(AROUND_ENQUEUE, "declared", [])


@pytest.fixture
def surrounded(
    around: None, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Surrounded:
    monkeypatch.setenv(surrounding.ASKED, "1")
    AROUND_RUN.declared.extend(surrounding.DECLARED)
    bench.backend = InMemoryBackend()
    bench.registry = tasks_of(surrounding)
    return Surrounded(bench, tmp_path / "seen")


class Surrounded:
    """Runs the tasks of `surrounding`."""

    def __init__(self, bench: Bench, path: Path) -> None:
        self._bench = bench
        self._path = path

    async def run(self, name: str) -> tuple[list[str], State, Failure | None]:
        """What was seen, how the job ended, and why."""
        self._path.write_text("")
        async with self._bench.worker(concurrency=1):
            id = await self._bench.add(f"around.{name}", str(self._path))
            (record,) = await asyncio.wait_for(self._bench.ended(id), 60)
        return self._path.read_text().splitlines(), record.state, decode_failure(record.error)


@pytest.mark.parametrize("executor", EXECUTORS)
async def test_they_are_entered_as_declared_where_the_task_runs(
    surrounded: Surrounded, executor: str
) -> None:
    @around_enqueue
    def name_tenant(outgoing: Outgoing) -> Iterator[None]:
        outgoing.jobs[0].headers["tenant"] = "acme"
        yield

    seen, state, _ = await surrounded.run(f"{executor}.succeeds")
    assert state is State.COMPLETED
    order = ["outer", "async", "inner", "task", "outer", "async"]
    if executor == "loop":
        assert [each.split()[0] for each in seen] == [*order[:4], "async", "outer"]
    else:  # the thread is inside of what needs a loop
        assert [each.split()[0] for each in seen] == ["async", "outer", "inner", *order[3:]]
    assert "outer 1 acme" in seen
    assert "outer returned done" in seen
    assert "async returned" in seen
    (inner,) = (each.split()[-1] for each in seen if each.startswith("inner"))
    (task,) = (each for each in seen if each.startswith("task"))
    assert task == f"task of acme in {inner}"  # the thread, and the context variables


@pytest.mark.parametrize("executor", EXECUTORS)
async def test_a_failure_stays_one_whoever_catches_it(
    surrounded: Surrounded, executor: str
) -> None:
    seen, state, failure = await surrounded.run(f"{executor}.fails")
    assert (state, failure and (failure.type, failure.message)) == (
        State.FAILED,
        ("ValueError", "no"),
    )
    assert failure is not None
    assert failure.traceback.count("surrounding.py") >= 1
    assert "outer raised None" in seen
    assert "async raised" in seen


@pytest.mark.parametrize("executor", EXECUTORS)
async def test_an_error_of_theirs_fails_the_job_and_says_whose_it_is(
    surrounded: Surrounded, executor: str
) -> None:
    seen, state, failure = await surrounded.run(f"{executor}.refused")
    assert state is State.FAILED
    assert failure is not None
    assert (failure.type, failure.message) == ("Reject", "no such tenant")
    assert "raised by around_run: tests.runtime.surrounding.inner" in failure.traceback
    assert "task" not in seen
    _, state, failure = await surrounded.run(f"{executor}.broken_exit")
    assert (state, failure and failure.message) == (State.FAILED, "cannot commit")
    _, state, failure = await surrounded.run(f"{executor}.yieldless")
    assert (state, failure and failure.message) == (
        State.FAILED,
        (
            "around_run: tests.runtime.surrounding.inner: expected exactly one yield"
            " (generator didn't yield)"
        ),
    )


@pytest.mark.parametrize("executor", EXECUTORS)
async def test_a_cancellation_is_seen_as_one(surrounded: Surrounded, executor: str) -> None:
    seen, *_ = await surrounded.run(f"{executor}.cancels")
    assert "outer cancelled None" in seen
    assert "async cancelled" in seen


async def test_a_forked_child_leaves_nothing_that_is_around_its_parent(
    surrounded: Surrounded,
) -> None:
    seen, *_ = await surrounded.run("process.forks")
    assert [each for each in seen if each.startswith("outer r")] == ["outer returned parent"]


async def test_a_time_limit_is_told_in_loop_and_thread(bench: Bench, around: None) -> None:
    seen: list[Any] = []
    goes_on, both = threading.Event(), threading.Semaphore(0)

    @around_run
    def look(run: JobRun) -> Iterator[None]:
        try:
            yield
        finally:
            seen.append((run.job.task, run.outcome))
            both.release()

    bench.backend = InMemoryBackend()
    bench.task(lambda: goes_on.wait(60), name="plain")
    bench.task(asyncio.Event().wait, name="async")
    async with bench.worker(concurrency=2, timeout=0.01):
        await bench.ended(await bench.add("plain"), await bench.add("async"))
        goes_on.set()
    assert await asyncio.to_thread(lambda: both.acquire(timeout=60) and both.acquire(timeout=60))
    assert sorted(seen) == [("async", "timed out"), ("plain", "timed out")]


async def test_concurrent_runs_have_each_their_own(bench: Bench, around: None) -> None:
    current: contextvars.ContextVar[str] = contextvars.ContextVar("current", default="nobody")
    met = asyncio.Barrier(10)

    @around_run
    async def enter(run: JobRun) -> AsyncIterator[None]:
        current.set(run.args[0])
        yield

    async def meets(name: str) -> None:
        await met.wait()
        assert current.get() == name

    bench.backend = InMemoryBackend()
    bench.task(meets)
    async with bench.worker(concurrency=10):
        ids = [await bench.add("meets", str(number)) for number in range(10)]
        assert {each.state for each in await bench.ended(*ids)} == {State.COMPLETED}
    assert current.get() == "nobody"


# ---------------------------------------------------------------------- declaring


def test_what_cannot_be_around_is_refused(around: None) -> None:
    for wrong in (lambda run: None, "name", asyncio.sleep, dict):
        with pytest.raises(TypeError, match="@around_run: expected a function that yields once"):
            around_run(wrong)
    assert not AROUND_RUN.declared


def test_a_module_that_is_imported_anew_takes_its_place(around: None) -> None:
    code = "from asyncmqd import around_run\n@around_run\ndef scope(run):\n    yield\n"
    for _ in range(2):
        exec(compile(code, "anew.py", "exec"), {"__name__": "anew"})
    assert len(AROUND_RUN.declared) == 1
    assert AROUND_RUN.modules == ["anew"]

    def made(number: int) -> Any:
        def scope(run: JobRun) -> Iterator[None]:
            yield

        return scope

    around_run(made(1))
    around_run(made(2))  # another one, though of the same name
    assert len(AROUND_RUN.declared) == 3


# ---------------------------------------------------------------------- round an enqueue


@task(name="around.note")
def note(what: str) -> None:
    """Nothing."""


@pytest.fixture
def sent(around: None) -> list[Any]:
    sent: list[Any] = []

    @around_enqueue
    def look(outgoing: Outgoing) -> Iterator[None]:
        names = [(job.spec.task, *job.spec.args) for job in outgoing.jobs]
        sent.append((outgoing.queue, names, threading.get_ident()))
        try:
            yield
        finally:
            sent.append("sent")

    @around_enqueue
    async def look_in_loop(outgoing: Outgoing) -> AsyncIterator[None]:
        asyncio.get_running_loop()
        sent.append("async")
        yield

    return sent


async def test_every_way_to_enqueue_goes_through_once(sent: list[Any]) -> None:
    queue = Queue("mail", InMemoryBackend())
    here = threading.get_ident()
    to = note.options(backend=queue.backend)
    await to.enqueue("a")
    await to.options(queue="mail").delay("b")
    await queue.add(note, "c")
    await queue.add_bulk([note.job("d"), note.job("e")])
    await asyncio.to_thread(to.enqueue_sync, "f")
    await asyncio.to_thread(queue.add_sync, note, "g")
    assert sent[1::3] == ["async"] * 6
    assert sent[2::3] == ["sent"] * 6
    queues, names, threads = zip(*sent[::3], strict=True)
    assert queues == ("default", "mail", "mail", "mail", "default", "mail")
    assert [[args[1] for args in each] for each in names] == [
        ["a"], ["b"], ["c"], ["d", "e"], ["f"], ["g"],
    ]  # fmt: skip
    assert [each == here for each in threads] == [True] * 4 + [False] * 2


async def test_enqueue_sync_is_surrounded_in_the_caller_s_thread(sent: list[Any]) -> None:
    to = note.options(backend=InMemoryBackend())

    def in_thread() -> int:
        to.enqueue_sync("a")
        return threading.get_ident()

    thread = await asyncio.to_thread(in_thread)
    assert sent[0][2] == thread


async def test_what_they_raise_before_it_keeps_a_job_from_the_store(around: None) -> None:
    @around_enqueue
    def forbid(outgoing: Outgoing) -> Iterator[None]:
        raise PermissionError("no tenant")
        yield

    queue = Queue("mail", InMemoryBackend())
    with pytest.raises(PermissionError, match="no tenant"):
        await queue.add(note, "a")
    assert (await queue.counts()).waiting == 0


async def test_a_header_that_is_no_text_is_refused_at_the_producer(around: None) -> None:
    @around_enqueue
    def number(outgoing: Outgoing) -> Iterator[None]:
        outgoing.jobs[0].headers["tenant"] = 5
        yield

    queue = Queue("mail", InMemoryBackend())
    with pytest.raises(TypeError, match="headers: expected text by name, got 'tenant': int"):
        await queue.add(note, "a")
    with pytest.raises(TypeError, match="headers"):
        await asyncio.to_thread(queue.add_sync, note, "a")
    assert (await queue.counts()).waiting == 0


def test_a_module_that_has_only_these_is_no_slip(
    around: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read(
        Settings, {"backend": "memory://", "tasks": ["hooks_only"], "queues": {"q": {}}}
    )
    module = types.ModuleType("hooks_only")
    module.__file__ = "hooks_only.py"
    monkeypatch.setitem(sys.modules, "hooks_only", module)
    assert list(start_warnings.on_modules(settings)) == [("tasks", 0)]
    exec("from asyncmqd import around_run\n@around_run\ndef scope(run):\n    yield\n", vars(module))
    assert start_warnings.on_modules(settings) == {}
