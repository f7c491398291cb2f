"""The database file: its URL, its modes, and the files that are refused."""

# ruff: noqa: ASYNC240 - a test has its loop for itself

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from asyncmqd.backends.base import StoreError, StoreRefused
from asyncmqd.backends.sqlite import SQLiteBackend, health, sql_statements
from asyncmqd.backends.sqlite.address import parse
from asyncmqd.backends.sqlite.clock import HostClock
from asyncmqd.backends.sqlite.errors import translated
from asyncmqd.backends.sqlite.file import LAYOUT, DatabaseFile
from asyncmqd.backends.sqlite.health import file_system, is_mounted_alone
from asyncmqd.domain.job import NewJob
from tests.added import are_new

JOB = NewJob(id="a", payload=b"{}")
HOST = HostClock(lambda: 0, lambda: 0, "boot")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


def store(path: Path, options: str = "") -> SQLiteBackend:
    return SQLiteBackend(f"sqlite://{path}{options}")


def file_at(path: Path) -> DatabaseFile:
    return DatabaseFile(parse(f"sqlite://{path}"), HOST)


async def refusal(path: Path) -> str:
    """Why the store cannot be opened, for good."""
    backend = store(path)
    with pytest.raises(StoreRefused) as raised:
        await backend.connect()
    await backend.close()
    return str(raised.value)


# ---------------------------------------------------------------- addresses


def test_three_slashes_are_an_absolute_path() -> None:
    address = parse("sqlite:///nowhere/x.db")
    assert (address.path, address.synchronous) == (Path("/nowhere/x.db"), "FULL")


def test_a_path_may_be_quoted() -> None:
    assert parse("sqlite:///nowhere/what%3F%20100%.db").path == Path("/nowhere/what? 100%.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite://x.db", "sqlite://./x", "sqlite:///x/"])
def test_a_path_that_is_not_absolute_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected an absolute path like"):
        parse(url)


def test_an_unknown_option_is_refused_with_the_known_one() -> None:
    with pytest.raises(ValueError, match=r"the option synchronous or timeout in .* got 'sync'"):
        parse("sqlite:///x.db?sync=OFF")
    with pytest.raises(ValueError, match=r"expected synchronous=FULL or NORMAL in .* got 'OFF'"):
        parse("sqlite:///x.db?synchronous=OFF")


@pytest.mark.parametrize(("options", "level"), [("", 2), ("?synchronous=normal", 1)])
async def test_the_option_reaches_the_file(path: Path, options: str, level: int) -> None:
    backend = store(path, options)
    found = await backend._write(lambda tx: tx.execute("PRAGMA synchronous").fetchone())
    assert found == (level,)
    assert sum("loss of power" in each for each in await backend.warnings()) == (level == 1)
    await backend.close()


# ---------------------------------------------------------------- modes and places


@pytest.mark.parametrize("umask", [0o007, 0o022, 0o077])
@pytest.mark.parametrize(
    ("directory", "expected"), [(0o2770, 0o660), (0o755, 0o600), (0o1777, 0o600)]
)
async def test_the_group_may_write_where_it_shares_the_directory_and_others_never_read(
    path: Path, umask: int, directory: int, expected: int
) -> None:
    """An application that came first, with the usual umask, kept the daemon from starting."""
    path.parent.chmod(directory)
    before = os.umask(umask)
    try:
        backend = store(path)
        await backend.add("mail", [JOB])
        await backend.backup(path.with_name("copy.db"))
    finally:
        os.umask(before)
    for file in (path, f"{path}-wal", f"{path}-shm", path.with_name("copy.db")):
        mode = stat.S_IMODE(os.stat(file).st_mode)
        assert mode == expected, f"{file}: {mode:o}"
    await backend.close()


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("make", [os.symlink, os.link])
async def test_what_would_lead_sqlite_elsewhere_is_refused(
    path: Path, end: str, make: Callable[[Path, str], None]
) -> None:
    victim = path.with_name("victim")
    victim.write_text("precious")
    make(victim, f"{path}{end}")
    assert "expected a file of SQLite's own" in await refusal(path)
    assert victim.read_text() == "precious"


