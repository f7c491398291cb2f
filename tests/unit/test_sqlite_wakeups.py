"""Wake-ups over datagram sockets: across processes, event loops and dead sleepers."""

# ruff: noqa: ASYNC240 - a test has its loop for itself

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import chdir
from functools import partial
from pathlib import Path

import pytest
import uvloop

from asyncmqd.backends.base import StoreError
from asyncmqd.backends.sqlite import SQLiteBackend
from asyncmqd.backends.sqlite.ended_jobs import Endings
from asyncmqd.backends.sqlite.wake_directory import directory_of
from asyncmqd.backends.sqlite.wakeups import Listener, ring
from asyncmqd.domain.job import NewJob
from tests.eventually import LIMIT, eventually


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
async def listener(database: Path) -> AsyncIterator[Listener]:
    listener = Listener(database)
    await listener.wait(["first"], 0.0)
    yield listener
    await listener.close()


@pytest.fixture
def wake(database: Path) -> Callable[[set[str]], None]:
    return partial(ring, database)


def sockets(database: Path) -> list[str]:
    return os.listdir(f"{database}-wake")


async def test_one_ring_for_each_queue(
    listener: Listener, wake: Callable[[set[str]], None]
) -> None:
    wake({"mail", "reports", "images"})
    async with asyncio.timeout(LIMIT):
        found: set[str] = set()
        while found != {"mail", "reports"}:
            found |= await listener.wait(["mail", "reports", "cron"], LIMIT)
    assert await listener.wait(["images"], LIMIT) == {"images"}, "kept for who asks later"
    assert await listener.wait(["mail", "reports", "images"], 0.01) == set()


async def test_who_is_rung_too_often_to_hear_it_looks_at_all_queues(
    listener: Listener, wake: Callable[[set[str]], None]
) -> None:
    for number in range(5_000):  # more than any socket holds, whatever the host is set to
        wake({f"q{number}"})
    async with asyncio.timeout(LIMIT):
        assert await listener.wait(["mail", "q4999"], LIMIT) == {"mail", "q4999"}
    assert await listener.wait(["mail", "q4999"], 0.01) == set()


