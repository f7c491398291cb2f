"""After a flush that failed, nothing is answered as stored until a new log has begun."""

# ruff: noqa: ASYNC221, ASYNC240 - a test has its loop for itself

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from asyncmqd.backends.base import Held, StoreError, StoreUncertain
from asyncmqd.backends.sqlite import SQLiteBackend, failed_flush, file, log_bulk, log_renewal
from asyncmqd.backends.sqlite.log_frames import INDEX_HEAD, frames_noted, is_whole
from asyncmqd.backends.sqlite.transaction import Transaction
from asyncmqd.domain import clock
from asyncmqd.domain.job import NewJob

HELD = [Held("mail", "1", 1)]


class Disk:
    """What fails of it."""

    def __init__(self) -> None:
        self.fails = self.goes_on = False

    def flush(self, _: int) -> None:
        if self.fails:
            raise OSError(errno.EIO, "Input/output error")

    def begin_anew(self, begin: Callable[..., bool], *args: object) -> bool:
        if self.goes_on:
            raise flush_failure()
        return begin(*args)


def flush_failure() -> sqlite3.Error:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    return error


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(failed_flush, "_PAUSE", 0.0)
    monkeypatch.setattr(os, "fdatasync", made.flush)
    begin = partial(made.begin_anew, log_renewal._begins_anew)
    monkeypatch.setattr(log_renewal, "_begins_anew", begin)
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteBackend]:
    opened = SQLiteBackend(f"sqlite://{path}")
    await add(opened, "1")
    yield opened
    await opened.close()


def another(path: Path) -> SQLiteBackend:
    """With a clock of its own, so with threads of its own: as another process."""
    return SQLiteBackend(f"sqlite://{path}", now=partial(clock.wall))


async def add(store: SQLiteBackend, id: str, payload: bytes = b"") -> None:
    await store.add("mail", [NewJob(id=id, payload=payload)])


async def fail(store: SQLiteBackend, disk: Disk) -> None:
    """Add a job of which nobody knows whether the disk has it."""
    disk.fails = True
    with pytest.raises(StoreUncertain, match=r"the disk failed \(Input/output error\)"):
        await add(store, "unsure")
    disk.fails = False


def mark_of(path: Path) -> Path:
    return path.with_name("jobs.db-unflushed")


def log_of(path: Path) -> Path:
    return path.with_name("jobs.db-wal")