def test_a_journal_that_names_another_file_is_refused(path: Path) -> None:
    """SQLite deletes the file that is named at its end. This one is empty, and does no harm."""
    file = file_at(path)
    file.close(file.open())
    Path(f"{path}-journal").write_bytes(bytes(512) + bytes.fromhex("d9d505f920a163d7"))
    for each in (file, file_at(path)):
        with pytest.raises(StoreRefused, match="names another file, which SQLite would delete"):
            each.open()


async def test_a_journal_of_one_database_is_left_to_sqlite(path: Path) -> None:
    backend = store(path)
    await backend.add("mail", [JOB])
    await backend.close()
    Path(f"{path}-journal").write_bytes(bytes(512))
    backend = store(path)
    assert await backend.get("mail", ["a"]) != [None]
    await backend.close()


async def test_a_path_with_odd_characters(tmp_path: Path) -> None:
    backend = SQLiteBackend(f"sqlite://{tmp_path}/what%3F%23 100%25ä.db")
    await backend.add("mail", [JOB])
    await backend.close()
    assert (tmp_path / "what?# 100%ä.db").is_file()


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    assert await refusal(tmp_path / "no" / "x.db") == (
        f"{tmp_path}/no/x.db: the directory {tmp_path}/no does not exist"
    )


async def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert "expected a file" in await refusal(tmp_path)


# ---------------------------------------------------------------- foreign files


async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"precious text\n" * 100)
    assert "expected an SQLite database" in await refusal(path)
    assert path.read_bytes() == b"precious text\n" * 100


async def test_the_database_of_another_application_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE precious (x)")
    other.close()
    before = path.read_bytes()
    assert "the database of another application" in await refusal(path)
    assert path.read_bytes() == before


async def test_another_application_id_is_refused(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("PRAGMA application_id = 7")
    other.close()
    assert "the database of another application" in await refusal(path)


class Watched(DatabaseFile):
    """Something happens before the `step`-th statement of each connection."""

    def __init__(self, path: Path, step: int, happens: Callable[[], None]) -> None:
        super().__init__(parse(f"sqlite://{path}"), HOST)
        self.steps, self._step, self._happens = 0, step, happens

    def connect(self, mode: str = "rw") -> sqlite3.Connection:
        connection = super().connect(mode)
        connection.set_trace_callback(self._trace)
        return connection

    def _trace(self, statement: str) -> None:
        self.steps += 1
        if self.steps == self._step:
            self._happens()


def test_a_store_that_another_process_makes_at_whatever_moment_is_ours(tmp_path: Path) -> None:
    """Opened just then, it was taken for another application's: the process ended for good."""

    def play(step: int) -> int:
        path = tmp_path / f"{step}.db"

        def make() -> None:
            other = file_at(path)
            with contextlib.suppress(sqlite3.OperationalError):  # it is busy
                other.close(other.open())

        file = Watched(path, step, make)
        with contextlib.suppress(sqlite3.OperationalError):  # it is busy: the caller tries again
            file.close(file.open())
        file.close(file.open())
        return file.steps

    steps = play(0)
    assert steps > 20
    for step in range(1, steps + 1):
        play(step)


async def test_a_newer_layout_is_refused(path: Path) -> None:
    backend = store(path)
    await backend.connect()
    await backend.close()
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {LAYOUT + 1}")
    newer.close()
    assert (
        f"expected layout {LAYOUT}, got {LAYOUT + 1}, which a newer release wrote"
        in await refusal(path)
    )


async def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.touch()
    backend = store(path)
    assert are_new(await backend.add("mail", [JOB])) == [True]
    await backend.close()


async def test_a_layout_that_another_process_made_meanwhile_is_taken_over(path: Path) -> None:
    backend = store(path)
    await backend.add("mail", [JOB])
    life = backend._life
    assert life is not None
    with life.file.opened() as late:
        life.file._make_layout(late)
    assert (await backend.counts(["mail"]))["mail"].waiting == 1
    await backend.close()


async def test_a_store_that_was_switched_to_another_journal_is_switched_back(path: Path) -> None:
    backend = store(path)
    await backend.connect()
    await backend.close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
    assert await backend._read(lambda view: view.execute("PRAGMA journal_mode").fetchone()) == (
        "wal",
    )
    await backend.close()


async def test_a_damaged_file_is_refused(path: Path) -> None:
    backend = store(path)
    await backend.add("mail", [NewJob(id=str(n), payload=b"x" * 500) for n in range(100)])
    await backend.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    backend = store(path)
    with pytest.raises(StoreRefused, match="the file is corrupt: restore a backup"):
        await backend.add("mail", [JOB])
    await backend.close()


async def test_a_wrong_call_is_no_damage_of_a_file_with_a_schedule(path: Path) -> None:
    """What it begins with was text in a column of bytes, and taken for damage."""
    backend = store(path)
    await backend.declare("mail", {"nightly": b"spec"}, fresh=True)
    await backend.fire("mail", "nightly", 4e9, NewJob(id="1", payload=b""))
    await backend.declare("mail", {"hourly": b"spec"}, fresh=False)
    with pytest.raises(TypeError):
        await backend._write(lambda _: b"1" + 1)  # type: ignore[operator]
    await backend.close()


# ---------------------------------------------------------------- while it is in use


async def test_a_removed_file_is_not_made_anew(path: Path) -> None:
    backend = store(path)
    await backend.add("mail", [JOB])
    moved = path.rename(path.with_name("moved.db"))
    for _ in range(2):
        with pytest.raises(StoreError, match="the file was removed while in use"):
            await backend.add("mail", [JOB])
        with pytest.raises(StoreError, match="the file was removed while in use"):
            await backend.counts(["mail"])
    assert not path.exists()
    moved.rename(path)
    assert are_new(await backend.add("mail", [JOB])) == [False]
    await backend.close()


async def test_a_full_disk_is_an_error_until_there_is_room(path: Path) -> None:
    backend = store(path)
    await backend.add("mail", [JOB])
    await backend._write(lambda tx: tx.execute("PRAGMA max_page_count = 1"))
    with pytest.raises(StoreError, match=r"jobs\.db: the disk is full"):
        await backend.add("mail", [NewJob(id="b", payload=b"x" * 100_000)])
    # The limit was of one connection, and that one is gone: there is room again.
    assert are_new(await backend.add("mail", [NewJob(id="b", payload=b"x" * 100_000)])) == [True]
    await backend.close()


async def test_a_read_only_file_is_an_error(path: Path) -> None:
    backend = store(path)
    await backend.connect()
    await backend._write(lambda tx: tx.execute("PRAGMA query_only = ON"))
    with pytest.raises(StoreError, match="read-only"):
        await backend.add("mail", [JOB])
    await backend.close()


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (sqlite3.SQLITE_IOERR_FSYNC, StoreError, "the disk failed"),
        (sqlite3.SQLITE_READONLY_DBMOVED, StoreError, "read-only"),
        (sqlite3.SQLITE_BUSY_RECOVERY, StoreError, "another process held the file"),
        (sqlite3.SQLITE_CORRUPT_INDEX, StoreRefused, "corrupt"),
    ],
)
def test_errors_say_what_is_wrong(code: int, kind: type[StoreError], text: str) -> None:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    found = translated(Path("/x.db"), error)
    assert type(found) is kind
    assert text in str(found)
    assert "as SQLite says it" in str(found)


