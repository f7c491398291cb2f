"""The log is brought into the file, and nobody commits meanwhile; releases of SQLite."""

# ruff: noqa: ASYNC240 - a test has its loop for itself

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from asyncmqd.backends.sqlite import (
    SQLiteBackend,
    address,
    checkpoints,
    file,
    free_disk_space,
    log_bulk,
)
from asyncmqd.backends.sqlite.clock import HostClock
from asyncmqd.backends.sqlite.file import DatabaseFile
from asyncmqd.backends.sqlite.sqlite_version import has_reset_bug
from asyncmqd.domain import clock
from asyncmqd.domain.job import NewJob

PAGES = 16


@pytest.fixture
def path() -> Iterator[Path]:
    """On a disk: in memory, commits are faster than the thread that brings the log in."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        yield Path(directory) / "jobs.db"


@pytest.fixture
async def backend(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SQLiteBackend]:
    """Its log may have few pages."""
    monkeypatch.setattr(file, "log_limit", lambda _: PAGES)
    backend = SQLiteBackend(f"sqlite://{path}?synchronous=NORMAL")
    await backend.connect()
    yield backend
    await backend.close()


async def fill(backend: SQLiteBackend, prefix: str, jobs: int = 100) -> None:
    for number in range(jobs):
        await backend.add("mail", [NewJob(id=f"{prefix}{number}", payload=b"x" * 900)])


def log_pages(path: Path) -> float:
    return (path.with_name(f"{path.name}-wal").stat().st_size - 32) / 4_120


@pytest.mark.parametrize("has_index", [True, False])
async def test_the_log_stays_within_its_limit_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, has_index: bool
) -> None:
    """Also where it cannot be seen how much of it is in use."""
    monkeypatch.setattr(file, "log_limit", lambda _: PAGES)
    if not has_index:
        monkeypatch.setattr(checkpoints, "descriptors_of", nothing_is_open)
    backend = SQLiteBackend(f"sqlite://{path}?synchronous=NORMAL")
    longest = 0.0
    await fill(backend, "first-", 3)  # the tables alone are longer
    for number in range(100):
        await fill(backend, f"{number}-", 1)
        longest = max(longest, log_pages(path))
    # Twice the limit, and what is committed until a busy machine lets the thread begin.
    assert PAGES < longest < 4 * PAGES
    assert path.stat().st_size > 20 * 4_096, "it was brought in"
    await backend.close()


def nothing_is_open(_: str) -> list[int]:
    raise OSError(errno.EBADF, "no /proc")


async def test_a_log_that_begins_again_is_written_where_it_has_been(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To make it longer costs the disk several times what it costs to write over it."""
    monkeypatch.setattr(file, "log_limit", lambda _: 200)
    monkeypatch.setattr(log_bulk.Bulk, "begin", lambda *_: False)  # else others add to it meanwhile
    backend = SQLiteBackend(f"sqlite://{path}?synchronous=NORMAL")
    begins, lengths = set(), []
    for number in range(150):
        await fill(backend, f"{number}-", 1)
        begins.add(begin_of_log(path))
        lengths.append(log_pages(path))
    assert lengths == sorted(lengths), "it was never cut"
    assert 200 < lengths[-1] <= 250
    assert 3 <= len(begins) <= 8, "nor brought in before it was long"
    await backend.close()


