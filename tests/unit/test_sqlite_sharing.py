"""What several users of one file in one process, and forks of it, share: nothing is lost by it."""

# ruff: noqa: ASYNC220, ASYNC240 - a test has its loop for itself

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from asyncmqd.backends.base import StoreError
from asyncmqd.backends.sqlite import SQLiteBackend, forks
from asyncmqd.backends.sqlite.file import Files
from asyncmqd.client import connection
from asyncmqd.domain import clock
from asyncmqd.domain.job import NewJob
from tests.added import are_new
from tests.eventually import LIMIT


def job(id: str) -> NewJob:
    return NewJob(id=id, payload=b"{}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
async def backend(path: Path) -> AsyncIterator[SQLiteBackend]:
    backend = SQLiteBackend(f"sqlite://{path}")
    await backend.add("mail", [job("first")])
    yield backend
    await backend.close()


def descriptors(path: Path) -> list[str]:
    """What this process has open of the store."""
    found = []
    for each in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{each}")
        except OSError:
            continue
        if name.startswith(str(path)):
            found.append(name.removeprefix(str(path)))
    return sorted(found)


def deleted(path: Path) -> list[str]:
    """Those of them that nobody else can see."""
    return [each for each in descriptors(path) if "(deleted)" in each]


LOOK = """
import asyncio, sys
from asyncmqd.backends.sqlite import SQLiteBackend
from asyncmqd.domain.states import State

async def main():
    store = SQLiteBackend(sys.argv[1])
    await store.queues()
    print(*sorted(each.id for each in await store.list("mail", State.WAITING, 0, 1000)))
    await store.close()

asyncio.run(main())
"""


def seen_elsewhere(path: Path) -> list[str]:
    """The jobs that another process finds, which opens the store and closes it."""
    command = [sys.executable, "-c", LOOK, f"sqlite://{path}"]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return found.stdout.split()


# ---------------------------------------------------------------- in one process


async def use(path: Path, id: str) -> None:
    another = SQLiteBackend(f"sqlite://{path}")
    await another.add("mail", [job(id)])
    await another.close()


async def test_another_instance_costs_this_one_no_lock(backend: SQLiteBackend, path: Path) -> None:
    """As `enqueue_sync` in a process that uses `await enqueue`, too, or a task that enqueues."""
    await asyncio.to_thread(asyncio.run, use(path, "second"))
    assert await asyncio.to_thread(seen_elsewhere, path) == ["first", "second"]
    assert deleted(path) == []
    await backend.add("mail", [job("third")])
    assert await asyncio.to_thread(seen_elsewhere, path) == ["first", "second", "third"]


async def test_instances_of_one_process_share_their_connections(
    backend: SQLiteBackend, path: Path
) -> None:
    await backend.queues()
    before, threads = descriptors(path), threading.active_count()
    others = [SQLiteBackend(f"sqlite://{path}") for _ in range(20)]
    for number, each in enumerate(others):
        await each.add("mail", [job(str(number))])
        await each.queues()
    assert descriptors(path) == before
    assert threading.active_count() == threads
    for each in others:
        await each.close()
    assert descriptors(path) == before, "one that is closed leaves the others theirs"
    assert are_new(await backend.add("mail", [job("last")])) == [True]


def store_threads() -> int:
    return sum(each.name.startswith("asyncmqd-sqlite") for each in threading.enumerate())


def test_an_event_loop_for_each_call_leaves_nothing_behind(path: Path) -> None:
    """As Flask, asgiref and `asyncio.run` do it."""

    async def enqueue(number: int) -> None:
        await connection.resolve(f"sqlite://{path}").add("mail", [job(str(number))])

    before = store_threads()
    for number in range(30):
        asyncio.run(enqueue(number))
    gc.collect()
    assert len(descriptors(path)) <= 6, "three files for each of two connections"
    assert store_threads() <= before + 2
    assert len(seen_elsewhere(path)) == 30


# ---------------------------------------------------------------- files that go


async def test_a_log_that_is_removed_is_noticed_before_anything_is_accepted(
    backend: SQLiteBackend, path: Path
) -> None:
    os.unlink(f"{path}-wal")
    with pytest.raises(StoreError, match="-wal or -shm was removed or replaced while in use"):
        await backend.add("mail", [job("lost")])
    with pytest.raises(StoreError, match="-wal or -shm was removed or replaced while in use"):
        await backend.queues()
    another = SQLiteBackend(f"sqlite://{path}")
    with pytest.raises(StoreError, match="restart every process that uses it"):
        await another.add("mail", [job("lost")])
    await another.close()


async def test_a_log_that_goes_during_a_transaction_leaves_no_false_answer(
    backend: SQLiteBackend, path: Path
) -> None:
    def remove(_: object) -> None:
        os.unlink(f"{path}-wal")

    with pytest.raises(StoreError, match="removed or replaced while in use"):
        await backend._write(remove)


async def test_another_file_in_its_place_is_refused_until_the_former_is_back(
    backend: SQLiteBackend, path: Path
) -> None:
    moved = path.rename(path.with_name("moved.db"))
    path.touch()
    for _ in range(2):
        with pytest.raises(StoreError, match="another file was put in its place while in use"):
            await backend.add("mail", [job("lost")])
    assert path.stat().st_size == 0
    moved.rename(path)
    assert are_new(await backend.add("mail", [job("second")])) == [True]


async def test_a_process_without_work_learns_of_it(backend: SQLiteBackend, path: Path) -> None:
    await backend.wait(["mail"], 0.0)
    os.unlink(f"{path}-wal")
    with pytest.raises(StoreError, match="removed or replaced while in use"):
        await backend.wait(["other"], LIMIT)


async def test_a_look_while_the_last_connection_is_closed_raises_no_alarm(path: Path) -> None:
    backend = SQLiteBackend(f"sqlite://{path}")
    await backend.connect()
    life = backend._life
    assert life is not None
    files = life.file._files

    def closed_meanwhile() -> Files:
        life.file._files = files  # type: ignore[method-assign]
        life.writer.pause(clock.monotonic() + LIMIT)
        life.writer.resume()
        return files()

    life.file._files = closed_meanwhile  # type: ignore[method-assign]
    life.file.look()
    assert descriptors(path) == []
    assert are_new(await backend.add("mail", [job("first")])) == [True]
    await backend.close()


# ---------------------------------------------------------------- forks

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # it is what we ask for


def forked(work: Callable[[], int]) -> int:
    """Call it in a fork, which ends with what it returns; the process."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        asyncio.events._set_running_loop(None)
        code = work()
    except BaseException as error:
        print(repr(error), file=sys.stderr)
    finally:
        os._exit(code)


async def exit_code(pid: int) -> int:
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    return os.waitstatus_to_exitcode(status)


async def test_a_fork_inherits_no_descriptor_and_loses_nothing(
    backend: SQLiteBackend, path: Path
) -> None:
    """The parent goes on, and closes, while the child still enqueues: as a web server preloads."""
    await backend.queues()
    (ready, go) = os.pipe(), os.pipe()

    def child() -> int:
        os.write(ready[1], str(len(descriptors(path))).encode())
        asyncio.run(_add_in_child(backend))
        os.write(ready[1], b".")
        os.read(go[0], 1)
        asyncio.run(backend.add("mail", [job("third")]))
        return 1 if deleted(path) else 0

    pid = forked(child)
    assert await asyncio.to_thread(os.read, ready[0], 9) == b"0"
    assert await asyncio.to_thread(os.read, ready[0], 9) == b"."
    await backend.close()
    assert await asyncio.to_thread(seen_elsewhere, path) == ["first", "second"]
    os.write(go[1], b".")
    assert await exit_code(pid) == 0
    assert await asyncio.to_thread(seen_elsewhere, path) == ["first", "second", "third"]


async def _add_in_child(backend: SQLiteBackend) -> None:
    await backend.add("mail", [job("second")])


async def test_a_fork_waits_for_the_transaction_under_way(
    backend: SQLiteBackend, path: Path
) -> None:
    entered = threading.Event()

    def work(_: object) -> None:
        entered.set()
        threading.Event().wait(0.2)  # a transaction that takes its time

    writing = asyncio.create_task(backend._write(work))
    await asyncio.to_thread(entered.wait, LIMIT)
    pid = forked(lambda: len(descriptors(path)))
    assert await exit_code(pid) == 0
    await writing
    assert are_new(await backend.add("mail", [job("second")])) == [True]


async def test_a_fork_while_a_store_closes_inherits_nothing_either(path: Path) -> None:
    backend = SQLiteBackend(f"sqlite://{path}")
    entered = threading.Event()

    def work(_: object) -> None:
        entered.set()
        threading.Event().wait(0.2)

    writing = asyncio.create_task(backend._write(work))
    await asyncio.to_thread(entered.wait, LIMIT)
    closing = asyncio.create_task(backend.close())
    await asyncio.sleep(0)
    assert await exit_code(forked(lambda: len(descriptors(path)))) == 0
    await asyncio.gather(writing, closing)


HOLD = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


async def test_a_fork_while_another_process_holds_the_file_is_as_good(
    backend: SQLiteBackend, path: Path
) -> None:
    await backend.queues()
    command = [sys.executable, "-c", HOLD, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdin
        assert other.stdout
        await asyncio.to_thread(other.stdout.readline)
        adding = asyncio.create_task(backend.add("mail", [job("second")]))
        for _ in range(20):  # the writer tries in vain meanwhile
            await backend.now()
        assert await exit_code(forked(lambda: len(descriptors(path)))) == 0
        assert not adding.done()
        other.stdin.close()
    assert are_new(await adding) == [True]


async def test_a_fork_that_could_not_wait_is_refused_in_words(
    backend: SQLiteBackend, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "FORK_LIMIT", 0.0)
    entered, leave = threading.Event(), threading.Event()

    def work(_: object) -> None:
        entered.set()
        assert leave.wait(LIMIT)

    writing = asyncio.create_task(backend._write(work))
    await asyncio.to_thread(entered.wait, LIMIT)

    def child() -> int:
        try:
            asyncio.run(backend.add("mail", [job("second")]))
        except StoreError as error:
            return 0 if "was forked while a connection to it was open" in str(error) else 2
        return 1

    assert await exit_code(forked(child)) == 0
    leave.set()
    await writing
    assert await asyncio.to_thread(seen_elsewhere, path) == ["first"]