def test_an_error_of_the_caller_is_not_one_of_the_store() -> None:
    assert translated(Path("/x.db"), sqlite3.InterfaceError("unsupported type")) is None


# ---------------------------------------------------------------- what is around it

MOUNTS = """\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:35 / /srv rw - nfs4 server:/srv rw
31 30 259:3 / /srv/local\\040disk rw - xfs /dev/sdb rw
32 22 0:40 / /over rw - ext4 /dev/sdc rw
33 22 0:41 / /over rw - cifs //host/share rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/x.db", "ext4"),
        ("/srv/x.db", "nfs4"),
        ("/srvother/x.db", "ext4"),
        ("/srv/local disk/x.db", "xfs"),
        ("/over/x.db", "cifs"),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind


def test_a_file_that_is_mounted_by_itself() -> None:
    alone = "34 22 259:2 /data/jobs.db /srv/jobs.db rw - ext4 /dev/root rw\n"
    assert is_mounted_alone(Path("/srv/jobs.db"), MOUNTS + alone)
    assert not is_mounted_alone(Path("/srv/jobs.db"), MOUNTS)
    assert not is_mounted_alone(Path("/srv/other.db"), MOUNTS + alone)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("nfs4", "network file system (nfs4)"),
        ("fuse.rclone", "network file system (fuse.rclone)"),
        ("virtiofs", "the virtual machine's host (virtiofs)"),
        ("vboxsf", "the virtual machine's host (vboxsf)"),
        ("9p", "the virtual machine's host (9p)"),
        ("fakeowner", "the virtual machine's host (fakeowner)"),
        ("ext4", ""),
        ("overlay", ""),
        ("fuse.fuse-overlayfs", ""),
    ],
)
async def test_where_locks_and_shared_memory_are_not_reliable_a_warning_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, told: str
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    backend = store(path)
    await backend.connect()
    monkeypatch.setattr(health, "mounts", lambda: f"1 0 0:1 / / rw - {kind} none rw\n")
    warnings = await backend.warnings()
    assert len(warnings) == bool(told)
    assert told in "".join(warnings)
    await backend.close()


async def test_a_store_of_several_names_is_told_of(path: Path) -> None:
    """Each name has a log of its own, and nobody knows of that of the others."""
    backend = store(path)
    await backend.connect()
    os.link(path, path.with_name("other.db"))
    assert any("has 2 names" in each for each in await backend.warnings())
    path.with_name("other.db").unlink()
    assert not any("names" in each for each in await backend.warnings())
    await backend.close()


@contextlib.contextmanager
def mounted(*options: str | Path) -> Iterator[None]:
    """For the time of a test; the last of the options is where."""
    subprocess.run(["mount", *options], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", options[-1]], check=True)


@pytest.mark.mounts
@pytest.mark.parametrize("disk", ["another", "the same"])
async def test_a_file_that_was_mounted_without_its_directory_is_no_store(
    tmp_path: Path, disk: str
) -> None:
    """Its log stays in the container, and goes with it: jobs that were answered are lost."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    with contextlib.ExitStack() as mounts:
        if disk == "another":
            mounts.enter_context(mounted("-t", "tmpfs", "-o", "size=8m", "tmpfs", outside))
        backend = store(outside / "jobs.db")
        await backend.add("mail", [JOB])
        assert not any("mounted" in each for each in await backend.warnings())
        await backend.close()
        (inside / "jobs.db").touch()
        mounts.enter_context(mounted("--bind", outside / "jobs.db", inside / "jobs.db"))
        if disk == "another":
            assert "it is mounted by itself" in await refusal(inside / "jobs.db")
            return
        backend = store(inside / "jobs.db")
        assert any("it is mounted by itself" in each for each in await backend.warnings())
        await backend.close()


