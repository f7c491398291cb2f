"""A backup of a store in use, and the tallies that every store keeps of itself."""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncmqd.backends.base import StoreError
from asyncmqd.backends.sqlite import SQLiteBackend, backup
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.settle import Policy, Retention, Succeeded, replay, settle
from asyncmqd.domain.states import State
from tests.contract.jobs import succeeded


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[SQLiteBackend]:
    backend = SQLiteBackend(f"sqlite://{tmp_path}/jobs.db?synchronous=NORMAL")
    await backend.connect()
    yield backend
    await backend.close()


async def fill(backend: SQLiteBackend, count: int) -> None:
    jobs = [NewJob(id=f"job{n}", payload=b"x" * 10_000) for n in range(count)]
    await backend.add("mail", jobs)


async def test_a_backup_is_the_store_of_one_moment(
    backend: SQLiteBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_PAGES", 10)  # many commits of others between two steps
    await fill(backend, 1_000)
    steps: list[tuple[int, int]] = []
    target = tmp_path / "copy.db"
    copying = asyncio.create_task(backend.backup(target, lambda *step: steps.append(step)))
    numbers = itertools.count()
    while not copying.done():  # others write all the time, and none of it is half there
        pair = [NewJob(id=f"{next(numbers)}", payload=b"") for _ in range(2)]
        await backend.add("pairs", pair)
    await copying
    assert steps == sorted(steps), "it began anew"
    copy = SQLiteBackend(f"sqlite://{tmp_path}/copy.db")
    assert (await copy.counts(["mail"]))["mail"].waiting == 1_000
    assert (await copy.counts(["pairs"]))["pairs"].waiting % 2 == 0
    assert len(await copy.claim("mail", 2_000, 60.0, "w")) == 1_000
    await copy.close()
    with sqlite3.connect(tmp_path / "copy.db") as check:
        assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    check.close()


async def test_a_backup_is_one_file_with_the_mode_of_the_store(
    backend: SQLiteBackend, tmp_path: Path
) -> None:
    (tmp_path / "jobs.db").chmod(0o640)
    (tmp_path / "out").mkdir()
    await backend.backup(tmp_path / "out" / "copy.db")
    [copy] = (tmp_path / "out").iterdir()
    assert (copy.name, copy.stat().st_mode & 0o777) == ("copy.db", 0o640)


async def test_what_root_saves_belongs_to_the_owner_of_the_store(
    backend: SQLiteBackend, tmp_path: Path
) -> None:
    owner = (65_533, 65_532) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(tmp_path / "jobs.db", *owner)
    await backend.backup(tmp_path / "copy.db")
    found = (tmp_path / "copy.db").stat()
    assert (found.st_uid, found.st_gid) == owner


async def test_a_backup_replaces_the_one_before(backend: SQLiteBackend, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    for count in (1, 2):
        await fill(backend, count)
        await backend.backup(target)
        copy = SQLiteBackend(f"sqlite://{target}")
        assert (await copy.counts(["mail"]))["mail"].waiting == count
        await copy.close()


async def test_a_backup_tells_how_far_it_is(backend: SQLiteBackend, tmp_path: Path) -> None:
    await fill(backend, 1_500)
    steps: list[tuple[int, int]] = []
    await backend.backup(tmp_path / "copy.db", lambda *step: steps.append(step))
    assert len(steps) > 2
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]


async def test_a_failed_backup_leaves_the_old_one(backend: SQLiteBackend, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    await backend.backup(target)
    before = target.read_bytes()

    def fail(done: int, total: int) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await backend.backup(target, fail)
    assert target.read_bytes() == before
    assert not target.with_name("copy.db.part").exists()


async def test_a_backup_into_nowhere_is_an_error(backend: SQLiteBackend, tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"cannot be written by user .*: No such file or directory"
    ):
        await backend.backup(tmp_path / "no" / "copy.db")


async def test_two_backups_to_one_file_do_not_mix(backend: SQLiteBackend, tmp_path: Path) -> None:
    (tmp_path / "copy.db.part").touch()
    with pytest.raises(StoreError, match="another backup is under way"):
        await backend.backup(tmp_path / "copy.db")


async def test_one_page_of_pruning_is_a_page_whatever_the_reasons(backend: SQLiteBackend) -> None:
    await fill(backend, 6)
    claims = await backend.claim("mail", 6, 60.0, "w")
    ended = [succeeded(c, b"1" * (n < 2), Retention(result_ttl=0.0)) for n, c in enumerate(claims)]
    await backend.apply("mail", ended)
    none = Retention(keep_completed=0)
    assert [await backend.prune("mail", none, 3) for _ in range(3)] == [3, 3, 0]


async def test_the_tallies_are_what_a_count_finds(backend: SQLiteBackend) -> None:
    await fill(backend, 20)
    claims = await backend.claim("mail", 15, 60.0, "w")
    changes = [settle(c, Succeeded(b"1" * n), Policy(), 0.5) for n, c in enumerate(claims[:10])]
    await backend.apply("mail", changes)
    [record] = await backend.list("mail", State.COMPLETED, 0, 1)
    await backend.apply("mail", [replay(record)])
    await backend.remove("mail", ["job1", "job12", "job19"])
    await backend.prune("mail", Retention(keep_bytes=50_000))
    found = await backend._read(
        lambda view: view.execute(
            "SELECT place, kept_in, length(payload) + large + length(result) + length(error)"
            " FROM jobs"
        ).fetchall()
    )
    jobs, size = Counter[str](), Counter[str]()
    for place, line, bytes in found:
        jobs[place] += 1
        if line is not None:
            jobs[line] += 1
            size[line] += bytes
    kept = await backend._read(
        lambda view: view.execute("SELECT line, jobs, bytes FROM tallies").fetchall()
    )
    assert {line: count for line, count, _ in kept if count} == jobs
    assert {line: bytes for line, _, bytes in kept if bytes} == size
    assert size, "some ended jobs are left"
