"""Daemons under test: each with a directory of its own, on a store of its own, and none left."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.harness import Daemon, Store
from tests.faults.forked import ForkedDaemon
from tests.scale import scaled
from tests.servers import RedisServer

STORES = ("sqlite", "valkey9")


def mostly_on(kind: str) -> pytest.MarkDecorator:
    """Not on all stores in `make test`, for what is the same on each; `make test-full` has all."""
    return pytest.mark.parametrize("store", scaled((kind,), STORES), indirect=True)


# Tests of what a daemon does once it runs: how Python comes to run it is tested by the others.
FORKED = {
    f"tests.daemon.test_{name}"
    for name in (
        "advice",
        "api",
        "beside",
        "causes",
        "concealed_configuration",
        "configuration",
        "control",
        "dashboard",
        "dashboard_abuse",
        "duties",
        "enqueue_by_name",
        "event_streams",
        "events",
        "forks",
        "job_logs",
        "http",
        "life",
        "log",
        "log_setups",
        "max_concurrency",
        "monitor",
        "notify",
        "owners",
        "plan",
        "processes",
        "processes_deaths",
        "processes_reload",
        "recovery",
        "reload",
        "shared_limits",
        "shortage",
        "traces",
        "waking",
        "webhooks",
    )
} | {"tests.disk.test_trouble", "tests.security.test_control", "tests.stores.test_migrating"}


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a path short enough for sockets."""
    directory = Path(tempfile.mkdtemp(prefix="amq"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def server(place: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, that may be ended and started again."""
    directory = place / "redis"
    directory.mkdir()
    with RedisServer("valkey9", directory) as running:
        yield running


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, place: Path) -> Store:
    """An empty store that several processes can share."""
    if request.param == "sqlite":
        return Store(f"sqlite://{place}/jobs.db")
    return Store(request.getfixturevalue("server").url)


@pytest.fixture
def file(place: Path) -> Store:
    """A store for tests that do not differ by the store."""
    return Store(f"sqlite://{place}/jobs.db")


@pytest.fixture
def daemon(request: pytest.FixtureRequest, place: Path) -> Iterator[Callable[..., Daemon]]:
    """Makes daemons; those that still run at the end of the test are killed."""
    made: list[Daemon] = []
    usual = ForkedDaemon if request.module.__name__ in FORKED else Daemon

    def make(backend: str, queues: str, **options: Any) -> Daemon:
        kind = Daemon if "command" in options else usual
        made.append(kind(place, backend, queues, **options))
        return made[-1]

    yield make
    for each in made:
        each.kill()
