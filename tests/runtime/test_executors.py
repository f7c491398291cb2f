"""What a task raises and returns comes to the same in loop, thread and child."""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.daemon.task_owners import begin_task
from asyncmqd.domain.codec import decode, encode_spec
from asyncmqd.domain.job import Failure, NewJob, Record
from asyncmqd.domain.schedule import Repeatable, check, job_of
from asyncmqd.domain.settle import decode_failure
from asyncmqd.domain.states import State
from tests.eventually import eventually
from tests.runtime import behaving
from tests.runtime.behaving import EXECUTORS, HOLDING, RULES
from tests.runtime.conftest import Bench, tasks_of


@asynccontextmanager
async def _worker(bench: Bench) -> AsyncIterator[Bench]:
    bench.backend = InMemoryBackend()
    bench.registry = tasks_of(behaving)
    async with bench.worker(concurrency=1):
        yield bench


async def _failed(bench: Bench, id: str) -> tuple[Record, Failure]:
    async def look() -> bool:
        return (await bench.record(id)).failures > 0

    await eventually(look, limit=60)
    record = await bench.record(id)
    failure = decode_failure(record.error)
    assert failure is not None
    return record, failure


def _fell_back(bench: Bench, id: str) -> list[dict[str, Any]]:
    told = [fields for name, fields in bench.observer.events if name == "job.rules_failed"]
    return [fields for fields in told if fields["job_id"] == id]


RETRIED_IN = {  # seconds at most; None: not at all
    "no_type": 1,
    "no_type_not": 1,
    "backoff_raises": 1,
    "backoff_none": 1,
    "backoff_nan": 1,
    "backoff_negative": 1,
    "backoff_by_error": 3600,
    "reject": None,
    "retry": 3600,
    "reject_first": None,
    "all_of_them": 1,
    "one_of_them": None,
    "none_of_those": None,
    "the_group": 1,
}


@pytest.mark.parametrize("executor", EXECUTORS)
async def test_the_error_is_the_task_s_whatever_its_rules_do(bench: Bench, executor: str) -> None:
    async with _worker(bench):
        for name, pause in RETRIED_IN.items():
            id = await bench.add(f"{executor}.{name}")
            record, failure = await _failed(bench, id)
            raised = RULES[name][0]
            with pytest.raises((ValueError, ExceptionGroup)) as caught:
                raised()
            assert failure.type == type(caught.value).__name__
            assert failure.message.startswith(str(caught.value))
            again = record.state is not State.FAILED or record.failures == 2
            assert again == (pause is not None), name
            if pause == 3600:
                assert record.due is not None
                assert record.due - record.created > 3_000
            odd = name.startswith(("no_type", "backoff_")) and name != "backoff_by_error"
            if executor != "process":  # its child tells by a log line
                assert bool(_fell_back(bench, id)) == odd, name


@pytest.mark.parametrize("executor", EXECUTORS)
async def test_arguments_that_do_not_fit_are_retried(bench: Bench, executor: str) -> None:
    """Whatever `retry_on` says: the task's own errors of another type are not."""
    async with _worker(bench):
        record, failure = await _failed(
            bench, await bench.add(f"{executor}.one_of_them", kwargs={"x": 1})
        )
    assert failure.type == "BadArguments"
    assert record.state is not State.FAILED or record.failures == 2


@pytest.mark.parametrize("executor", EXECUTORS)
async def test_a_job_knows_the_instant_of_its_schedule(bench: Bench, executor: str) -> None:
    """And not only when it runs: that may be hours later."""
    instant = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    spec = job_of(check(Repeatable(task=f"{executor}.instant", every=60.0)), instant.timestamp())
    async with _worker(bench):
        await bench.backend.add("q", [NewJob(id=spec.id, payload=encode_spec(spec))])
        (of_schedule,) = await bench.ended(spec.id)
        (of_nobody,) = await bench.ended(await bench.add(f"{executor}.instant"))
    assert decode(of_schedule.result) == "2026-03-29T01:30:00+00:00"
    assert of_nobody.result == b""


