"""Processes of this release and of the next, on stores of every kind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyncmqd.backends.redis import scripts
from tests.contract.conftest import server as server  # noqa: PLC0414 - a fixture is found by name
from tests.daemon.conftest import daemon as daemon  # noqa: PLC0414
from tests.daemon.conftest import place as place  # noqa: PLC0414
from tests.stores.next_release import install

ROOT = Path(__file__).parents[2]
NEXT_RELEASE = "from tests.stores.next_release import install\ninstall()\n"
MIGRATE = f"{NEXT_RELEASE}from asyncmqd.cli.asyncmq import main\nmain()"


@pytest.fixture
def next_release(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process is one of the next release, until the end of the test."""
    install(monkeypatch.setattr)
    yield
    scripts._sha.cache_clear()


@pytest.fixture
def migrate() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `asyncmq store migrate` of the next release; `hold` is a file made in its middle."""
    running: list[subprocess.Popen[str]] = []

    def start(url: str, hold: Path | None = None) -> subprocess.Popen[str]:
        environ = {**os.environ, **({"MIGRATION_HOLD": str(hold)} if hold else {})}
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", MIGRATE, "--backend", url, "store", "migrate"],
                cwd=ROOT,
                env=environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return running[-1]

    yield start
    for each in running:
        each.kill()
        each.communicate()


@pytest.fixture
def as_next_release(place: Path) -> str:
    """The name of a task module that makes a daemon one of the next release."""
    (place / "later.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{NEXT_RELEASE}"
    )
    return "later"


@pytest.fixture
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of 4 MB of the test's own."""
    disk = place / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)
