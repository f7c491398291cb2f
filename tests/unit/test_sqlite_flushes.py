"""Which commits wait until the disk has them: all but those of what a boot of the host ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from asyncmqd.backends.base import Held
from asyncmqd.backends.sqlite import SQLiteBackend
from asyncmqd.backends.sqlite.threads import Request
from asyncmqd.backends.sqlite.transaction import Transaction
from asyncmqd.backends.sqlite.writer import Writer
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.states import State

NORMAL, FULL = 1, 2  # as `PRAGMA synchronous` tells them
HELD = [Held("mail", "1", 1)]
Verb = Callable[[SQLiteBackend], Awaitable[object]]

VOID: dict[str, Verb] = {
    "beat": lambda store: store.beat("w", b"", 60.0),
    "leave": lambda store: store.leave("w"),
    "extend": lambda store: store.extend(HELD, 60.0),
    "extender": lambda store: asyncio.to_thread(store.extender(), HELD, 60.0),  # type: ignore[arg-type]
    "watch": lambda store: store.watch(60.0),
    "publish": lambda store: store.publish([b"{}"]),
}
LASTING: dict[str, Verb] = {
    "add": lambda store: store.add("mail", [NewJob(id="2", payload=b"")]),
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

    monkeypatch.setattr(Transaction, "commit", commit_and_note)
    return found


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteBackend]:
    opened = SQLiteBackend(f"sqlite://{tmp_path / 'jobs.db'}")
    await opened.add("mail", [NewJob(id="1", payload=b"")])
    yield opened
    await opened.close()


@pytest.mark.parametrize("verb", [*VOID, *LASTING])
async def test_only_what_a_boot_ends_does_not_wait_for_the_disk(
    store: SQLiteBackend, modes: list[int], verb: str
) -> None:
    for before in (VOID["beat"], LASTING["turn"]):
        await before(store)
        modes.clear()
        await (VOID | LASTING)[verb](store)
        assert modes == [NORMAL if verb in VOID else FULL]


async def test_what_lasts_takes_the_others_along(
    store: SQLiteBackend, modes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[int] = []
    prepare = Writer.prepare

    def prepare_and_note(self: Writer, group: Sequence[Request]) -> None:
        expected.append(FULL if any(each.flushes for each in group) else NORMAL)
        prepare(self, group)

    monkeypatch.setattr(Writer, "prepare", prepare_and_note)
    modes.clear()
    verbs = [VOID["publish"], LASTING["add"]] * 20
    await asyncio.gather(*(verb(store) for verb in verbs))
    assert len(modes) < len(verbs), "some shared a commit"
    assert modes == expected


async def test_a_store_that_never_waits_for_the_disk_goes_on_so(
    tmp_path: Path, modes: list[int]
) -> None:
    store = SQLiteBackend(f"sqlite://{tmp_path / 'jobs.db'}?synchronous=NORMAL")
    for verb in (LASTING["add"], VOID["beat"], LASTING["add"]):
        await verb(store)
    await store.close()
    assert modes == [NORMAL] * 3
