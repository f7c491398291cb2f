"""What application code does: declare tasks, enqueue, wait for results, administer queues."""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import asyncmqd
from asyncmqd import (
    JobFailed,
    JobGone,
    NotConfigured,
    NotSerialisable,
    PayloadTooLarge,
    Queue,
    State,
    connect,
    run_worker,
    task,
)
from asyncmqd.backends import BaseBackend, InMemoryBackend
from asyncmqd.backends.base import StoreError
from asyncmqd.client import connection
from asyncmqd.client.acting_user import system_user
from asyncmqd.domain.codec import decode_spec
from asyncmqd.domain.tasks import REGISTRY
from tests.eventually import eventually


@dataclass
class Point:
    x: int
    y: int


@task(queue="math", name="client.add", priority=3, ttl=600)
async def add(a: int, b: int = 0) -> int:
    """Add two numbers."""
    return a + b


@task(name="client.mirror")
def mirror(point: Point) -> Point:
    return Point(point.y, point.x)


@task(queue="math", name="client.fails")
async def fails() -> None:
    raise ValueError("as it should")


@pytest.fixture(autouse=True)
def no_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ASYNCMQD_BACKEND", raising=False)
    monkeypatch.setenv("ASYNCMQD_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.setattr(connection, "_default", None)


@pytest.fixture
def store() -> BaseBackend:
    return connect(InMemoryBackend())


@pytest.fixture
async def worker(store: BaseBackend) -> AsyncIterator[None]:
    running = [asyncio.create_task(run_worker(name, store)) for name in ("math", "default")]
    yield
    for each in running:
        each.cancel()
    await asyncio.wait(running)


def test_a_task_is_still_its_function() -> None:
    assert asyncio.run(add(2, 3)) == 5
    assert (add.__name__, add.__doc__) == ("add", "Add two numbers.")
    assert mirror(Point(1, 2)) == Point(2, 1)


async def test_enqueue_and_its_names_do_the_same(store: BaseBackend, worker: None) -> None:
    jobs = [await add.enqueue(1, 2), await add.delay(1, b=2), await add.send(1, 2)]
    assert [await job.result(timeout=60) for job in jobs] == [3, 3, 3]
    assert {(job.queue, job.task, job.priority) for job in jobs} == {("math", "client.add", 3)}


async def test_results_come_back_as_the_hint_declares(store: BaseBackend, worker: None) -> None:
    assert await (await mirror.enqueue(Point(1, 2))).result(timeout=60) == Point(2, 1)


async def test_results_of_jobs_that_failed_are_gone_or_late(
    store: BaseBackend, worker: None
) -> None:
    with pytest.raises(JobFailed, match="failed: ValueError: as it should") as caught:
        await (await fails.enqueue()).result(timeout=60)
    assert caught.value.state is State.FAILED
    later = await add.options(delay=timedelta(minutes=5)).enqueue(1)
    with pytest.raises(TimeoutError):
        await later.result(timeout=0.02)
    assert await later.state() is State.DELAYED
    assert await later.cancel()
    assert not await later.cancel()
    with pytest.raises(JobFailed, match="is cancelled"):
        await later.result(timeout=1)
    assert await later.remove()
    with pytest.raises(JobGone):
        await later.result(timeout=1)


async def test_a_job_id_of_ones_own_is_enqueued_once(store: BaseBackend) -> None:
    first = await add.options(job_id="order-7").enqueue(1)
    second = await add.options(job_id="order-7").enqueue(1)
    assert (first.created, second.created, second.id) == (True, False, "order-7")
    assert (await Queue("math").counts()).waiting == 1


async def test_enqueue_fits_wherever_a_coroutine_does(store: BaseBackend) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(add.enqueue(1))
    await asyncio.gather(add.enqueue(2), asyncio.wait_for(add.enqueue(3), 5))
    assert (await Queue("math").counts()).waiting == 3


async def test_a_forgotten_await_is_said_with_file_and_line(store: BaseBackend) -> None:
    def forget() -> None:
        add.enqueue(1)  # type: ignore[unused-coroutine]
        add.options(delay=1).delay(1)  # type: ignore[unused-coroutine]
        Queue("math").add(add, 1)  # type: ignore[unused-coroutine]
        Queue("math").add_bulk([add.job(1)])  # type: ignore[unused-coroutine]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        forget()
    assert [str(warning.message) for warning in caught] == [
        f"coroutine '{name}' was never awaited"
        for name in ("Task.enqueue", "Task.delay", "Queue.add", "Queue.add_bulk")
    ]
    first = forget.__code__.co_firstlineno + 1
    assert [(warning.filename, warning.lineno) for warning in caught] == [
        (__file__, line) for line in range(first, first + 4)
    ]
    assert (await Queue("math").counts()).waiting == 0


async def test_what_json_cannot_carry_is_refused_by_path_and_nothing_is_stored(
    store: BaseBackend,
) -> None:
    with pytest.raises(NotSerialisable, match=r"^args\[0\]\['at'\]\[1\]: a value of type object"):
        await add.enqueue({"at": [1, object()]})  # type: ignore[arg-type]
    with pytest.raises(NotSerialisable, match=r"^kwargs\['b'\]: expected a finite number, got nan"):
        await add.enqueue(1, b=float("nan"))  # type: ignore[arg-type]
    with pytest.raises(PayloadTooLarge, match=r"expected a payload of at most 262144 bytes, got"):
        await add.enqueue("x" * 300_000)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"client\.add: missing a required argument: 'a'"):
        await add.enqueue()  # type: ignore[call-arg]
    with pytest.raises(PayloadTooLarge):  # all or nothing
        await Queue("math").add_bulk([add.job(1), add.job("x" * 300_000)])  # type: ignore[arg-type]
    assert (await Queue("math").counts()).waiting == 0


