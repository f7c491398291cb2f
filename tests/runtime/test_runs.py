"""What becomes of a run: values, errors of every kind, time limits, and things that cannot run."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import pytest
from pydantic import BaseModel, model_serializer

from asyncmqd import Reject, Retry, current_job
from asyncmqd.domain.codec import decode, decode_spec
from asyncmqd.domain.job import JobSpec, NewJob
from asyncmqd.domain.settle import decode_failure, replay
from asyncmqd.domain.states import State
from asyncmqd.domain.tasks import Registry
from asyncmqd.runtime.execution import execute_job
from tests.eventually import LIMIT
from tests.runtime.conftest import Bench
from tests.runtime.virtual import virtual


@virtual
async def test_arguments_arrive_as_their_hints_declare(bench: Bench) -> None:
    @dataclass
    class Address:
        street: str

    seen = []

    async def typed(to: Address, at: datetime, *more: int, key: UUID, raw: bytes = b"") -> str:
        seen.append((to, at, more, key, raw))
        return "done"

    typed.__annotations__ |= {"to": Address, "at": datetime, "more": int, "key": UUID, "raw": bytes}
    bench.task(typed)
    at, key = datetime(2026, 1, 2, 3, 4, tzinfo=UTC), UUID(int=7)
    kwargs = {"key": key, "raw": b"\x00\xff"}
    id = await bench.add("typed", Address("Rua"), at, 1, 2, kwargs=kwargs)
    async with bench.worker():
        (record,) = await bench.ended(id)
    assert seen == [(Address("Rua"), at, (1, 2), key, b"\x00\xff")]
    assert decode(record.result) == "done"


@virtual
async def test_retries_run_at_their_back_off_and_then_the_job_is_dead(bench: Bench) -> None:
    times = []

    async def fails() -> None:
        times.append(round(asyncio.get_running_loop().time(), 2))
        raise ValueError(f"attempt {current_job().attempt}")

    bench.task(fails, retries=3, backoff=10)
    id = await bench.add("fails")
    async with bench.worker():
        (record,) = await bench.ended(id)
    assert times == pytest.approx([0, 10, 20, 30], abs=0.05)
    assert record.state is State.FAILED
    assert record.failures == 4
    failure = decode_failure(record.error)
    assert failure is not None
    assert (failure.type, failure.message) == ("ValueError", "attempt 4")
    assert "in fails" in failure.traceback
    assert bench.observer.names().count("job.retrying") == 3


@virtual
async def test_retry_after_reject_and_types(bench: Bench) -> None:
    async def comes_back() -> str:
        if current_job().attempt == 1:
            raise Retry("later", after=100)
        return "here"

    async def rejected() -> None:
        raise Reject("never")

    async def only_os_errors() -> None:
        raise KeyError("no")

    async def not_os_errors() -> None:
        raise FileNotFoundError("no")

    bench.task(comes_back, retries=1)
    bench.task(rejected, retries=9)
    bench.task(only_os_errors, retries=9, retry_on=(OSError,))
    bench.task(not_os_errors, retries=9, dont_retry_on=(OSError,))
    ids = [await bench.add(name.name) for name in bench.registry]
    async with bench.worker(concurrency=10):
        first, *others = await bench.ended(*ids)
        assert asyncio.get_running_loop().time() == pytest.approx(100, abs=0.1)
    assert (first.state, first.failures) == (State.COMPLETED, 1)
    assert [(r.state, r.failures) for r in others] == [(State.FAILED, 1)] * 3


class Unshowable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


@pytest.mark.parametrize(
    ("error", "type_name"),
    [
        (SystemExit(3), "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (asyncio.CancelledError(), "CancelledError"),
        (StopAsyncIteration(), "StopAsyncIteration"),
        (GeneratorExit(), "GeneratorExit"),
        (ExceptionGroup("many", [ValueError("one")]), "ExceptionGroup"),
        (Unshowable(), "Unshowable"),
        (ValueError("lone \ud800 surrogate"), "ValueError"),
        (ValueError("x" * 1_000_000), "ValueError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
@virtual
async def test_whatever_a_task_raises_ends_its_job_and_nothing_else(
    bench: Bench, error: BaseException, type_name: str
) -> None:
    async def raises() -> None:
        raise error

    async def good() -> str:
        return "good"

    bench.task(raises)
    bench.task(good)
    ids = [await bench.add("raises"), await bench.add("good")]
    async with bench.worker(concurrency=1):
        bad, fine = await bench.ended(*ids)
    failure = decode_failure(bad.error)
    assert failure is not None
    assert (bad.state, failure.type) == (State.FAILED, type_name)
    assert len(bad.error) < 32_000
    assert fine.state is State.COMPLETED


class BreaksWhenEncoded(BaseModel):
    """A model whose serialiser raises."""

    @model_serializer
    def _write(self) -> dict[str, int]:
        raise LookupError("no model today")


@virtual
async def test_a_result_that_json_cannot_carry_fails_its_job_naming_path_and_type(
    bench: Bench,
) -> None:
    async def objects() -> object:
        return {"rows": [1, {"at": object()}]}

    async def infinite() -> object:
        return [float("inf")]

    async def huge() -> str:
        return "x" * 300_000

    async def breaks() -> object:
        return BreaksWhenEncoded()

    for function in (objects, infinite, huge, breaks):
        bench.task(function)
    ids = [await bench.add(task.name) for task in bench.registry]
    async with bench.worker(concurrency=1):
        records = await bench.ended(*ids)
    messages = [getattr(decode_failure(record.error), "message", "") for record in records]
    told = "the task returned, but its result cannot be stored: "
    assert [message.removeprefix(told) for message in messages] == [
        "result['rows'][1]['at']: a value of type object cannot be carried by JSON",
        "result[0]: expected a finite number, got inf",
        "expected at most 262144 bytes, got 300002",
        (
            "result: a value of type BreaksWhenEncoded does not come back from JSON: Error calling"
            " function `_write`: LookupError: no model today"
        ),
    ]


@virtual
async def test_a_time_limit_cancels_and_counts_as_an_attempt(bench: Bench) -> None:
    ended = []

    async def slow() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(round(asyncio.get_running_loop().time(), 1))

    bench.task(slow, retries=1, timeout=5, backoff=1)
    id = await bench.add("slow")
    async with bench.worker():
        (record,) = await bench.ended(id)
    assert ended == [5, 11]
    failure = decode_failure(record.error)
    assert failure is not None
    assert (record.state, record.failures, failure.type) == (State.FAILED, 2, "JobTimeout")


@virtual
async def test_a_task_that_swallows_its_cancellation_loses_slot_and_say(bench: Bench) -> None:
    async def deaf() -> str:
        while True:
            try:
                await asyncio.sleep(50)
            except asyncio.CancelledError:
                continue
            return "too late"

    async def good() -> str:
        return "good"

    bench.task(deaf, timeout=5)
    bench.task(good)
    ids = [await bench.add("deaf"), await bench.add("good")]
    async with bench.worker(concurrency=1):
        bad, fine = await bench.ended(*ids)
        assert asyncio.get_running_loop().time() < 7
        await asyncio.sleep(100)  # the deaf one returns meanwhile
        assert await bench.record(bad.id) == bad
    assert (bad.state, fine.state) == (State.FAILED, State.COMPLETED)
    assert "job.stuck" in bench.observer.names()


@virtual
async def test_a_job_older_than_its_ttl_is_not_started(bench: Bench) -> None:
    ran = []

    async def notes() -> None:
        ran.append(1)

    bench.task(notes)
    ids = [await bench.add("notes", ttl=ttl) for ttl in (5, 50, 0)]
    await asyncio.sleep(6)
    async with bench.worker():
        states = [record.state for record in await bench.ended(*ids)]
    assert (states, ran) == ([State.EXPIRED, State.COMPLETED, State.COMPLETED], [1, 1])


@virtual
async def test_corrupt_payloads_end_as_failed_with_their_bytes_kept(bench: Bench) -> None:
    payloads = [
        b"\xff\xfe",
        b"not json",
        b"{}",
        b"[" * 100_000,
        b'{"id":"x","task":7}',
        b'{"id":"x","task":"ok","args":{"not":"a list"}}',
        b'{"id":"x","task":"ok","args":[NaN]}',
        b'{"id":"x","task":"ok","priority":900}',
        b'{"id":"x","task":"ok","timeout":-1}',
        b'{"id":"x","task":"ok","retries":1e308}',
    ]
    jobs = [NewJob(id=f"bad-{n}", payload=payload) for n, payload in enumerate(payloads)]
    await bench.backend.add("q", jobs)

    async def ok() -> None: ...

    bench.task(ok)
    good = await bench.add("ok")
    async with bench.worker(concurrency=1):
        await bench.ended(good)
        records = await bench.ended(*(job.id for job in jobs))
    assert {record.state for record in records} == {State.FAILED}
    assert [record.payload for record in records] == payloads
    types = {getattr(decode_failure(record.error), "type", None) for record in records}
    assert types == {"CorruptPayload"}


@virtual
async def test_what_is_only_too_large_is_told_so_with_both_sizes(bench: Bench) -> None:
    """Stored when the limit was higher: by another daemon, or before a reload."""

    async def ok(text: str) -> None: ...

    bench.task(ok)
    id = await bench.add("ok", "x" * 2_000)
    [stored] = await bench.backend.get("q", [id])
    assert stored is not None
    bench.backend.payload_limit = 1_024
    async with bench.worker():
        [failed] = await bench.ended(id)
        bench.backend.payload_limit = len(stored.payload)
        await bench.backend.apply("q", [replay(failed)])
        [done] = await bench.ended(id)
    failure = decode_failure(failed.error)
    assert failure is not None
    assert failure.type == "PayloadTooLarge"
    said = f"expected a payload of at most 1024 bytes, got {len(stored.payload)}"
    assert failure.message == said
    assert done.state is State.COMPLETED


@virtual
async def test_arguments_that_do_not_fit_fail_after_their_retries(bench: Bench) -> None:
    async def one(number: int) -> None: ...

    one.__annotations__["number"] = int
    bench.task(one, retries=2, backoff=10, retry_on=(OSError,))
    ids = [await bench.add("one", "seven"), await bench.add("one"), await bench.add("one", 1, 2)]
    async with bench.worker():
        records = await bench.ended(*ids)
    messages = [getattr(decode_failure(record.error), "message", "") for record in records]
    assert messages[0].startswith("one: argument 'number': Expected `int`, got `str`")
    assert messages[1] == "one: missing a required argument: 'number'"
    assert messages[2] == "one: too many positional arguments"
    assert {record.failures for record in records} == {3}


@virtual
async def test_in_a_rolling_deploy_a_job_of_another_signature_waits_for_who_has_it(
    bench: Bench,
) -> None:
    """The producer has the new code before the worker: the job is retried until that has it."""

    async def old(a: int) -> int:
        return a

    async def new(a: int, b: int) -> int:
        return a + b

    bench.task(old, name="sum", retries=1, backoff=10)
    id = await bench.add("sum", 1, 2)
    async with bench.worker():
        await asyncio.sleep(1)
        assert (await bench.record(id)).state is State.DELAYED
    bench.registry = Registry()
    bench.task(new, name="sum", retries=1, backoff=10)
    async with bench.worker():
        [record] = await bench.ended(id)
    assert (record.state, decode(record.result), record.failures) == (State.COMPLETED, 3, 1)


@virtual
async def test_an_unknown_task_is_left_for_one_who_knows_it_and_imports_nothing(
    bench: Bench,
) -> None:
    imported: list[str] = []
    watching = [True]

    def audit(event: str, args: tuple[object, ...]) -> None:
        if watching and event == "import":
            imported.append(str(args[0]))

    sys.addaudithook(audit)
    id = await bench.add("antigravity.fly", retries=0)
    async with bench.worker():
        await asyncio.sleep(100)
        record = await bench.record(id)
        assert (record.state, record.token, record.failures) == (State.WAITING, 1, 0), "hot loop?"
        assert (await bench.backend.counts(["q"]))["q"].parked == 1
        assert "antigravity" not in sys.modules
        assert "antigravity" not in imported
        watching.clear()

        other = Bench()
        other.backend = bench.backend

        async def fly() -> str:
            return "up"

        other.task(fly, name="antigravity.fly")
        began = asyncio.get_running_loop().time()
        async with other.worker():
            (record,) = await bench.ended(id)
        assert asyncio.get_running_loop().time() - began < 1.1
    assert (record.state, record.attempt) == (State.COMPLETED, 1)


@virtual
async def test_a_cancelled_running_job_is_stopped_at_the_next_renewal(bench: Bench) -> None:
    from asyncmqd.client.job import Job
    from asyncmqd.domain.job import JobSpec

    stopped = []

    async def long() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            stopped.append(asyncio.get_running_loop().time())

    bench.task(long)
    id = await bench.add("long")
    async with bench.worker():
        await asyncio.sleep(1)
        assert await Job("q", JobSpec(id=id, task="long"), bench.backend).cancel()
        await asyncio.sleep(10)
    assert len(stopped) == 1
    assert stopped[0] <= 5.1
    assert bench.observer.names().count("job.cancelled") == 1
    assert (await bench.record(id)).state is State.CANCELLED


@virtual
async def test_progress_is_stored_while_the_job_runs(bench: Bench) -> None:
    async def steps() -> None:
        for step in range(100):
            current_job().progress({"step": step})
        await asyncio.sleep(10)

    bench.task(steps)
    id = await bench.add("steps")
    async with bench.worker():
        await asyncio.sleep(1)
        record = await bench.record(id)
        assert (record.state, decode(record.progress)) == (State.ACTIVE, {"step": 99})
        await bench.ended(id)


@virtual
async def test_progress_over_its_bound_is_refused_in_words(bench: Bench) -> None:
    async def boasts() -> None:
        current_job().progress("x" * (64 * 1024 - 2))
        current_job().progress("x" * (64 * 1024 - 1))

    bench.task(boasts)
    id = await bench.add("boasts")
    async with bench.worker():
        [record] = await bench.ended(id)
    failure = decode_failure(record.error)
    assert failure is not None
    assert failure.message == "progress: expected at most 65536 bytes, got 65537"
    assert len(record.progress) == 65_536


async def test_the_loop_does_not_wait_while_a_large_payload_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the real loop: threads know no virtual time."""
    from asyncmqd.backends import InMemoryBackend

    places, hold, holding = {}, threading.Event(), threading.Event()

    def decode_here(payload: bytes, *limits: int, id: str) -> JobSpec:
        spec = decode_spec(payload, *limits, id=id)
        places[spec.id] = threading.current_thread() is threading.main_thread()
        if spec.args[0] == "hold":
            holding.set()
            hold.wait(LIMIT)
        return spec

    async def size(text: str, more: str) -> int:
        return len(more)

    monkeypatch.setattr(execute_job, "decode_spec", decode_here)
    bench = Bench()
    bench.backend = InMemoryBackend()
    bench.task(size)
    small, large = (
        await bench.add("size", "", "x"),
        await bench.add("size", "", "x" * execute_job.LARGE),
    )
    bad = NewJob(id="bad", payload=b"x" * 2 * execute_job.LARGE)
    await bench.backend.add("q", [bad])
    async with bench.worker():
        done = await bench.ended(small, large, "bad")
        held = await bench.add("size", "hold", "x" * execute_job.LARGE)
        assert await asyncio.to_thread(holding.wait, LIMIT)
    hold.set()
    assert places == {small: True, large: False, held: False}
    assert [record.state for record in done] == [State.COMPLETED, State.COMPLETED, State.FAILED]
    assert (await bench.record(held)).state is State.WAITING, "handed back, uncharged"


