"""Soak tests: they last for minutes, and so are not part of `make test`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.conftest import place, server, store
from tests.daemon.harness import Daemon
from tests.scale import SCALE

__all__ = ["place", "server", "store"]

collect_ignore_glob = ["test_*.py"] if SCALE == "short" else []


class Silent(Daemon):
    """A daemon whose log nobody keeps: it would be the largest thing here."""

    def launch(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "asyncmqd", "run", "--config", str(self.config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self.environ,
            cwd=self.place,
        )


@pytest.fixture
def silent(place: Path) -> Iterator[Callable[..., Silent]]:
    """Makes daemons that run the application of `steady.py`, started."""
    shutil.copy(Path(__file__).with_name("steady.py"), place)
    made: list[Silent] = []

    def make(backend: str, queues: str, **options: Any) -> Silent:
        daemon = Silent(place, backend, queues, tasks=["steady"], **options)
        made.append(daemon)
        daemon.start(read=False)
        return daemon

    yield make
    for each in made:
        each.kill()