async def test_bulk_keeps_the_order_over_many_round_trips(store: BaseBackend) -> None:
    queue = Queue("bulk")
    jobs = await queue.add_bulk(add.job(number) for number in range(2_500))
    assert len(jobs) == 2_500
    listed = await queue.jobs("waiting", limit=3_000)
    assert [job.args for job in listed] == [[number] for number in range(2_500)]


async def test_a_queue_is_administered(store: BaseBackend) -> None:
    queue = Queue("math")
    with pytest.raises(ValueError, match="reason: expected one line of text"):
        await queue.pause(reason="a\nb")
    await queue.pause(reason="moving house")
    pause = (await store.outlook(["math"]))["math"].pause
    assert pause is not None
    assert (pause.by, pause.reason) == (system_user(), "moving house")
    job = await queue.add("client.add", 1, kwargs={"b": 2}, priority=0, retries=4)
    assert (await queue.counts()).paused
    assert (job.spec.retries, job.spec.ttl) == (4, 600)
    assert (await queue.get(job.id)) is not None
    assert await queue.get("nothing") is None
    await queue.resume()
    running = asyncio.create_task(queue.run())
    assert await job.result(timeout=60) == 3
    assert await job.retry()
    assert await job.result(timeout=60) == 3
    running.cancel()
    await asyncio.wait([running])
    assert await queue.purge("completed") == 1
    assert await queue.purge() == 0


async def test_a_task_of_another_service_may_be_enqueued_by_name(store: BaseBackend) -> None:
    job = await Queue("other").add("billing.invoice", 7)
    assert (await job.record()).payload.count(b"billing.invoice") == 1


def test_a_repeatable_says_what_becomes_of_missed_instants() -> None:
    queue = Queue("math")
    kept = queue.add_repeatable(add, every=60, args=[1], missed="all", catch_up="2h")
    assert (kept.missed, kept.catch_up) == ("all", 7_200.0)
    with pytest.raises(ValueError, match=r"missed: expected 'skip', 'once' or 'all', got 'evry'"):
        queue.add_repeatable(add, every=60, args=[1], missed="evry")  # type: ignore[arg-type]