def test_current_job_is_known_only_in_a_job() -> None:
    with pytest.raises(RuntimeError, match="within a running job"):
        current_job()


async def test_plain_functions_run_in_threads_and_a_late_one_is_replaced() -> None:
    """On the real loop: threads know no virtual time."""
    import threading

    bench = Bench()
    from asyncmqd.backends import InMemoryBackend

    bench.backend = InMemoryBackend()
    release = threading.Event()

    def stuck() -> str:
        release.wait(30)
        return "late"

    def where() -> list[object]:
        current_job().progress("seen")
        return [threading.current_thread() is threading.main_thread(), current_job().id]

    bench.task(stuck, timeout=0.05)
    bench.task(where)
    ids = [await bench.add("stuck"), await bench.add("where")]
    async with bench.worker(concurrency=1):
        late, fine = await bench.ended(*ids)
        release.set()
    assert (late.state, fine.state) == (State.FAILED, State.COMPLETED)
    assert decode(fine.result) == [False, fine.id]
    assert decode(fine.progress) == "seen"


def in_child(number: int) -> list[object]:
    print("printed in the child")
    current_job().progress(number)
    return [os.getpid(), os.environ.get("NOTIFY_SOCKET"), number * 2]


def crashes() -> None:
    os._exit(7)


def never_ends() -> None:
    while True:
        pass