def brought_in(path: Path) -> set[str]:
    """The jobs that the database has without its log."""
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    with closing(sqlite3.connect(copy)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            return set()
        return {id for (id,) in connection.execute("SELECT id FROM jobs")}


@pytest.mark.parametrize("verb", ["add", "turn"])
@pytest.mark.parametrize("whose", ["own", "another's", "later one's"])
async def test_a_new_log_begins_before_anybody_is_answered(
    store: SQLiteBackend, disk: Disk, path: Path, whose: str, verb: str
) -> None:
    other = another(path)
    if whose == "another's":
        await other.connect()
    await fail(store, disk)
    assert mark_of(path).exists()
    assert not brought_in(path)
    user = store if whose == "own" else other
    if verb == "add":
        await add(user, "next")
    else:
        assert len((await user.turn("mail", [], 9, 60.0, "w")).claims) == 2
    assert brought_in(path) == {"1", "unsure"}
    assert not mark_of(path).exists()
    await add(user, "last")
    assert brought_in(path) == {"1", "unsure"}, "once is enough"
    await other.close()


async def test_while_the_disk_fails_nothing_is_written_but_what_is_never_flushed(
    store: SQLiteBackend, disk: Disk, path: Path
) -> None:
    await store.turn("mail", [], 1, 60.0, "w")
    assert await store.durability_warning() == ""
    await fail(store, disk)
    disk.goes_on = True
    other = another(path)
    for each in (store, other):
        with pytest.raises(StoreError, match="goes on failing") as refused:
            await add(each, "refused")
        assert not isinstance(refused.value, StoreUncertain), "it is not there"
    assert await store.extend(HELD, 60.0) == [True]
    await store.beat("w", b"", 60.0)
    assert "the disk failed in a flush of it" in await other.durability_warning()
    disk.goes_on = False
    await add(store, "next")
    assert await store.durability_warning() == ""
    found = await store.get("mail", ["1", "unsure", "refused", "next"])
    assert [each and each.id for each in found] == ["1", "unsure", None, "next"]
    await other.close()


async def test_a_mark_that_cannot_be_removed_is_named(
    store: SQLiteBackend, disk: Disk, path: Path
) -> None:
    mark_of(path).mkdir()
    with pytest.raises(StoreError, match=r"jobs\.db-unflushed: it cannot be removed"):
        await add(store, "refused")
    mark_of(path).rmdir()
    mark_of(path).symlink_to("elsewhere")
    (path.parent / "elsewhere").touch()
    await add(store, "next")
    assert not mark_of(path).is_symlink()
    assert (path.parent / "elsewhere").exists()


async def test_a_disk_that_goes_on_failing_is_not_tried_at_each_call(
    store: SQLiteBackend, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fail(store, disk)
    disk.goes_on = True
    with pytest.raises(StoreError) as first:
        await add(store, "refused")
    disk.goes_on = False
    monkeypatch.setattr(failed_flush, "_PAUSE", 1e9)
    with pytest.raises(StoreError) as second:
        await add(store, "refused")
    assert str(first.value) == str(second.value)


async def test_what_is_behind_the_failed_flush_of_another_is_not_known_to_be_stored(
    store: SQLiteBackend, disk: Disk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Transaction.commit

    def commit_behind(self: Transaction) -> None:
        commit(self)
        mark_of(path).touch()

    monkeypatch.setattr(Transaction, "commit", commit_behind)
    with pytest.raises(StoreUncertain, match="the disk failed"):
        await store.pause("mail", True)


async def test_a_flush_of_sqlite_that_fails_counts_as_well(
    store: SQLiteBackend, disk: Disk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was to flush may have been renewed leases, which it does not write again."""

    def fail(_: Transaction) -> None:
        raise flush_failure()

    with monkeypatch.context() as patched:
        patched.setattr(Transaction, "commit", fail)
        with pytest.raises(StoreError, match="the disk failed"):
            await store.pause("mail", True)
    assert mark_of(path).exists()
    await add(store, "next")
    assert brought_in(path) == {"1"}
    assert not mark_of(path).exists()


async def test_a_program_that_reads_is_waited_for(
    store: SQLiteBackend, disk: Disk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_renewal, "_WAIT", 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT 1 FROM store").fetchone()
        await fail(store, disk)
        with pytest.raises(StoreError, match="while a program reads"):
            await add(store, "refused")
    await add(store, "next")
    assert brought_in(path) == {"1", "unsure"}


async def test_a_checkpoint_of_our_own_is_waited_for(
    path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the log for as long as it is under way."""
    begun, may_end = threading.Event(), threading.Event()

    def flush(_: Path) -> bool:
        begun.set()
        return may_end.wait()

    def close(self: log_bulk.Bulk) -> None:
        may_end.set()
        close_bulk(self)

    close_bulk = log_bulk.Bulk.close
    monkeypatch.setattr(log_renewal, "_WAIT", 1)
    monkeypatch.setattr(log_bulk, "_flush", flush)
    monkeypatch.setattr(log_bulk.Bulk, "close", close)
    monkeypatch.setattr(file, "log_limit", lambda _: 16)
    store = SQLiteBackend(f"sqlite://{path}")
    await add(store, "1")  # with the tables, the log is longer than that
    await asyncio.to_thread(begun.wait)
    await fail(store, disk)
    await add(store, "next")
    assert brought_in(path) == {"1", "unsure"}
    await store.close()


READ = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(*sorted(id for (id,) in connection.execute("SELECT id FROM jobs")))
print(*connection.execute("PRAGMA integrity_check").fetchone())
"""


async def test_a_log_that_cannot_be_read_back_is_not_brought_in(
    path: Path, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages that the disk did not take are not in memory any more: it has zeros there."""
    monkeypatch.setattr(file, "_torn", {})
    store = SQLiteBackend(f"sqlite://{path}")
    await add(store, "1")
    whole = log_of(path).stat().st_size
    await fail(store, disk)
    with log_of(path).open("r+b") as log:
        log.seek(whole)
        log.write(bytes(log_of(path).stat().st_size - whole))
    for _ in range(2):
        with pytest.raises(StoreError, match="restart every process that uses it"):
            await add(store, "refused")
    await store.close()
    assert not brought_in(path), "not by the last who closes it, either"
    moved = tmp_path / "moved"
    moved.mkdir()
    for each in (path, log_of(path)):
        shutil.copy(each, moved)
    read = [sys.executable, "-c", READ, moved / "jobs.db"]
    assert subprocess.check_output(read, text=True) == "1\nok\n"


async def test_who_closes_the_store_leaves_the_log_to_the_next(
    path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SQLiteBackend(f"sqlite://{path}")
    await add(store, "1")
    await fail(store, disk)
    await store.close()
    assert not brought_in(path)
    opened = another(path)
    await add(opened, "next")
    assert brought_in(path) == {"1", "unsure"}
    await opened.close()


# ---------------------------------------------------------------- the database's own flushes


async def test_what_the_disk_did_not_take_of_the_database_is_brought_in_again(
    path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk has what it had before; the kernel may drop the rest at any moment."""
    before = []
    flush = log_bulk._flush

    def fail_once(of: Path) -> bool:
        if before:
            return flush(of)
        before.append(taken)
        with of.open("r+b") as database:  # SQLite's locks go, but there is one process only
            database.write(taken)
            database.truncate()
        return False

    monkeypatch.setattr(file, "log_limit", lambda _: 16)
    store = SQLiteBackend(f"sqlite://{path}")
    await store.connect()
    taken = path.read_bytes()
    monkeypatch.setattr(log_bulk, "_flush", fail_once)
    added: set[str] = set()

    async def add_some() -> None:
        for _ in range(40):
            added.add(f"{len(added)}")
            with suppress(StoreUncertain):  # the thread failed between its commit and its answer
                await add(store, f"{len(added) - 1}", b"x" * 900)

    while not before:  # commits may be faster than the thread that brings the log in
        await add_some()
    await add_some()
    assert not mark_of(path).exists()
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert brought_in(path) == added


# ---------------------------------------------------------------- checksums


@pytest.fixture
def written(tmp_path: Path) -> tuple[bytes, int]:
    """A log of SQLite's, and how many frames its index tells."""
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE some (text)")
        for number in range(3):
            connection.execute("INSERT INTO some VALUES (?)", (f"{number}" * 9_000,))
        index = path.with_name("some.db-shm").read_bytes()[:INDEX_HEAD]
        return path.with_name("some.db-wal").read_bytes(), frames_noted(index)


def test_a_log_is_whole_as_far_as_sqlite_wrote_it(
    tmp_path: Path, written: tuple[bytes, int]
) -> None:
    log, frames = written
    assert frames == (len(log) - 32) // 4_120 > 5
    assert holds(tmp_path, log, frames)
    assert not holds(tmp_path, log, frames + 1)
    assert not holds(tmp_path, b"", 1)
    assert holds(tmp_path, b"", 0), "it has just begun again"
    for at in (0, 20, 31, 32, 40, 50, 32 + 24, 32 + 4_119, len(log) - 1):
        wrong = bytearray(log)
        wrong[at] ^= 1
        assert not holds(tmp_path, wrong, frames), at
    assert holds(tmp_path, wrong, frames - 1), "what is behind does not count"


def holds(tmp_path: Path, log: bytes, frames: int) -> bool:
    (tmp_path / "log").write_bytes(log)
    with (tmp_path / "log").open("rb") as opened:
        return is_whole(opened, frames)
