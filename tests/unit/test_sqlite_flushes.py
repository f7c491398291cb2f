"""Which commits wait until the disk has them: all but those of what a boot of the host ends.

New jobs are seen by others before that, and answered after it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from asyncmqd.backends.base import Held, StoreError, StoreUncertain
from asyncmqd.backends.sqlite import SQLiteBackend, file, pruning, rows
from asyncmqd.backends.sqlite.threads import Request
from asyncmqd.backends.sqlite.transaction import Transaction
from asyncmqd.backends.sqlite.writer import Writer
from asyncmqd.domain import clock
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.settle import Policy, Retention, Succeeded, settle
from asyncmqd.domain.states import State
from tests.eventually import LIMIT

NORMAL, FULL = 1, 2  # as `PRAGMA synchronous` tells them
AFTER = 3  # NORMAL, and flushed once it is committed
HELD = [Held("mail", "1", 1)]
Verb = Callable[[SQLiteBackend], Awaitable[object]]

VOID: dict[str, Verb] = {
    "beat": lambda store: store.beat("w", b"", 60.0),
    "leave": lambda store: store.leave("w"),
    "extend": lambda store: store.extend(HELD, 60.0),
    "extender": lambda store: asyncio.to_thread(store.extender(), HELD, 60.0),  # type: ignore[arg-type]
    "watch": lambda store: store.watch(60.0),
    "publish": lambda store: store.publish([b"{}"]),
    "prune": lambda store: store.prune("mail", Retention(keep_completed=0)),
}
ADDING: dict[str, Verb] = {
    "add": lambda store: store.add("mail", [NewJob(id="2", payload=b"")]),
    "add nothing new": lambda store: store.add("mail", [NewJob(id="1", payload=b"")]),
}
LASTING: dict[str, Verb] = {
    "turn": lambda store: store.turn("mail", [], 1, 60.0, "w"),
    "purge": lambda store: store.purge("mail", State.WAITING),
    "pause": lambda store: store.pause("mail", True),
    "declare": lambda store: store.declare("mail", {"nightly": b""}, True),
    "note": lambda store: store.note({}, over=False),
}


@pytest.fixture
def modes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How each transaction was committed."""
    found: list[int] = []
    commit = Transaction.commit

    def commit_and_note(self: Transaction) -> None:
        found.append(self.execute("PRAGMA synchronous").fetchone()[0])
        commit(self)

    flush = Writer._flush

    def flush_and_note(self: Writer) -> None:
        assert found.pop() == NORMAL
        found.append(AFTER)
        flush(self)

    monkeypatch.setattr(Transaction, "commit", commit_and_note)
    monkeypatch.setattr(Writer, "_flush", flush_and_note)
    return found


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteBackend]:
    opened = SQLiteBackend(f"sqlite://{tmp_path / 'jobs.db'}")
    await opened.add("mail", [NewJob(id="1", payload=b"")])
    yield opened
    await opened.close()


@pytest.mark.parametrize("verb", [*VOID, *ADDING, *LASTING])
async def test_only_what_a_boot_ends_does_not_wait_for_the_disk(
    store: SQLiteBackend, modes: list[int], verb: str
) -> None:
    for before in (VOID["beat"], LASTING["turn"]):
        await before(store)
        modes.clear()
        await (VOID | ADDING | LASTING)[verb](store)
        assert modes == [NORMAL if verb in VOID else AFTER if verb in ADDING else FULL]


async def test_ended_jobs_are_deleted_in_parts_between_which_others_may_write(
    store: SQLiteBackend, modes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "PART", 100)
    await store.add("mail", [NewJob(id=f"new-{number}", payload=b"") for number in range(249)])
    claims = (await store.turn("mail", [], 250, 60.0, "w")).claims
    changes = [settle(claim, Succeeded(), Policy(), 0.0) for claim in claims]
    await store.turn("mail", changes, 0, 60.0, "w")
    modes.clear()
    assert await store.prune("mail", Retention(keep_completed=0), 220) == 220
    assert modes == [NORMAL] * 3
    assert await store.prune("mail", Retention(keep_completed=0)) == 30