@pytest.mark.mounts
async def test_a_store_in_a_lower_layer_of_an_overlay_is_opened_at_once(tmp_path: Path) -> None:
    """To open it for writing copies it up, and then it may have another inode."""
    lower, upper, merged = (tmp_path / each for each in ("lower", "upper", "merged"))
    for each in (lower, upper, merged):
        each.mkdir()
    with contextlib.ExitStack() as mounts:
        for each in (lower, upper):
            mounts.enter_context(mounted("-t", "tmpfs", "-o", "size=8m", "tmpfs", each))
        backend = store(lower / "jobs.db")
        await backend.add("mail", [JOB])
        await backend.close()
        before = (lower / "jobs.db").read_bytes()
        for each in ("changed", "work"):
            (upper / each).mkdir()
        layers = f"lowerdir={lower},upperdir={upper}/changed,workdir={upper}/work"
        mounts.enter_context(mounted("-t", "overlay", "-o", layers, "overlay", merged))
        for id in ("b", "c"):
            backend = store(merged / "jobs.db")
            await backend.add("mail", [NewJob(id=id, payload=b"{}")])
            await backend.close()
        backend = store(merged / "jobs.db")
        assert (await backend.counts(["mail"]))["mail"].waiting == 3
        await backend.close()
        assert (lower / "jobs.db").read_bytes() == before


async def test_a_local_file_with_full_flushes_gives_no_warning(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    backend = store(path)
    assert await backend.warnings() == []
    await backend.close()


def test_every_search_for_jobs_uses_an_index() -> None:
    database = sqlite3.connect(":memory:")
    database.executescript(sql_statements.read("schema.sql"))
    statements = sql_statements.load("moves.sql") | sql_statements.load("reading.sql")
    assert len(statements) > 20
    for name, statement in statements.items():
        named = re.findall(r":(\w+)", statement)
        values = dict.fromkeys(named, "[]") if named else ["[]"] * statement.count("?")
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
        assert not any(step.startswith("SCAN jobs") for step in plan), (name, plan)
        assert not any("TEMP B-TREE" in step for step in plan), (name, plan)
    database.close()