async def test_nobody_can_commit_while_the_rest_of_the_log_is_brought_in(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a commit could begin the log anew, unnoticed by the checkpoint before SQLite 3.51.3."""
    others: list[bool] = []

    class Watched(sqlite3.Connection):
        def execute(self, sql: str, /, *values: Any) -> sqlite3.Cursor:
            if "wal_checkpoint" in sql:
                others.append(may_write(path))
            return super().execute(sql, *values)

    def connect(self: file.DatabaseFile, mode: str = "rw") -> sqlite3.Connection:
        return sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, factory=Watched
        )

    monkeypatch.setattr(log_bulk.Bulk, "begin", lambda *_: False)
    monkeypatch.setattr(file.DatabaseFile, "connect", connect)
    monkeypatch.setattr(file, "log_limit", lambda _: PAGES)
    backend = SQLiteBackend(f"sqlite://{path}?synchronous=NORMAL")
    await fill(backend, "a")
    await backend.close()
    assert others
    assert not any(others)


def may_write(path: Path) -> bool:
    """Whether another program could, at this moment."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True


async def test_others_commit_while_most_of_the_log_is_brought_in(
    backend: SQLiteBackend, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nobody can begin it anew until that is done."""
    flush = log_bulk._flush
    found = []

    def flush_and_look(of: Path) -> bool:
        found.append((begin_of_log(path), commit(path)))
        return flush(of)

    monkeypatch.setattr(log_bulk, "_flush", flush_and_look)
    await fill(backend, "a", 20)
    assert found
    assert all(before == after for before, after in found)


class Steps:
    """What is done of a log, by nobody: rounds beside the commits of others, and the rest."""

    def __init__(self, store: DatabaseFile) -> None:
        store.log_limit = store.log_kept = 16 * SIXTEENTH
        self.done: list[str] = []
        self.others_commit = False
        self.is_slow = False  # the disk
        self._checkpoints = checkpoints.Checkpoints(store)

    def after_commit(self, log_bytes: int) -> None:
        with closing(sqlite3.connect(":memory:")) as connection:
            self._checkpoints.after_commit(connection, log_bytes)

    def note(self, step: str) -> bool:
        self.done.append(f"no {step}" if self.others_commit else step)
        return not self.others_commit


@pytest.fixture
def steps(path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    host = HostClock(clock.wall, clock.since_boot, "boot")
    steps = Steps(DatabaseFile(address.parse(f"sqlite://{path}"), host))

    class Round:
        def __init__(self, _: DatabaseFile) -> None: ...

        @property
        def is_done(self) -> bool:
            return not steps.is_slow

        def begin(self) -> bool:
            return steps.note("round")

        def wait(self) -> None:
            steps.note("wait")

    def rest(*_: object) -> bool:
        return steps.note("rest")

    monkeypatch.setattr(checkpoints, "Bulk", Round)
    monkeypatch.setattr(checkpoints.Checkpoints, "_brings_in_the_rest", rest)
    return steps


SIXTEENTH = 1 << 20  # bytes
LONG = 16 * SIXTEENTH + 1  # a log that is to be brought in


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ([0], ["round", "rest"]),
        ([SIXTEENTH], ["round", "rest"]),
        ([SIXTEENTH + 1, 1], ["round", "round", "rest"]),
        ([SIXTEENTH + 1] * 3, ["round", "round", "round", "rest"]),
        ([-SIXTEENTH, SIXTEENTH + 1], ["round", "round"]),  # somebody else began it again
    ],
)
def test_what_was_added_meanwhile_is_brought_in_beside_others_if_it_is_long(
    steps: Steps, added: list[int], expected: list[str]
) -> None:
    """Else all wait for as many pages as were added during the first round."""
    for length in itertools.accumulate([LONG, *added]):
        steps.after_commit(length)
    assert steps.done == expected


@pytest.mark.parametrize("rounds", [0, 1])
def test_a_round_that_cannot_begin_is_tried_again_after_the_next_commit(
    steps: Steps, rounds: int
) -> None:
    """Not all of the log at once, under the lock, for which everybody would wait."""
    length = LONG
    for _ in range(rounds):
        steps.after_commit(length)
        length += SIXTEENTH + 1
    steps.others_commit = True
    for _ in range(3):
        steps.after_commit(length)
        length += 1
    steps.others_commit = False
    steps.after_commit(length)
    steps.after_commit(length)
    assert steps.done == ["round"] * rounds + ["no round"] * 3 + ["round", "rest"]


def test_a_log_does_not_grow_for_ever_because_no_round_can_begin(steps: Steps) -> None:
    """Of no thread, or on a full disk, there is none; then others wait rather."""
    steps.others_commit = True
    steps.after_commit(LONG)
    steps.after_commit(LONG + 2 * SIXTEENTH - 1)
    assert steps.done == ["no round"] * 2
    steps.after_commit(LONG + 2 * SIXTEENTH)
    assert steps.done[2:] == ["no round", "no rest"]


def test_the_rest_is_tried_again_after_the_next_commit_if_another_one_writes(steps: Steps) -> None:
    """Else the log grows by a quarter, past the place that it has on the disk."""
    steps.after_commit(LONG)
    steps.others_commit = True
    steps.after_commit(LONG + 1)
    steps.others_commit = False
    steps.after_commit(LONG + 2)
    steps.after_commit(LONG + 3)
    assert steps.done == ["round", "no rest", "rest"], "and then not before it is longer"


def test_a_round_is_waited_for_once_a_quarter_was_added(steps: Steps) -> None:
    """Also by a process that had found the log long at its first commit."""
    steps.is_slow = True
    steps.after_commit(LONG)
    steps.after_commit(LONG + 4 * SIXTEENTH - 2)
    assert steps.done == ["round"]
    steps.after_commit(LONG + 4 * SIXTEENTH)
    assert steps.done == ["round", "wait", "rest"]


def test_a_log_that_could_not_be_brought_in_is_tried_again_though_hardly_anything_is_added(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was in the way may be gone, and a quarter of the limit takes an idle store an hour."""
    times = [1_000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: times[-1])
    for added in range(4):
        steps.after_commit(LONG + added)
    assert steps.done == ["round", "rest"]
    times.append(times[-1] + 60)
    for added in range(4, 8):
        steps.after_commit(LONG + added)
    assert steps.done[2:] == ["round", "rest"], "once, and no more before the next time"


async def test_who_brings_in_the_rest_says_whether_it_could(
    backend: SQLiteBackend, path: Path
) -> None:
    store = DatabaseFile(address.parse(f"sqlite://{path}"), backend._host)
    ours = checkpoints.Checkpoints(store)
    with (
        store.opened() as connection,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        assert not ours._brings_in_the_rest(connection)
        other.execute("ROLLBACK")
        assert ours._brings_in_the_rest(connection)
        assert not connection.in_transaction


async def test_what_holds_the_log_is_not_flushed_and_brings_nothing_in_by_itself(
    backend: SQLiteBackend, path: Path
) -> None:
    await backend.connect()
    store = DatabaseFile(address.parse(f"sqlite://{path}"), backend._host)
    with store.opened():
        bulk = log_bulk.Bulk(store)
        for each in (bulk.holder, bulk.other):
            found = [
                each.execute(f"PRAGMA {setting}").fetchone()[0]
                for setting in ("synchronous", "wal_autocheckpoint", "journal_size_limit")
            ]
            assert found == [1, 0, store.log_kept]
        bulk.close()
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            bulk.holder.execute("SELECT 1")


@pytest.mark.parametrize("is_in", [False, True], ids=["some", "all"])
async def test_the_log_is_held_whatever_of_it_is_in_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, is_in: bool
) -> None:
    """Who reads while all of it is in the file does not hold it by that."""
    released = threading.Event()
    monkeypatch.setattr(log_bulk, "_flush", lambda _: released.wait())
    backend = SQLiteBackend(f"sqlite://{path}")
    store = DatabaseFile(address.parse(backend.url), backend._host)
    await fill(backend, "a", 1)
    with store.opened(), closing(sqlite3.connect(path)) as other:
        if is_in:
            busy, log, brought = other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            assert (busy, log) == (0, brought)
        bulk = log_bulk.Bulk(store)
        assert bulk.begin()
        before = begin_of_log(path)
        assert commit(path) == before
        released.set()
        bulk.wait()
        busy, *_ = other.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        assert not busy, "it is held no longer"
        assert commit(path) != before
        bulk.close()
    await backend.close()


async def test_the_writer_does_not_wait_until_the_thread_runs(
    backend: SQLiteBackend, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy host a new thread waits for a processor as long as a slow disk takes."""
    store = DatabaseFile(address.parse(f"sqlite://{path}"), backend._host)
    with store.opened():
        bulk = log_bulk.Bulk(store)
        with monkeypatch.context() as here:
            here.setattr(threading.Thread, "start", waits)
            assert bulk.begin()
        bulk.wait()
        assert bulk.is_done
        bulk.close()


def waits(thread: threading.Thread) -> None:
    raise AssertionError(f"{thread} is waited for")


async def test_a_log_is_not_brought_in_while_another_one_writes(
    backend: SQLiteBackend, path: Path
) -> None:
    store = DatabaseFile(address.parse(f"sqlite://{path}"), backend._host)
    with store.opened(), closing(sqlite3.connect(path, isolation_level=None)) as other:
        bulk = log_bulk.Bulk(store)
        other.execute("BEGIN IMMEDIATE")
        assert not bulk.begin()
        assert bulk.is_done
        assert not bulk.holder.in_transaction
        bulk.close()


async def test_who_closes_the_store_waits_for_what_is_brought_in(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, waited = threading.Event(), threading.Event()
    wait = log_bulk.Bulk.wait

    def flush(_: Path) -> bool:
        begun.set()
        return waited.wait()

    def wait_and_note(self: log_bulk.Bulk) -> None:
        waited.set()
        wait(self)

    monkeypatch.setattr(log_bulk, "_flush", flush)
    monkeypatch.setattr(log_bulk.Bulk, "wait", wait_and_note)
    monkeypatch.setattr(file, "log_limit", lambda _: 100)
    backend = SQLiteBackend(f"sqlite://{path}?synchronous=NORMAL")
    for number in itertools.count():
        await fill(backend, f"{number}-", 1)
        if log_pages(path) > 100:
            break  # one more commit would not be enough for the writer to wait
    await asyncio.to_thread(begun.wait)
    await backend.close()
    log_is_gone = not path.with_name(f"{path.name}-wal").exists()
    waited.set()
    assert log_is_gone, "the last connection was the writer's"


def commit(path: Path) -> bytes:
    """As another program; what the log begins with then, which is new when it is begun again."""
    with closing(sqlite3.connect(path, timeout=10)) as other, other:
        other.execute("UPDATE store SET sequence = sequence + 1")
    return begin_of_log(path)


def begin_of_log(path: Path) -> bytes:
    with path.with_name(f"{path.name}-wal").open("rb") as log:
        return log.read(32)


async def test_no_connection_brings_it_in_by_itself(backend: SQLiteBackend) -> None:
    for ask in (backend._write, backend._read):
        found = await ask(lambda view: view.execute("PRAGMA wal_autocheckpoint").fetchone())
        assert found == (0,)


async def test_a_reader_that_keeps_the_log_from_being_brought_in_is_told_of(
    backend: SQLiteBackend, path: Path
) -> None:
    assert await backend.durability_warning() == ""
    with reading(path):
        await fill(backend, "a")
        told = await backend.durability_warning()
        assert told.startswith(f"{path}-wal grows and cannot be written into the database")
        await fill(backend, "b", 1)
        assert await backend.durability_warning() == told, "one sentence for as long as it lasts"
    await fill(backend, "c")
    assert await backend.durability_warning() == ""
    assert log_pages(path) < 2 * PAGES


READER = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN")
other.execute("SELECT count(*) FROM store").fetchone()
print("reads", flush=True)
sys.stdin.read()
"""
CHECKPOINTER = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("PRAGMA user_version").fetchone()
import fcntl
from asyncmqd.backends.sqlite.descriptors import descriptors_of
fcntl.lockf(descriptors_of(sys.argv[1] + "-shm")[0], fcntl.LOCK_EX, 1, 121)
print("checkpoints", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (READER, "reads the store in one long transaction"),
        (CHECKPOINTER, "has begun to write it and does not go on"),
    ],
)
@pytest.mark.parametrize("stopped", [False, True])
async def test_who_keeps_the_log_is_named(
    backend: SQLiteBackend, path: Path, program: str, told: str, *, stopped: bool
) -> None:
    """And whether that process is stopped: then nobody waits in vain for its end."""
    with beside(program, path) as process:
        if stopped:
            freeze(process)
        await fill(backend, "a")
        found = await backend.durability_warning()
    assert f": process {process} (python" in found
    assert told in found
    assert (", which is stopped, " in found) is stopped
    await fill(backend, "b")
    assert await backend.durability_warning() == ""


@contextmanager
def beside(program: str, path: Path) -> Iterator[int]:
    """Another process, once it has said that it is there; killed at the end."""
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline()
        try:
            yield other.pid
        finally:
            other.kill()


def freeze(process: int) -> None:
    os.kill(process, signal.SIGSTOP)
    os.waitpid(process, os.WUNTRACED)


async def test_an_idle_store_gives_back_what_a_reader_kept_once_he_is_gone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs no more for it than some heartbeats."""
    monkeypatch.setattr(checkpoints, "_AGAIN", 0.0)
    monkeypatch.setattr(file, "log_limit", lambda _: 400)
    backend = SQLiteBackend(f"sqlite://{path}?synchronous=NORMAL")
    await backend.connect()
    with reading(path):
        for number in range(70):
            await backend.add("mail", [NewJob(id=f"{number}", payload=bytes(200_000))])
        assert await backend.durability_warning()
    for _ in range(10):  # fewer pages than a quarter of the limit
        await backend.beat("w", b"", 60.0)
        await asyncio.to_thread(backend._living().writer._checkpoints._wait)
    assert await backend.durability_warning() == ""
    assert log_pages(path) <= 500
    await backend.close()


async def test_how_long_another_program_left_the_log_says_nothing_of_a_reader(
    backend: SQLiteBackend, path: Path
) -> None:
    """What copies the log elsewhere begins it again by itself, and cuts nothing off."""
    with reading(path):
        await fill(backend, "a")
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as other:
        other.execute("PRAGMA wal_checkpoint(FULL)")
        other.execute("UPDATE store SET sequence = sequence + 1")
    assert log_pages(path) > 8 * PAGES
    assert await backend.durability_warning() == ""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Another program that reads in one transaction."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM jobs").fetchone()
        yield


def test_the_length_of_a_log_is_that_of_its_pages() -> None:
    assert free_disk_space.log_size(0) == 32
    assert free_disk_space.log_size(2) == 32 + 2 * (4_096 + 24)


# ---------------------------------------------------------------- releases


@pytest.mark.parametrize(
    ("release", "has_it"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 9), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
async def test_a_release_that_can_damage_a_file_is_named_once(
    backend: SQLiteBackend,
    monkeypatch: pytest.MonkeyPatch,
    release: tuple[int, int, int],
    has_it: bool,
) -> None:
    assert has_reset_bug(release) is has_it
    monkeypatch.setattr(sqlite3, "sqlite_version_info", release)
    named = [each for each in await backend.warnings() if "can corrupt a database" in each]
    assert len(named) == has_it


def test_a_release_that_is_too_old_is_refused_before_anything_is_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 31, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.31.1")
    with pytest.raises(ValueError, match=r"expected SQLite 3\.33 or later, got 3\.31\.1"):
        SQLiteBackend(f"sqlite://{path}")
    assert not path.exists()