async def test_queue_run_fires_its_repeatables(store: BaseBackend) -> None:
    queue = Queue("math")
    queue.add_repeatable(add, every="50ms", args=[1])
    running = asyncio.create_task(queue.run())

    async def three() -> bool:
        return (await queue.counts()).completed >= 3

    assert await eventually(three)
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.parametrize(
    "options",
    [
        {"delay": -1},
        {"delay": 1e12},
        {"job_id": "has space"},
        {"job_id": ""},
        {"priority": 256},
        {"retries": -1},
        {"timeout": float("nan")},
        {"queue": "E mails"},
        {"queue": 5},
        {"unknown": 1},
    ],
)
async def test_options_out_of_range_are_refused_and_nothing_is_stored(
    options: dict[str, Any], store: BaseBackend
) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{next(iter(options))}: expected"):
        await add.options(**options).enqueue(1)
    with pytest.raises((ValueError, TypeError), match=f"^{next(iter(options))}: expected"):
        await Queue("math").add(add, 1, **options)
    with pytest.raises((ValueError, TypeError), match=f"^{next(iter(options))}: expected"):
        await Queue("math").add("other.service", 1, **options)
    assert await store.queues() == []


async def test_seconds_may_be_text_or_a_timedelta(store: BaseBackend) -> None:
    later = add.options(delay="5m", timeout=timedelta(minutes=1), ttl="1h")
    job = await later.enqueue(1)
    [record] = await store.get("math", [job.id])
    assert record is not None
    assert record.due == pytest.approx(record.created + 300, abs=0.01)
    spec = decode_spec(record.payload)
    assert (spec.timeout, spec.ttl) == (60.0, 3_600.0)


@pytest.mark.parametrize("name", ["", " t", "a\n", "x" * 201])
async def test_a_name_that_no_task_can_have_is_not_enqueued(name: Any, store: BaseBackend) -> None:
    with pytest.raises(ValueError, match="task: expected a name of 1 to 200 printable characters"):
        await Queue("math").add(name)
    assert await store.queues() == []


def test_a_job_that_would_expire_before_it_may_start_is_refused() -> None:
    with pytest.raises(ValueError, match="ttl: expected more than the delay of 900 s"):
        add.options(delay=900).job(1)
    assert add.options(delay=900, ttl=901).job(1).spec.ttl == 901


def test_tasks_are_declared_once_and_in_range() -> None:
    with pytest.raises(ValueError, match=r"client\.add: expected a name of its own"):

        @task(name="client.add")
        def other() -> None: ...

    for options in (
        {"queue": "No Spaces"},
        {"priority": 300},
        {"retries": -1},
        {"executor": "gpu"},
    ):
        with pytest.raises(ValueError, match="expected"):
            task(name="client.bad", **options)(lambda: None)  # type: ignore[call-overload]
    assert REGISTRY.get("client.bad") is None


# ---------------------------------------------------------------------- without a loop


