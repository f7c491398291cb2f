"""The stores that the contract suite holds together: every test here runs on each of them.

No test may skip a store or ask which one it has. A server that does not start is a failure.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.factory import open_backend
from asyncmqd.backends.memory import forget
from tests.scale import scaled
from tests.servers import KINDS, PASSWORD, USER, USUAL, RedisServer, documented_user

STORES = ("memory", "sqlite", *KINDS)
# In `make test` two servers: the oldest, and the one that most people have. What the suite begins
# and ends with, and the random commands, have all of them; so has `make test-full`.
USUALLY = scaled(("memory", "sqlite", "redis6", USUAL), STORES)
ON_ALL_STORES = pytest.mark.parametrize("store_url", STORES, indirect=True)

Opener = Callable[[], Awaitable[BaseBackend]]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], RedisServer]]:
    """Starts the server of a kind at its first use, once in each test process."""
    running: dict[str, RedisServer] = {}

    def started(kind: str) -> RedisServer:
        if kind not in running:
            running[kind] = RedisServer(kind, tmp_path_factory.mktemp(kind)).start()
            documented_user(running[kind])
        return running[kind]

    yield started
    for each in running.values():
        each.kill()


@pytest.fixture(params=USUALLY)
def store_url(
    request: pytest.FixtureRequest, tmp_path: Path, server: Callable[[str], RedisServer]
) -> Iterator[str]:
    """The URL of an empty store."""
    if request.param == "memory":
        url = f"memory://{uuid4()}"
        yield url
        forget([url])
    elif request.param == "sqlite":
        yield f"sqlite://{tmp_path}/jobs.db"
    else:
        redis = server(request.param)
        redis.flush()
        yield redis.url.replace("://", f"://{USER}:{PASSWORD}@")


@pytest.fixture
async def open_store(store_url: str) -> AsyncIterator[Opener]:
    """Opens one more instance of the same store, as another process would."""
    instances: list[BaseBackend] = []

    async def opened() -> BaseBackend:
        instances.append(open_backend(store_url))
        await instances[-1].connect()
        return instances[-1]

    yield opened
    for each in instances:
        await each.close()


@pytest.fixture
async def backend(open_store: Opener) -> BaseBackend:
    """The store under test."""
    return await open_store()