def rejects() -> None:
    raise Reject("no")


async def test_child_processes_crash_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from asyncmqd.backends import InMemoryBackend
    from asyncmqd.domain.tasks import REGISTRY, TaskDef, TaskOptions

    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    bench = Bench()
    bench.backend = InMemoryBackend()
    for function in (in_child, crashes, never_ends, rejects):
        options = TaskOptions(
            executor="process",
            retries=3,
            timeout=0.5 if function is never_ends else None,
            dont_retry_on=(Exception,),
        )
        task = TaskDef(function, f"tests.{function.__name__}", options)
        bench.registry.add(task)
        REGISTRY.add(task)  # the child imports this module, and finds the task there
    names = [task.name for task in bench.registry]
    ids = [await bench.add(names[0], 21), *[await bench.add(name) for name in names[1:]]]
    async with bench.worker(concurrency=4):
        good, crashed, killed, rejected = await bench.ended(*ids)
    assert good.state is State.COMPLETED, good.error
    pid, notify_socket, value = decode(good.result)
    assert (pid != os.getpid(), notify_socket, value) == (True, None, 42)
    assert decode(good.progress) == 21
    failure = decode_failure(crashed.error)
    assert failure is not None
    assert "exit code 7 (crash 3 of 3)" in failure.message
    assert getattr(decode_failure(killed.error), "type", "") == "JobTimeout"
    assert (rejected.state, rejected.failures) == (State.FAILED, 1)
    await asyncio.sleep(0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# The child imports this module; what it registers there must exist at import.
def _register_for_the_child() -> None:
    from asyncmqd.domain.tasks import REGISTRY, TaskDef, TaskOptions

    for function in (in_child, crashes, never_ends, rejects):
        REGISTRY.add(TaskDef(function, f"tests.{function.__name__}", TaskOptions()))


_register_for_the_child()


@virtual
async def test_jobs_leave_nothing_to_the_garbage_collector(bench: Bench) -> None:
    async def noop() -> str:
        return current_job().id

    bench.task(noop)
    async with bench.worker():
        await bench.ended(await bench.add("noop"))  # what is made once is there from now on
        gc.collect()
        gc.disable()
        try:
            await bench.ended(*[await bench.add("noop") for _ in range(100)])
            assert gc.collect() < 100
        finally:
            gc.enable()
