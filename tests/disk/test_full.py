"""F24: a disk that is full. New jobs are refused, those that are there go on, nothing is lost."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.backends.sqlite import free_disk_space
from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.job import JobSpec, NewJob
from asyncmqd.domain.settle import Policy, Retention, Succeeded, settle
from asyncmqd.domain.states import State
from tests.daemon.harness import Daemon, Store, until
from tests.scale import scaled

pytestmark = pytest.mark.mounts

MAIL = "[queues.mail]\nconcurrency = 20\n"
SIZE = 20_000  # bytes of a job that fills the disk
BACK = scaled(10.0, 3.0)  # seconds, of which the daemon sleeps at most two between its tries


async def add_until_full(store: BaseBackend, size: int = SIZE) -> tuple[list[str], str]:
    """Add jobs until one is refused; those that were accepted, and why the last one was not."""
    accepted: list[str] = []
    while True:
        id = f"big{len(accepted)}"
        spec = JobSpec(id=id, task="mark", kwargs={"_": "x" * size})
        try:
            await store.add("later", [NewJob(id=id, payload=encode_spec(spec))])
        except StoreError as error:
            return accepted, str(error)
        accepted.append(id)


def intact(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)])


def test_jobs_at_work_are_settled_though_the_disk_takes_no_new_ones(
    mount: Callable[[str], Path], daemon: Callable[..., Daemon], seen: Callable[[str], None]
) -> None:
    path = mount("4m") / "jobs.db"
    store = Store(f"sqlite://{path}")
    d = daemon(store.url, MAIL).start()
    store.add("mail", "hold", [f"{n}" for n in range(200)])
    until(lambda: len(d.lines("began")) == 20)
    accepted, reason = store.do(add_until_full)
    log = Path(f"{path}-wal").stat().st_size
    assert reason.startswith(f"{path}: the disk is full: expected ")
    d.open_gate()
    # 180 more claims and 200 results in what is left of the disk.
    until(lambda: store.counts("mail").completed == 200)
    assert not d.all("daemon.degraded")
    # "Nothing more is accepted now" was the wrong bound. In 14 runs on a busy machine the fill
    # ended after 173 jobs in four of them, at a log of 148,352 bytes that was just not begun
    # anew; then the claims had it cut to its limit, and up to three more jobs found room. In the
    # others it ended after 176, and took none. So what is accepted now is what the log gave back,
    # and no more: each of its bytes counts twice, for all of it may have to go into the file.
    again, reason = store.do(add_until_full)
    assert reason.startswith(f"{path}: the disk is full: expected ")
    more = len({*again, *accepted}) - len(accepted)
    pages = free_disk_space.log_limit(path)
    given_back = max(0, log - free_disk_space.log_size(pages + pages // 4))
    assert more * SIZE <= 2 * given_back + SIZE
    assert store.counts("later").waiting == len(accepted) + more
    assert d.stop() == 0
    assert intact(path)
    seen(
        f"F24 new jobs refused on a full 4 MB disk after {len(accepted)}: 200 of 200 jobs at work"
        " settled meanwhile, 0 lost"
    )


def test_a_disk_without_a_byte_is_an_outage_and_no_more(
    mount: Callable[[str], Path], daemon: Callable[..., Daemon], seen: Callable[[str], None]
) -> None:
    disk = mount("4m")
    path = disk / "jobs.db"
    store = Store(f"sqlite://{path}")
    d = daemon(store.url, MAIL).start()
    ids = store.add("mail", "hold", [f"{n}" for n in range(20)])
    until(lambda: len(d.lines("began")) == 20)
    fill_to_the_last_byte(disk)
    write_until_refused(store)
    d.open_gate()
    assert "the disk is full" in d.wait_for("daemon.degraded")["error"]
    (disk / "ballast").unlink()
    began = time.monotonic()
    until(lambda: store.counts("mail").completed == 20)
    took = time.monotonic() - began
    assert took < BACK
    assert d.tally() == dict.fromkeys(ids, 1)
    assert d.stop() == 0
    assert intact(path)
    seen(
        f"F24 disk full to the last byte: daemon alive, back {took:.2f} s (limit {BACK:g}), 0 lost"
    )


@pytest.mark.parametrize("emptied", ["purged", "pruned"])
def test_jobs_that_are_deleted_make_room_for_new_ones(
    mount: Callable[[str], Path], emptied: str
) -> None:
    """Though the file gets no shorter: the disk has no byte more than before."""
    store = Store(f"sqlite://{mount('64m')}/jobs.db")
    fill = partial(add_until_full, size=10 * SIZE)
    accepted, _ = store.do(fill)

    async def empty(backend: BaseBackend) -> int:
        if emptied == "purged":
            return sum([number async for number in purged(backend)])
        return await end_and_prune(backend)

    assert store.do(empty) == len(accepted)
    again, reason = store.do(fill)
    assert len(again) > 0.8 * len(accepted), "a part of the room is for the jobs that are there"
    assert "the disk is full: expected" in reason


async def purged(backend: BaseBackend) -> AsyncIterator[int]:
    while number := await backend.purge("later", State.WAITING):
        yield number


async def end_and_prune(backend: BaseBackend) -> int:
    claims = await backend.claim("later", 1_000, 60.0, "w")
    await backend.apply("later", [settle(each, Succeeded(), Policy(), 0.0) for each in claims])
    return await backend.prune("later", Retention(keep_completed=0, keep_bytes=0), 1_000)


def fill_to_the_last_byte(disk: Path) -> None:
    with (disk / "ballast").open("ab", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            return


def write_until_refused(store: Store) -> None:
    """Write until SQLite itself, not the reserve, says that it can do no more."""

    async def beat(backend: BaseBackend) -> str:
        for number in range(100_000):
            try:
                await backend.beat(f"w{number}", b"x" * 4_000, 60.0)
            except StoreError as error:
                return str(error)
        raise AssertionError("the disk was never full")

    assert "the disk is full (database or disk is full)" in store.do(beat)
