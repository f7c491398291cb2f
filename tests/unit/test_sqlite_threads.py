"""The two threads of the SQLite store: group commit, errors, closing, forks, other processes."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from asyncmqd import Queue, connect
from asyncmqd.backends.base import Held, StoreError, StoreUncertain
from asyncmqd.backends.sqlite import SQLiteBackend, store, threads
from asyncmqd.backends.sqlite.transaction import Transaction
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.settle import Retention
from asyncmqd.domain.states import State
from tests.added import are_new
from tests.eventually import LIMIT, eventually


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/jobs.db?synchronous=NORMAL"


@pytest.fixture
async def backend(url: str) -> AsyncIterator[SQLiteBackend]:
    backend = SQLiteBackend(url)
    await backend.connect()
    yield backend
    await backend.close()


def job(id: str) -> NewJob:
    return NewJob(id=id, payload=b"{}")


class Gate:
    """Holds up the writer thread, so that requests gather."""

    def __init__(self, backend: SQLiteBackend) -> None:
        self._entered, self._open = threading.Event(), threading.Event()
        self._task = asyncio.create_task(backend._write(self._stand))

    def _stand(self, _: Transaction) -> None:
        self._entered.set()
        assert self._open.wait(LIMIT)

    async def closed(self) -> Gate:
        await asyncio.to_thread(self._entered.wait, LIMIT)
        return self

    async def open(self) -> None:
        self._open.set()
        await self._task


def threads_alive() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith("asyncmqd-sqlite")}


# ---------------------------------------------------------------- group commit


async def statements(backend: SQLiteBackend) -> list[str]:
    """The statements that the writer will have carried out from now on."""
    seen: list[str] = []
    await backend._write(lambda tx: tx._connection.set_trace_callback(seen.append))
    seen.clear()
    return seen


async def test_requests_that_gather_share_one_commit(backend: SQLiteBackend) -> None:
    seen = await statements(backend)
    gate = await Gate(backend).closed()
    adding = [asyncio.create_task(backend.add("mail", [job(str(n))])) for n in range(100)]
    await asyncio.sleep(0)
    await gate.open()
    assert list(map(are_new, await asyncio.gather(*adding))) == [[True]] * 100
    assert seen.count("COMMIT") == 2, "the gate's own, and one for all"


async def test_an_error_hits_only_its_own_caller(backend: SQLiteBackend) -> None:
    gate = await Gate(backend).closed()
    jobs = [job("a"), NewJob(id="b", payload=b"", priority=2**70), job("c")]
    adding = [asyncio.create_task(backend.add("mail", [each])) for each in jobs]
    await asyncio.sleep(0)
    await gate.open()
    first, second, third = await asyncio.gather(*adding, return_exceptions=True)
    assert (are_new(first), are_new(third)) == ([True], [True])
    assert isinstance(second, OverflowError)
    assert (await backend.counts(["mail"]))["mail"].waiting == 2


async def test_an_error_leaves_nothing_half_done(backend: SQLiteBackend) -> None:
    with pytest.raises(OverflowError):
        await backend.add("mail", [job("a"), NewJob(id="b", payload=b"", priority=2**70)])
    assert await backend.list("mail", State.WAITING) == []
    assert (await backend.counts(["mail"]))["mail"].waiting == 0


async def test_what_was_cancelled_before_it_began_is_not_done(backend: SQLiteBackend) -> None:
    gate = await Gate(backend).closed()
    adding = asyncio.create_task(backend.add("mail", [job("a")]))
    await asyncio.sleep(0)
    adding.cancel()
    await asyncio.gather(adding, return_exceptions=True)
    await gate.open()
    assert are_new(await backend.add("mail", [job("a")])) == [True]


async def test_reading_does_not_wait_for_writing(backend: SQLiteBackend) -> None:
    await backend.add("mail", [job("a")])
    gate = await Gate(backend).closed()
    async with asyncio.timeout(LIMIT):
        assert (await backend.counts(["mail"]))["mail"].waiting == 1
    await gate.open()


async def test_looking_for_work_in_vain_writes_nothing(backend: SQLiteBackend) -> None:
    seen = await statements(backend)
    assert await backend.claim("mail", 10, 15.0, "w") == []
    assert await backend.move_due("mail") == 0
    assert await backend.prune("mail", Retention()) == 0
    assert seen
    assert not any(re.search("^(INSERT|UPDATE|DELETE)", each, re.MULTILINE) for each in seen)


# ---------------------------------------------------------------- the lease thread


async def test_leases_are_extended_from_another_thread(backend: SQLiteBackend) -> None:
    await backend.add("mail", [job("a")])
    [claim] = await backend.claim("mail", 1, 0.0, "w")
    extend = backend.extender()
    assert extend is not None
    held = [Held("mail", "a", claim.token), Held("mail", "a", claim.token + 1)]
    assert await asyncio.to_thread(extend, held, 60.0) == [True, False]
    assert await asyncio.to_thread(extend, [], 60.0) == []
    assert (await backend.expired("mail")).claims == []


async def test_the_lease_thread_does_not_wait_for_ever(
    backend: SQLiteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "EXTEND_LIMIT", 0.05)
    extend = backend.extender()
    assert extend is not None
    gate = await Gate(backend).closed()
    with pytest.raises(StoreError, match=r"no answer within 0\.05 s"):
        await asyncio.to_thread(extend, [Held("mail", "a", 1)], 60.0)
    await gate.open()


# ---------------------------------------------------------------- the end


async def test_closing_refuses_what_has_not_begun(backend: SQLiteBackend) -> None:
    gate = await Gate(backend).closed()
    late = asyncio.create_task(backend.add("mail", [job("a")]))
    await asyncio.sleep(0)
    life = backend._life
    assert life is not None
    closing = asyncio.create_task(backend.close())
    await eventually(lambda: _is_true(lambda: life.writer.stopping))
    await gate.open()
    await closing
    with pytest.raises(StoreError, match="the store was closed"):
        await late
    with pytest.raises(StoreError, match="the store was closed"):
        await threads.ask(life.writer, lambda tx: None)


async def test_closing_leaves_one_file_and_no_thread(url: str, tmp_path: Path) -> None:
    before = threads_alive()
    backend = SQLiteBackend(url)
    await backend.add("mail", [job("a")])
    await backend.wait(["mail"], 0.0)
    assert len(threads_alive() - before) == 2
    await backend.close()
    await eventually(lambda: _is_true(lambda: threads_alive() <= before))
    assert sorted(os.listdir(tmp_path)) == ["jobs.db", "jobs.db-wake"]
    assert os.listdir(tmp_path / "jobs.db-wake") == []


async def test_closing_does_not_wait_for_another_process(url: str, tmp_path: Path) -> None:
    backend = SQLiteBackend(url)
    await backend.connect()
    other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    adding = asyncio.create_task(backend.add("mail", [job("a")]))
    await asyncio.sleep(0)
    async with asyncio.timeout(LIMIT):
        await backend.close()
        with pytest.raises(StoreError):
            await adding
    other.close()


async def test_a_forgotten_instance_leaves_no_thread(url: str) -> None:
    before = threads_alive()
    backend = SQLiteBackend(url)
    await backend.connect()
    assert threads_alive() - before
    del backend
    gc.collect()
    await eventually(lambda: _is_true(lambda: threads_alive() <= before))


async def _is_true(look: Callable[[], bool]) -> bool:
    return look()


def test_an_open_store_does_not_hold_up_the_interpreter(url: str) -> None:
    code = (
        "import asyncio; from asyncmqd.backends.sqlite import SQLiteBackend\n"
        f"asyncio.run(SQLiteBackend({url!r}).connect())"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=LIMIT * 3)


# ---------------------------------------------------------------- other processes


async def test_a_process_that_holds_the_file_is_waited_for(
    backend: SQLiteBackend, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    adding = asyncio.create_task(backend.add("mail", [job("a")]))
    for _ in range(20):  # the writer tries in vain meanwhile
        await backend.now()
    assert not adding.done()
    other.execute("COMMIT")
    other.close()
    assert are_new(await adding) == [True]


async def test_a_process_that_never_lets_go_is_an_error(
    backend: SQLiteBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "BUSY_LIMIT", 0.05)
    other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another process held the file for too long"):
        await backend.add("mail", [job("a")])
    other.close()
    assert are_new(await backend.add("mail", [job("a")])) == [True]


async def test_the_limit_counts_from_the_call(backend: SQLiteBackend, tmp_path: Path) -> None:
    """Also for those who wait behind others; what was not begun by then is never done."""
    other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    brief = SQLiteBackend(f"sqlite://{tmp_path}/jobs.db?timeout=0.2")
    late = [Queue("mail", brief).add("some.task", number) for number in range(3)]
    errors = await asyncio.gather(*late, return_exceptions=True)
    assert [type(error) for error in errors] == [StoreError] * 3
    other.close()
    # By an instance with the usual limit: a busy machine may need longer than the brief one's.
    assert are_new(await backend.add("mail", [job("a")])) == [True]
    assert (await backend.counts(["mail"]))["mail"].waiting == 1
    await brief.close()


async def test_what_had_begun_by_then_may_be_done(tmp_path: Path) -> None:
    backend = SQLiteBackend(f"sqlite://{tmp_path}/jobs.db?timeout=0.2")
    go_on = threading.Event()

    async def begun() -> str | None:
        try:
            await backend._write(lambda _: go_on.wait())
        except StoreUncertain as error:
            return str(error)
        except StoreError:  # a busy machine had not even begun by then
            return None
        raise AssertionError("it ended")

    assert "jobs.db: no answer within 0.2 s" in await eventually(begun)
    go_on.set()
    await backend.close()


def test_a_limit_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="timeout: expected seconds above 0, got '0'"):
        SQLiteBackend(f"sqlite://{tmp_path}/jobs.db?timeout=0")
    with pytest.raises(ValueError, match="timeout: expected the URL of a Redis or SQLite"):
        connect("memory://x", timeout=1)


def work_hard(url: str, name: str, count: int) -> None:
    """A process that opens the store, adds jobs, claims what there is, and closes; again."""

    async def work() -> None:
        for number in range(count):
            backend = SQLiteBackend(url)
            await backend.add("mail", [job(f"{name}-{number}")])
            for _ in range(5):
                await backend.claim("mail", 1, 60.0, name)
                await backend.counts(["mail"])
            await backend.close()

    asyncio.run(work())


async def test_many_processes_never_see_a_locked_database(url: str) -> None:
    """They begin with no file at all, so making it is a race too; so is closing as the last."""
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=work_hard, args=(url, str(n), 20)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        await asyncio.to_thread(process.join, 50)
    assert [process.exitcode for process in processes] == [0] * 4
    backend = SQLiteBackend(url)
    assert (await backend.counts(["mail"]))["mail"].active == 80
    tokens = {each.token for each in await backend.list("mail", State.ACTIVE, 0, 100)}
    assert tokens == {1}, "each was claimed once"
    await backend.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # it is what we ask for
async def test_a_fork_begins_afresh_and_leaves_its_parent_alone(
    backend: SQLiteBackend, url: str, tmp_path: Path
) -> None:
    await backend.add("mail", [job("a")])
    await backend.wait(["mail"], 0.0)
    pid = os.fork()
    if pid == 0:  # the child has the instance, but neither its threads nor its loop
        os._exit(_use_in_child(backend))
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    async with asyncio.timeout(LIMIT):
        assert await backend.wait(["mail"], LIMIT) == {"mail"}, "the child's job wakes us"
    assert sorted(each.id for each in await backend.claim("mail", 5, 60.0, "w")) == ["a", "b"]
    assert len(os.listdir(tmp_path / "jobs.db-wake")) == 1


def _use_in_child(backend: SQLiteBackend) -> int:
    async def use() -> None:
        async with asyncio.timeout(LIMIT):
            await backend.add("mail", [job("b")])
            await backend.wait(["mail"], 0.0)
            await backend.close()

    try:
        asyncio.events._set_running_loop(None)
        asyncio.run(use())
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        return 1
    return 0
