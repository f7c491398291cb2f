"""What every fault test has: a place, a store, forked daemons on it, producers, a verdict."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.backends.factory import open_backend
from tests.daemon.conftest import place, server, store
from tests.daemon.harness import Answer, Store, until
from tests.faults.forked import ForkedDaemon, ended, fork
from tests.faults.ledger import QUEUE, Order, Verdict, judge, produce
from tests.faults.strikes import STRUCK
from tests.scale import SCALE, scaled
from tests.servers import RedisServer

__all__ = ["place", "server", "store"]

# Of Debian's package libfaketime. Without it a server's clock cannot be stepped alone.
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
ONLY_FULL = ["test_lateness.py"] if SCALE == "short" else []
collect_ignore = ONLY_FULL + (
    ["test_clock.py"] if SCALE == "short" or not FAKETIME.exists() else []
)

KEEP = "keep_completed = 1_000_000\n"  # the verdict asks for all of them


class OpenStore(Store):
    """A test's own look at the store, which stays open: it looks often."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._runner = asyncio.Runner()
        self._backend = open_backend(url)

    def do(self, work: Callable[[BaseBackend], Awaitable[Answer]]) -> Answer:
        async def whole() -> Answer:
            return await work(self._backend)

        try:
            return self._runner.run(whole())
        except StoreError:  # its loop stood still, so that it has not seen a restart
            return self._runner.run(whole())

    def close(self) -> None:
        self._runner.run(self._backend.close())
        self._runner.close()


class Scene:
    """Daemons and producers of one test on one store."""

    def __init__(self, place: Path, url: str, server: RedisServer | None = None) -> None:
        self.place = place
        self.server = server
        self.store = OpenStore(url)
        self.notes = place / "notes"
        self.daemons: list[ForkedDaemon] = []
        self._producers: list[Any] = []
        self._read_to = 0
        self._words: Counter[bytes] = Counter()

    def daemon(
        self, name: str = "d", queue: str = "concurrency = 50\n", **options: Any
    ) -> ForkedDaemon:
        """A daemon that serves the queue, not started yet."""
        url = options.pop("url", self.store.url)
        queues = f"[queues.{QUEUE}]\n{KEEP}{queue}"
        made = ForkedDaemon(self.place, url, queues, name=name, **options)
        self.daemons.append(made)
        return made

    def armed(self, step: str, action: str = "die", **options: Any) -> ForkedDaemon:
        """A daemon that is struck once at that step: whoever reaches it first."""
        (self.place / STRUCK).unlink(missing_ok=True)
        (self.place / f"at_{step}.py").write_text(
            f"from tests.faults import strikes\nstrikes.arm_once('{step}', strikes.{action})\n"
        )
        return self.daemon(tasks=[f"at_{step}", "ledger"], **options)

    def enqueue(self, count: int, prefix: str = "j", **order: Any) -> list[str]:
        """Begin to enqueue so many jobs, from a process of its own; their ids."""
        ids = [f"{prefix}{number}" for number in range(count)]
        url = order.pop("url", self.store.url)
        self._producers.append(fork(produce, Order(url, str(self.notes), ids, **order)))
        return ids

    def ran(self, word: bytes = b"ran") -> int:
        """How many runs have written this word so far; reads only what is new."""
        with (self.place / "ledger").open("rb") as ledger:
            ledger.seek(self._read_to)
            lines = ledger.read().splitlines(keepends=True)
        for line in lines:
            if line.endswith(b"\n"):
                self._read_to += len(line)
                self._words[line.split(b" ", 1)[0]] += 1
        return self._words[word]

    def until_ran(self, count: int, limit: float = 60.0) -> None:
        """Wait for so many runs."""
        until(lambda: self.ran() >= count, limit)

    def until_quiet(self, limit: float = 60.0) -> None:
        """Wait until the queue holds no job that is still to run."""
        until(self.is_quiet, limit)

    def is_quiet(self) -> bool:
        """Whether it holds none."""
        counts = self.store.counts(QUEUE)
        return not counts.waiting + counts.delayed + counts.active

    def enqueued(self) -> None:
        """Wait until the producers have done their work."""
        for each in self._producers:
            assert ended(each, scaled(60, 600)) == 0

    def verdict(self, *, stop: bool = True, end: str = "completed") -> Verdict:
        """Stop the daemons in order, and judge."""
        for each in self.daemons if stop else ():
            if each.process.poll() is None:
                assert each.stop() == 0
        return judge(self.notes, self.daemons, self.store, end)

    def close(self) -> None:
        for each in self.daemons:
            each.kill()
        for process in self._producers:
            process.kill()
        self.store.close()


@pytest.fixture
def scene(request: pytest.FixtureRequest, place: Path, store: Store) -> Iterator[Scene]:
    """On SQLite and on a Redis server."""
    on_redis = store.url.startswith("unix")
    made = Scene(place, store.url, request.getfixturevalue("server") if on_redis else None)
    yield made
    made.close()


@pytest.fixture
def redis_scene(place: Path, server: RedisServer) -> Iterator[Scene]:
    """On the Redis `server`, which the test may hurt."""
    made = Scene(place, server.url, server)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _row(
    request: pytest.FixtureRequest, record_property: Callable[[str, Any], None]
) -> Iterator[None]:
    """Name the row before the test begins, so that a failure is told as one of it."""
    marker = request.node.get_closest_marker("row")
    if marker is not None:
        id, fault = marker.args
        variant = getattr(getattr(request.node, "callspec", None), "id", "redis")
        record_property("row", f"{id} {variant} {fault}")
    return


@pytest.fixture
def figure(record_property: Callable[[str, Any], None]) -> Callable[[str], None]:
    """Says how often the fault was injected, what was measured and what the limit is."""
    return lambda text: record_property("figure", text)