def test_enqueue_sync_from_plain_code_and_from_threads(tmp_path: Path) -> None:
    connect(f"sqlite://{tmp_path}/jobs.db")
    jobs = [add.enqueue_sync(1)]
    threads = [threading.Thread(target=lambda: jobs.append(add.enqueue_sync(2))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    jobs.append(Queue("math").add_sync(add, 3, delay=60))

    async def look() -> tuple[int, int]:
        counts = await Queue("math").counts()
        return counts.waiting, counts.delayed

    assert asyncio.run(look()) == (5, 1)
    assert len({job.id for job in jobs}) == 6


def test_enqueue_sync_survives_a_fork(tmp_path: Path) -> None:
    connect(f"sqlite://{tmp_path}/jobs.db")
    add.enqueue_sync(1)
    pid = os.fork()
    if pid == 0:
        try:
            add.enqueue_sync(2)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

    async def waiting() -> int:
        return (await Queue("math").counts()).waiting

    assert asyncio.run(waiting()) == 2


def test_memory_refuses_in_a_fork_what_would_be_lost() -> None:
    """Also while another thread holds the lock, which nobody in the child will ever release."""
    store = connect("memory://forked")
    add.enqueue_sync(1)
    read, write = os.pipe()
    with store._store._lock:
        pid = os.fork()
        if pid == 0:
            try:
                add.enqueue_sync(2)
            except StoreError as error:
                os.write(write, str(error).encode())
            finally:
                os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    with os.fdopen(read) as told:
        assert "enqueue before the fork" in told.read()
    add.enqueue_sync(3)


def test_memory_is_of_the_process_that_uses_it_first() -> None:
    """A server of processes imports the application, and forks then."""
    connect("memory://imported")
    pid = os.fork()
    if pid == 0:
        try:
            add.enqueue_sync(1)
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


async def test_enqueue_sync_in_a_loop_says_what_to_do(store: BaseBackend) -> None:
    with pytest.raises(RuntimeError, match="await enqueue instead"):
        add.enqueue_sync(1)


# ---------------------------------------------------------------------- which store


def test_the_store_is_looked_up_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match=r"none\.toml"):
        connect()
    (tmp_path / "none.toml").write_text('backend = "memory://file"\n')
    assert connect().url == "memory://file"
    (tmp_path / "none.d").mkdir()
    (tmp_path / "none.d" / "site.toml").write_text('backend = "memory://drop-in"\n')
    assert connect().url == "memory://drop-in", "the daemon reads drop-ins, too"
    (tmp_path / "none.d" / "broken.toml").write_text("backend = \n")
    with pytest.raises(NotConfigured, match=r"broken.toml:1: "):
        connect()
    monkeypatch.setenv("ASYNCMQD_BACKEND", "memory://environment")
    assert connect().url == "memory://environment"
    assert connect("memory://named").url == "memory://named"
    assert connect().url == "memory://named"
    assert Queue("q", backend="memory://own").backend.url == "memory://own"


def test_an_unknown_url_is_refused_without_its_password() -> None:
    with pytest.raises(ValueError, match="expected memory://") as caught:
        connect("postgres://user:sec@ret/pass@host/db")
    assert not any(part in str(caught.value) for part in ("sec", "ret", "pass"))


def test_the_public_names_are_there() -> None:
    promised = [
        "task",
        "Queue",
        "Job",
        "State",
        "RateLimiter",
        "run_worker",
        "start_worker",
        "worker_loop",
        "process_job",
        "handle_job",
        "delayed_job_scanner",
        "repeatable_scheduler",
        "current_job",
        "connect",
    ]
    assert set(promised) <= set(asyncmqd.__all__)
    assert all(hasattr(asyncmqd, name) for name in asyncmqd.__all__)


async def test_the_payload_limit_of_the_file_is_that_of_who_is_configured_by_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "queues.toml"
    monkeypatch.setenv("ASYNCMQD_CONFIG", str(file))
    url = f"sqlite://{tmp_path}/jobs.db"
    file.write_text(f'backend = "{url}"\npayload_limit = 2_000\n')
    small, large = "x" * 1_000, "x" * 3_000
    async with closing_of(connect()) as store:
        await Queue("math").add("t", small)
        with pytest.raises(PayloadTooLarge, match="at most 2000 bytes, got 3"):
            await Queue("math").add("t", large)
        with pytest.raises(PayloadTooLarge, match="at most 2000 bytes"):
            Queue("math").add_repeatable("t", every=5, args=[large])
        file.write_text(f'backend = "{url}"\npayload_limit = 400_000\n')
        async with closing_of(connect()):
            await Queue("math").add("t", "x" * 300_000)
        await Queue("math", url).add("t", large)
        with pytest.raises(PayloadTooLarge, match="at most 262144 bytes"):
            await Queue("math", url).add("t", "x" * 300_000)
        assert (await store.counts(["math"]))["math"].waiting == 3


@asynccontextmanager
async def closing_of(store: BaseBackend) -> AsyncIterator[BaseBackend]:
    yield store
    await store.close()