async def test_of_large_jobs_fewer_are_deleted_at_once(
    store: SQLiteBackend, modes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pages of a large one are read to be freed, while others wait."""
    monkeypatch.setattr(rows, "PART_BYTES", 5_000)
    for queue in ("mail", "post"):
        jobs = [NewJob(id=f"{number}", payload=bytes(2_000)) for number in range(10)]
        await store.add(queue, [*jobs, NewJob(id="large", payload=bytes(50_000))])
    claims = (await store.turn("mail", [], 11, 60.0, "w")).claims
    ended = [settle(claim, Succeeded(), Policy(), 0.0) for claim in claims]
    await store.turn("mail", ended, 0, 60.0, "w")
    modes.clear()
    assert await store.prune("mail", Retention(keep_completed=0, keep_bytes=0)) == 11
    assert modes == [NORMAL] * 4
    purged = [await store.purge("post", State.WAITING) for _ in range(5)]
    assert purged == [3, 3, 3, 2, 0]


async def test_what_lasts_takes_the_others_along(
    store: SQLiteBackend, modes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[int] = []
    prepare = Writer.prepare

    def prepare_and_note(self: Writer, group: Sequence[Request]) -> None:
        lasting = [each for each in group if each.flushes]
        after = AFTER if all(each.early for each in lasting) else FULL
        expected.append(after if lasting else NORMAL)
        prepare(self, group)

    monkeypatch.setattr(Writer, "prepare", prepare_and_note)
    modes.clear()
    verbs = [VOID["publish"], ADDING["add"], LASTING["turn"], VOID["publish"], ADDING["add"]] * 20
    await asyncio.gather(*(verb(store) for verb in verbs))
    assert len(modes) < len(verbs), "some shared a commit"
    assert modes == expected


async def test_a_store_that_never_waits_for_the_disk_goes_on_so(
    tmp_path: Path, modes: list[int]
) -> None:
    store = SQLiteBackend(f"sqlite://{tmp_path / 'jobs.db'}?synchronous=NORMAL")
    for verb in (ADDING["add"], VOID["beat"], LASTING["turn"]):
        await verb(store)
    await store.close()
    assert modes == [NORMAL] * 3


async def test_a_new_job_is_claimed_before_the_disk_has_it_and_answered_after(
    store: SQLiteBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda _: flushed.wait())
    url = f"sqlite://{tmp_path / 'jobs.db'}"
    other = SQLiteBackend(url, now=partial(clock.wall))  # another clock: threads of its own
    await other.turn("mail", [], 1, 60.0, "w")
    await other.wait(["mail"], 0.0)
    asleep = asyncio.create_task(other.wait(["mail"], LIMIT))
    adding = asyncio.create_task(store.add("mail", [NewJob(id="2", payload=b"")]))
    assert await asleep == {"mail"}
    claimed = await other.turn("mail", [], 1, 60.0, "w")
    assert [each.id for each in claimed.claims] == ["2"], "by a flush of SQLite's own"
    assert not adding.done()
    flushed.set()
    assert [each.id for each in await adding] == ["2"]
    await other.close()


async def test_whether_a_job_is_stored_whose_log_was_removed_in_the_flush_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that has the same log open may have it."""
    path = tmp_path / "jobs.db"
    monkeypatch.setattr(file, "_torn", {})
    monkeypatch.setattr(os, "fdatasync", lambda _: path.with_name("jobs.db-wal").unlink())
    store = SQLiteBackend(f"sqlite://{path}")
    with pytest.raises(StoreUncertain, match="restart every process"):
        await store.add("mail", [NewJob(id="2", payload=b"")])
    with pytest.raises(StoreError, match="restart every process") as later:
        await store.add("mail", [NewJob(id="3", payload=b"")])
    assert not isinstance(later.value, StoreUncertain)
    await store.close()


async def test_whether_a_job_is_stored_that_the_disk_did_not_take_is_not_known(
    store: SQLiteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(StoreUncertain, match="the disk failed"):
        await store.add("mail", [NewJob(id="2", payload=b"")])
