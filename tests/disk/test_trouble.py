"""A database that is locked, gone, read-only, or on a host whose clock is set back."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.daemon.harness import COMMAND, Daemon, Store, until
from tests.scale import scaled

MAIL = "[queues.mail]\nconcurrency = 10\n"
DETECTED = scaled(15.0, 5.0)  # seconds; see tests/scale.py
LOCKED, LEASE = scaled((3, 4), (10, 15))  # seconds


@pytest.fixture
def path(place: Path) -> Path:
    (place / "state").mkdir()
    return place / "state" / "jobs.db"


def test_a_writer_who_holds_the_file_costs_no_lease(
    path: Path, daemon: Callable[..., Daemon], seen: Callable[[str], None]
) -> None:
    """F25: another program's BEGIN EXCLUSIVE, for most of a lease, beside two daemons."""
    store = Store(f"sqlite://{path}")
    top = f"lease = {LEASE}"
    one, two = (daemon(store.url, MAIL, name=name, top=top).start() for name in ("one", "two"))
    ids = store.add("mail", "hold", [f"{n}" for n in range(20)])
    until(lambda: len(one.lines("began")) == 20)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(LOCKED)  # this is the fault
        other.execute("ROLLBACK")
    one.open_gate()
    until(lambda: store.counts("mail").completed == 20)
    for each in (one, two):
        assert each.stop() == 0
        assert not each.all("job.lease_lost")
        assert not each.all("job.recovered")
    assert one.tally() == dict.fromkeys(ids, 1)
    seen(
        f"F25 file locked for {LOCKED} s of a lease of {LEASE} s: 0 of 20 leases lost, 0 runs more"
    )


def remove(path: Path) -> Callable[[], None]:
    """Move the file away; how to bring it back."""
    moved = path.rename(path.with_name("moved.db"))
    return lambda: os.rename(moved, path)


def rename_directory(path: Path) -> Callable[[], None]:
    moved = path.parent.rename(path.parent.with_name("elsewhere"))
    return lambda: os.rename(moved, path.parent)


