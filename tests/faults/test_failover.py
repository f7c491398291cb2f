"""A name that leads to another server by now, while the old one keeps its connections.

So do managed services: the old master becomes a replica, and nobody is cut off.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from asyncmqd.backends.redis import RedisBackend
from asyncmqd.domain.job import NewJob
from tests.added import are_new
from tests.daemon.harness import until
from tests.faults.conftest import Scene
from tests.faults.ledger import QUEUE
from tests.faults.proxy import Proxy
from tests.scale import scaled
from tests.servers import RedisServer

BACK_AT_WORK = scaled(15.0, 5.0)  # seconds after the failover; see tests/scale.py


class Service:
    """A master and its replica behind one name."""

    def __init__(self, stack: ExitStack, place: Path, kind: str = "valkey9") -> None:
        self._stack = stack
        self._place = place
        self._kind = kind
        self.master = self._start("m")
        self.name = stack.enter_context(Proxy(self.master.port))
        self.replica = self._start("r", replicaof=f"127.0.0.1 {self.master.port}")

    def _start(self, name: str, **options: str) -> RedisServer:
        (self._place / name).mkdir()
        options |= {"repl-diskless-sync-delay": "0"}
        server = RedisServer(self._kind, self._place / name, tcp=True, options=options)
        return self._stack.enter_context(server)

    def fail_over(self) -> None:
        """From now on the name leads to the other one. What was open stays open."""
        with self.master.client() as old, self.replica.client() as new:
            until(lambda: new.info("replication")["master_link_status"] == "up")
            until(lambda: old.wait(1, 1_000) == 1)
            new.replicaof("NO", "ONE")
            self.name.target = self.replica.port
            old.replicaof("127.0.0.1", str(self.replica.port))


@pytest.fixture(params=["valkey9", "redis6"])
def service(request: pytest.FixtureRequest, place: Path) -> Iterator[Service]:
    with ExitStack() as stack:
        yield Service(stack, place, request.param)


@pytest.fixture
async def application(service: Service) -> AsyncIterator[RedisBackend]:
    """One that was connected before."""
    store = RedisBackend(service.name.url)
    await store.add(QUEUE, [NewJob(id="before", payload=b"{}")])
    yield store
    await store.close()


@pytest.mark.row("F18", "a name that leads to another server: a connected application")
async def test_a_connected_application_goes_on(service: Service, application: RedisBackend):
    """Not one call fails: what was refused is sent once more, to where the name leads by now."""
    service.fail_over()
    job = [NewJob(id="after", payload=b"{}")]
    assert are_new(await application.add(QUEUE, job)) == [True]
    with service.replica.client() as client:
        assert client.exists(f"asyncmq:{{{QUEUE}}}:job:after")


@pytest.mark.row("F18", "a name that leads to another server: an idle daemon")
def test_an_idle_daemon_goes_on(service: Service, place: Path, figure):
    """It has nothing to write, and hears of nothing from the old server."""
    with closing(Scene(place, service.replica.tcp_url)) as scene:
        daemon = scene.daemon(url=service.name.url).start()
        with service.master.client() as client:
            until(lambda: client.hlen("asyncmq:workers"))  # its first heartbeat
        service.fail_over()
        began = time.monotonic()
        scene.store.add(QUEUE, "mark", ["a"])
        daemon.wait_for("job.completed")
        took = time.monotonic() - began
        assert took < BACK_AT_WORK
        figure(f"a new job was run after {took:.2f} s (at most {BACK_AT_WORK:g})")
