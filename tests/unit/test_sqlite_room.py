"""How often the disk is looked at for new jobs, and that a full one is noticed."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from asyncmqd.backends.base import StoreError
from asyncmqd.backends.sqlite.free_disk_space import Extent, Room
from asyncmqd.domain import clock

GIB, MIB = 1 << 30, 1 << 20
LENGTH = 40_960  # bytes of the database


class Disk:
    """A disk of a TiB, of which so much is free, at a time that stands still."""

    def __init__(self) -> None:
        self.free = 100 * GIB
        self.looks = 0
        self.time = 1_000.0

    def status(self, _path: Path) -> SimpleNamespace:
        self.looks += 1
        return SimpleNamespace(f_blocks=1 << 40, f_frsize=1, f_bavail=self.free)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(os, "statvfs", disk.status)
    monkeypatch.setattr(clock, "monotonic", lambda: disk.time)
    return disk


@pytest.fixture
def room(tmp_path: Path, disk: Disk) -> Room:
    (tmp_path / "jobs.db-wal").touch()
    return Room(tmp_path / "jobs.db")


def test_where_there_is_plenty_it_is_looked_at_once_in_a_while(room: Room, disk: Disk) -> None:
    for _ in range(100):
        room.check(100)
    assert disk.looks == 1
    disk.time += 0.2
    room.check(100)
    assert disk.looks == 2


def test_many_bytes_are_looked_at_sooner(room: Room, disk: Disk) -> None:
    for _ in range(4):
        room.check(MIB // 2)
    assert disk.looks == 2
    disk.free = 0
    with pytest.raises(StoreError, match="the disk is full"):
        room.check(MIB + 1)


@pytest.mark.parametrize("free", [GIB, 33 * MIB])
def test_where_there_is_little_it_is_looked_at_each_time(room: Room, disk: Disk, free: int) -> None:
    disk.free = free
    room.check(100)
    disk.free = 0
    with pytest.raises(StoreError, match="the disk is full"):
        room.check(100)
    disk.free = free
    room.check(100)
    assert disk.looks == 3


def test_a_disk_that_cannot_be_asked_is_asked_again(room: Room, disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "jobs.db-wal").unlink()
    room.check(100)
    room.check(100)
    assert disk.looks == 2


def test_what_was_deleted_from_the_file_is_room_in_it(
    room: Room, disk: Disk, tmp_path: Path
) -> None:
    """The file keeps its length. Who deletes all jobs of a full disk has made room nevertheless."""
    (tmp_path / "jobs.db").write_bytes(bytes(LENGTH))
    disk.free = 33 * MIB
    with pytest.raises(StoreError, match="the disk is full"):
        room.check(MIB)
    room.check(MIB, Extent(LENGTH, MIB))
    too_few = Extent(LENGTH, MIB - 1), Extent(0, MIB - 1), Extent(LENGTH + 1, MIB)  # in the log
    for extent in too_few:
        with pytest.raises(StoreError, match="the disk is full"):
            room.check(MIB, extent)
    disk.free = 17 * MIB  # for the log
    room.check(MIB, Extent(LENGTH, GIB))
    disk.free -= 1
    with pytest.raises(StoreError, match="the disk is full"):
        room.check(MIB, Extent(LENGTH, GIB))


def test_a_log_that_is_in_the_file_takes_no_room_again(
    room: Room, disk: Disk, tmp_path: Path
) -> None:
    (tmp_path / "jobs.db").write_bytes(bytes(LENGTH))
    (tmp_path / "jobs.db-wal").write_bytes(bytes(4 * MIB))
    disk.free = 34 * MIB
    with pytest.raises(StoreError, match="the disk is full"):
        room.check(MIB)
    room.check(MIB, Extent(LENGTH, 0))
