"""What the tests of bad disks share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.conftest import daemon as daemon  # noqa: PLC0414 - a fixture is found by name
from tests.daemon.conftest import place as place  # noqa: PLC0414


@pytest.fixture
def mount(place: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of the given size, which goes with the test."""
    mounted: list[Path] = []

    def make(size: str) -> Path:
        disk = place / f"disk{len(mounted)}"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=True)
        mounted.append(disk)
        return disk

    yield make
    for disk in mounted:
        subprocess.run(["umount", "--lazy", disk], check=True)