def make_read_only(path: Path) -> Callable[[], None]:
    """Mount the directory over itself, for reading only."""
    here = path.parent
    subprocess.run(["mount", "--bind", here, here], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", here], check=True)

    def mend() -> None:
        subprocess.run(["umount", "--lazy", here], check=True)

    return mend


FAULTS = [remove, rename_directory, pytest.param(make_read_only, marks=pytest.mark.mounts)]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_is_gone_is_noticed_and_not_made_anew(
    path: Path,
    daemon: Callable[..., Daemon],
    seen: Callable[[str], None],
    fault: Callable[[Path], Callable[[], None]],
) -> None:
    """F28, while the daemon has nothing to do."""
    store = Store(f"sqlite://{path}")
    d = daemon(store.url, MAIL).start()
    store.add("mail", "mark", ["before"])
    d.wait_for("job.completed")
    began = time.monotonic()
    mend = fault(path)
    d.wait_for("daemon.degraded")
    took = time.monotonic() - began
    assert took < DETECTED
    if fault is not make_read_only:
        assert not path.exists()
    mend()
    mended = time.monotonic()
    d.wait_for("daemon.recovered")
    back = time.monotonic() - mended
    store.add("mail", "mark", ["after"])
    until(lambda: d.lines() == ["before", "after"])
    assert d.stop() == 0
    assert len(d.all("daemon.degraded")) == 1
    seen(f"F28 {fault.__name__}: degraded after {took:.1f} s (limit 5), back {back:.1f} s after it")


SKEWED = """
import time
from pathlib import Path
from asyncmqd.backends.sqlite import SQLiteBackend

def wall():
    return time.time() - (7200 if Path("set-back").exists() else 0)

SQLiteBackend.__init__.__kwdefaults__["now"] = wall
"""


def test_a_clock_set_back_two_hours_stops_nothing(
    path: Path, place: Path, daemon: Callable[..., Daemon], seen: Callable[[str], None]
) -> None:
    """F31: leases end and delays go on, by the clock since boot; delays at half speed."""
    (place / "skewed.py").write_text(SKEWED)
    store = Store(f"sqlite://{path}")
    tasks = ("skewed", "ledger")
    victim = daemon(store.url, MAIL, name="one", tasks=tasks, top="lease = 1").start()
    store.add("mail", "hold", ["held"])
    until(lambda: victim.lines("began") == ["held"])
    store.add("mail", "mark", ["delayed"], delay=2.0)
    (place / "set-back").touch()
    victim.kill()
    began = time.monotonic()
    other = daemon(store.url, MAIL, name="two", tasks=tasks, top="lease = 1").start()
    until(lambda: other.lines("began") == ["held", "held"])
    recovered = time.monotonic() - began
    other.open_gate()
    until(lambda: sorted(other.lines()) == ["delayed", "held"])
    delayed = time.monotonic() - began
    assert other.stop() == 0
    assert delayed < 60, "and not two hours"
    seen(
        f"F31 clock set back 2 h: a lease of 1 s taken over {recovered:.1f} s after kill -9,"
        f" a delay of 2 s over after {delayed:.1f} s"
    )


OLD = """
import sqlite3
sqlite3.sqlite_version_info, sqlite3.sqlite_version = (3, 31, 1), "3.31.1"
"""


def test_a_daemon_on_an_old_sqlite_ends_and_names_it(
    path: Path, place: Path, daemon: Callable[..., Daemon]
) -> None:
    """With 78: systemd starts nothing again that no start mends. `check` says the same."""
    (place / "sitecustomize.py").write_text(OLD)
    environ = {"PYTHONPATH": str(place)}
    d = daemon(f"sqlite://{path}", MAIL, environ=environ, command=COMMAND).start(ready=False)
    assert d.wait() == 78
    wanted = "expected SQLite 3.33 or later, got 3.31.1: use a Python with a newer SQLite"
    assert d.stderr == f"{d.config}:1: backend: {wanted}\n"
    checked = d.cli("check")
    assert (checked.returncode, checked.stderr) == (78, d.stderr)
    assert not path.exists()


CHECKPOINTS = """
import asyncio, sys
from asyncmqd.backends.sqlite import SQLiteBackend, file
from asyncmqd.domain.job import NewJob

file.log_limit = lambda path: 8  # pages: most commits begin a checkpoint

async def main():
    store = SQLiteBackend("sqlite://" + sys.argv[1])
    for number in range(10**9):
        id = f"{sys.argv[2]}-{number}"
        await store.add("mail", [NewJob(id=id, payload=b"x" * 3000)])
        print(id, flush=True)

asyncio.run(main())
"""


def test_kill_9_during_checkpoints_damages_nothing(path: Path, seen: Callable[[str], None]) -> None:
    """F26: what was accepted is there, and the file is whole, whenever the process dies."""
    rounds = scaled(4, 40, 200)
    store = Store(f"sqlite://{path}")
    accepted: set[str] = set()
    for number in range(rounds):
        accepted |= _killed_while_it_writes(path, number)
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            there = {id for (id,) in connection.execute("SELECT id FROM jobs")}
        assert accepted <= there
        assert store.counts("mail").waiting == len(there)
    seen(f"F26 {rounds} x kill -9 during checkpoints: integrity ok, {len(accepted)} jobs, 0 lost")


def _killed_while_it_writes(path: Path, number: int) -> set[str]:
    """The jobs that were accepted before the process was killed, at another moment each time."""
    command = [sys.executable, "-c", CHECKPOINTS, str(path), str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = list(itertools.islice(process.stdout, 30 + 7 * number % 40))
        threading.Timer(0.0007 * (number % 13), process.kill).start()
        return {line.strip() for line in (*first, *process.stdout) if line.endswith("\n")}