async def test_a_child_that_dies_before_the_job_begins_is_no_crash(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it starts, the application's import being the cause here, or while it is idle."""
    (tmp_path / "frail.py").write_text(
        "import os, pathlib\n"
        "if (pathlib.Path(__file__).parent / 'deadly').exists():\n"
        "    os.kill(os.getpid(), 9)\n"
        "from asyncmqd import task\n"
        "@task(name='work')\n"
        "def work():\n"
        "    return os.getpid()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("asyncmqd.runtime.claiming.start_shortage.PAUSE", 0.1)
    bench.backend = InMemoryBackend()
    work = types.FunctionType((lambda: None).__code__, {"__name__": "frail"})
    bench.task(work, name="work", executor="process")
    (tmp_path / "deadly").touch()

    async def held_back() -> list[dict[str, Any]]:
        return [fields for name, fields in bench.observer.events if name == "queue.held_back"]

    async with bench.worker(concurrency=1) as worker:
        first = await bench.add("work")
        (told,) = await eventually(held_back)
        assert "ended with signal SIGKILL" in told["error"]
        assert worker.held_back
        (tmp_path / "deadly").unlink()
        (before,) = await bench.ended(first)
        child = psutil.Process(decode(before.result))
        child.kill()
        child.wait()
        (after,) = await bench.ended(await bench.add("work"))
    assert {(each.state, each.crashes, each.attempt) for each in (before, after)} == {
        (State.COMPLETED, 0, 1)
    }
    assert "job.crashed" not in bench.observer.names()


async def test_a_child_survives_a_job_that_cancels_all_tasks(bench: Bench, tmp_path: Path) -> None:
    """In a daemon, where such a job is listed those of jobs alone."""
    asyncio.get_running_loop().set_task_factory(begin_task)
    not_of_jobs = asyncio.all_tasks()
    cancelled: list[str] = []

    async def cancels_all() -> None:
        for each in asyncio.all_tasks() - not_of_jobs - {asyncio.current_task()}:
            cancelled.append(repr(each))
            each.cancel()

    async def has_begun() -> bool:
        return began.exists()

    began, end = tmp_path / "began", tmp_path / "end"
    bench.backend = InMemoryBackend()
    bench.registry = tasks_of(behaving)
    name = bench.task(cancels_all)
    async with bench.worker(concurrency=2):
        first = await bench.add("process.waits_for_file", str(began), str(end))
        await eventually(has_begun, limit=60)
        await bench.ended(await bench.add(name))
        await asyncio.sleep(0.1)
        end.touch()
        (record,) = await bench.ended(first)
    assert [each for each in cancelled if "_watch" in each] == []
    assert (record.state, record.crashes) == (State.COMPLETED, 0)


async def test_a_group_s_message_names_what_is_in_it(bench: Bench) -> None:
    async with _worker(bench):
        _, failure = await _failed(bench, await bench.add("loop.one_of_them"))
    assert failure.message == "some (2 sub-exceptions): OSError: o; ValueError: v"


@pytest.mark.parametrize("executor", ["thread", "process"])
async def test_what_a_plain_function_returns_is_awaited(bench: Bench, executor: str) -> None:
    async with _worker(bench):
        records = await bench.ended(
            await bench.add(f"{executor}.wrapped", 41), await bench.add(f"{executor}.awaitable")
        )
        _, stopped = await _failed(bench, await bench.add(f"{executor}.stops"))
    assert [decode(record.result) for record in records] == [42, 7]
    assert (stopped.type, stopped.message) == ("StopIteration", "s")


@pytest.mark.parametrize("executor", EXECUTORS)
async def test_a_cancellation_says_whose_it_was(bench: Bench, executor: str) -> None:
    async with _worker(bench):
        _, own = await _failed(bench, await bench.add(f"{executor}.cancels_itself"))
        _, other = await _failed(bench, await bench.add(f"{executor}.waits_for_cancelled"))
    assert (own.type, own.message) == ("CancelledError", "the job cancelled itself")
    assert (other.type, other.message) == (
        "CancelledError",
        "what the job waited for was cancelled: c",
    )


@pytest.mark.parametrize("executor", EXECUTORS)
async def test_nothing_of_a_failed_run_is_kept(bench: Bench, executor: str) -> None:
    async with _worker(bench):
        for name in HOLDING:
            await bench.ended(await bench.add(f"{executor}.{name}"))
            (record,) = await bench.ended(await bench.add(f"{executor}.still_held"))
            assert decode(record.result) == 0, name


@pytest.mark.parametrize("executor", EXECUTORS)
async def test_a_result_that_cannot_be_stored_does_not_repeat_the_work(
    bench: Bench, executor: str
) -> None:
    async with _worker(bench):
        (record,) = await bench.ended(await bench.add(f"{executor}.unstorable"))
    failure = decode_failure(record.error)
    assert failure is not None
    assert (record.state, failure.type) == (State.FAILED, "NotSerialisable")
    assert record.failures <= 1
    assert failure.message == (
        "the task returned, but its result cannot be stored: result['rows'][1]: a value of type Big"
        " cannot be carried by JSON"
    )