async def test_the_socket_of_a_dead_sleeper_is_cleared_away(
    listener: Listener, wake: Callable[[set[str]], None], database: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead, chdir(f"{database}-wake"):
        dead.bind("dead")
    assert len(sockets(database)) == 2
    wake({"mail"})
    assert len(sockets(database)) == 1
    assert await listener.wait(["mail"], LIMIT) == {"mail"}


def test_nobody_waits_and_ringing_is_no_error(
    wake: Callable[[set[str]], None], database: Path
) -> None:
    wake({"mail"})
    assert not Path(f"{database}-wake").exists()


async def test_a_path_longer_than_a_socket_s_may_be(tmp_path: Path) -> None:
    database = tmp_path.joinpath(*["d" * 60] * 3, "jobs.db")
    database.parent.mkdir(parents=True)
    listener = Listener(database)
    await listener.wait(["mail"], 0.0)
    ring(database, {"mail"})
    assert await listener.wait(["mail"], LIMIT) == {"mail"}
    await listener.close()


async def test_whoever_may_write_the_file_may_ring(tmp_path: Path) -> None:
    tmp_path.chmod(0o2770)
    listener = Listener(tmp_path / "jobs.db")
    await listener.wait(["mail"], 0.0)
    directory = tmp_path / "jobs.db-wake"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o2770
    [name] = sockets(tmp_path / "jobs.db")
    assert stat.S_IMODE((directory / name).stat().st_mode) == 0o660
    await listener.close()


async def test_a_unit_that_may_not_name_the_group_bit_inherits_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What RestrictSUIDSGID forbids: any call with the bit in its mode."""
    tmp_path.chmod(0o2770)
    mkdir, chmod = os.mkdir, os.chmod

    def refuse(mode: int) -> None:
        if mode & stat.S_ISGID:
            raise PermissionError

    monkeypatch.setattr(os, "mkdir", lambda path, mode=0o777: (refuse(mode), mkdir(path, mode)))
    monkeypatch.setattr(os, "chmod", lambda path, mode, **k: (refuse(mode), chmod(path, mode, **k)))
    before = os.umask(0o007)
    try:
        listener = Listener(tmp_path / "jobs.db")
        await listener.wait(["mail"], 0.0)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "jobs.db-wake").stat().st_mode) == 0o2770
    await listener.close()


async def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    backend = SQLiteBackend(f"sqlite://{tmp_path}/no/jobs.db")
    with pytest.raises(StoreError, match="no process can wait for jobs there"):
        await backend.wait(["mail"], 0.0)
    await backend.close()


def test_it_works_on_uvloop(database: Path) -> None:
    async def play() -> None:
        one, two = (SQLiteBackend(f"sqlite://{database}") for _ in range(2))
        await one.wait(["mail"], 0.0)
        sleeper = asyncio.create_task(one.wait(["mail"], LIMIT))
        await two.add("mail", [NewJob(id="a", payload=b"")])
        assert await sleeper == {"mail"}
        await one.close()
        await two.close()

    uvloop.run(play())


async def test_another_process_wakes_us(database: Path) -> None:
    backend = SQLiteBackend(f"sqlite://{database}")
    await backend.wait(["mail"], 0.0)
    code = (
        "import asyncio\n"
        "from asyncmqd.backends.sqlite import SQLiteBackend\n"
        "from asyncmqd.domain.job import NewJob\n"
        "async def main():\n"
        f"    backend = SQLiteBackend({backend.url!r})\n"
        "    await backend.add('mail', [NewJob(id='a', payload=b'')])\n"
        "    await backend.close()\n"
        "asyncio.run(main())"
    )
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    async with asyncio.timeout(3 * LIMIT):
        assert await backend.wait(["mail"], 3 * LIMIT) == {"mail"}
    assert await other.wait() == 0
    await backend.close()


async def test_who_waits_learns_that_the_file_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process without work asks the store for nothing else."""
    monkeypatch.setattr("asyncmqd.backends.sqlite.wakeups.LOOK_EVERY", 0.01)
    store = SQLiteBackend(f"sqlite://{tmp_path}/jobs.db")
    await store.connect()
    await store.wait(["mail"], 0.0)
    waiting = asyncio.create_task(store.wait(["mail"], 10 * LIMIT))
    (tmp_path / "jobs.db").rename(tmp_path / "moved.db")
    async with asyncio.timeout(LIMIT):
        with pytest.raises(StoreError, match="the file was removed while in use"):
            await waiting
    await store.close()


async def test_more_ends_than_a_socket_holds_are_not_missed(database: Path) -> None:
    """Nobody reads while they come: the first ten are there, the others were dropped."""
    ears = Endings(database)
    ids = {f"job{number}" for number in range(100)}
    await ears.wait_ended({"mail": ids}, 0.0)
    for id in sorted(ids):
        ring(database, (), {"mail": [id]})
    assert await ears.wait_ended({"mail": ids}, LIMIT) == {"mail": ids}
    await ears.close()


async def test_ends_and_work_each_ring_at_their_own_doors(database: Path) -> None:
    worker, waiter = Listener(database), Endings(database)
    await worker.wait(["mail"], 0.0)
    await waiter.wait_ended({"mail": {"a", "b"}}, 0.0)
    ring(database, ["mail"], {"mail": ["a"], "reports": ["b"]})
    assert await worker.wait(["mail"], LIMIT) == {"mail"}
    assert await waiter.wait_ended({"mail": {"a", "b"}}, LIMIT) == {"mail": {"a"}}
    await worker.close()
    await waiter.close()


async def test_what_an_older_release_sends_is_no_end(database: Path) -> None:
    waiter = Endings(database)
    await waiter.wait_ended({"mail": {"a"}}, 0.0)
    knock(waiter, b"mail")
    ring(database, (), {"mail": ["a"]})
    assert await waiter.wait_ended({"mail": {"a"}}, LIMIT) == {"mail": {"a"}}
    await waiter.close()


async def test_a_process_that_waits_for_nothing_any_more_takes_its_socket_away(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncmqd.backends.sqlite.ended_jobs.LINGER", 0.01)
    waiter = Endings(database)
    await waiter.wait_ended({"mail": {"a"}}, 0.0)
    await eventually(lambda: asyncio.to_thread(lambda: not os.listdir(directory_of(database))))
    ring(database, (), {"mail": ["a"]})
    assert await waiter.wait_ended({"mail": {"a"}}, 0.0) == {"mail": {"a"}}, "looked at anew"
    await waiter.close()


def knock(waiter: Endings, message: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(message, os.fspath(waiter._path))
