"""F24: a disk that does not take what was written, once. Linux tells that to each descriptor once.

The disk is memory (zram) that may hold no more than it does. A copy of it is what a loss of power
would leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from asyncmqd.backends.base import BaseBackend, StoreError, StoreUncertain
from asyncmqd.backends.sqlite import SQLiteBackend
from asyncmqd.domain import clock
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.states import State
from tests.daemon.harness import until

ZRAM = Path("/sys/class/zram-control")  # tests/conftest.py leaves these out where it is missing
SIZE = 64 << 20  # bytes

pytestmark = [pytest.mark.mounts, pytest.mark.zram]


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Disk:
    """A file system, and what it does when it is asked to."""

    def __init__(self, number: str, at: Path) -> None:
        self._device = Path(f"/dev/zram{number}")
        self._settings = Path(f"/sys/block/zram{number}")
        self.at = at
        (self._settings / "disksize").write_text(str(SIZE))
        # A journal that is not taken would make the file system read-only.
        run("mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "^has_journal", self._device)
        at.mkdir()
        run("mount", self._device, at)

    def take_no_more(self) -> None:
        run("sync", "-f", self.at)
        (self._settings / "mem_limit").write_text("4096")

    def take_all(self) -> None:
        (self._settings / "mem_limit").write_text("0")

    def copy(self, to: Path) -> None:
        """What it has: by no cache."""
        command = ("dd", f"if={self._device}", f"of={to}", "bs=1M", "iflag=direct")
        subprocess.run(command, check=False, capture_output=True)  # told of what failed before
        run(*command)
        subprocess.run(["e2fsck", "-fy", to], check=False, capture_output=True)


@pytest.fixture
def disk(place: Path) -> Iterator[Disk]:
    number = (ZRAM / "hot_add").read_text().strip()
    made = Disk(number, place / "disk")
    yield made
    made.take_all()
    run("umount", "--lazy", made.at)  # what a failed test left open is closed a moment later
    until(lambda: _is_removed(number), 5.0)


def _is_removed(number: str) -> bool:
    with contextlib.suppress(OSError):
        (ZRAM / "hot_remove").write_text(number)
        return True
    return False


@pytest.fixture
def after_power_loss(disk: Disk, place: Path) -> Iterator[Callable[[], Path]]:
    """Where the files are that the disk has."""
    mounted: list[Path] = []

    def cut() -> Path:
        at = place / f"after{len(mounted)}"
        at.mkdir()
        disk.copy(at.with_suffix(".image"))
        run("mount", "-o", "loop", at.with_suffix(".image"), at)
        mounted.append(at)
        return at

    yield cut
    for each in mounted:
        run("umount", "--lazy", each)


async def add(store: BaseBackend, id: str, payload: bytes = b"") -> None:
    await store.add("mail", [NewJob(id=id, payload=payload)])


async def until_stored(store: BaseBackend, id: str) -> None:
    """It is tried again a second after the last try."""
    while True:
        with contextlib.suppress(StoreError):
            return await add(store, id)
        await asyncio.sleep(0.05)


async def waiting(path: Path) -> set[str]:
    store = SQLiteBackend(f"sqlite://{path}")
    ids = {each.id for each in await store.list("mail", State.WAITING, limit=1_000)}
    await store.close()
    return ids


@pytest.fixture
async def stores(disk: Disk) -> AsyncIterator[list[SQLiteBackend]]:
    """Two with clocks of their own, so with threads of their own: as in two processes."""
    url = f"sqlite://{disk.at / 'jobs.db'}"
    opened = [SQLiteBackend(url, now=partial(clock.wall)) for _ in range(2)]
    yield opened
    for each in opened:
        await each.close()


async def test_what_is_answered_after_a_failed_flush_is_on_the_disk(
    disk: Disk,
    stores: list[SQLiteBackend],
    after_power_loss: Callable[[], Path],
    seen: Callable[[str], None],
) -> None:
    one, two = stores
    await add(one, "before")
    await add(two, "of another")
    disk.take_no_more()
    with pytest.raises(StoreUncertain, match="the disk failed"):
        await add(one, "unsure", os.urandom(200_000))
    for store in stores:
        with pytest.raises(StoreError, match="goes on failing") as refused:
            await add(store, "refused")
        assert not isinstance(refused.value, StoreUncertain)
    disk.take_all()
    assert await waiting(after_power_loss() / "jobs.db") == {"before", "of another"}
    await until_stored(two, "after")
    await until_stored(one, "later")
    there = await waiting(after_power_loss() / "jobs.db")
    assert there == {"before", "of another", "unsure", "after", "later"}
    assert not (disk.at / "jobs.db-unflushed").exists()
    seen("F24 a flush that failed once: all that was answered after it is on the disk")
