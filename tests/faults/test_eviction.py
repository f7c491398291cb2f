"""A Redis that may delete jobs to make room: refused at first, told when it becomes one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncmqd.backends.base import StoreRefused
from tests.daemon.harness import until
from tests.faults.conftest import Scene
from tests.faults.ledger import QUEUE, read, records_of
from tests.scale import scaled
from tests.servers import RedisServer

JOBS = scaled(4_000, 20_000)
EVICTED, ROOM = 20_000, 2_000  # jobs, and kilobytes for less than half of them
QUICK = "from asyncmqd.runtime.process import presence\n\npresence.BEAT = 0.2\n"


@pytest.fixture
def server(place: Path) -> Iterator[RedisServer]:
    directory = place / "redis"
    directory.mkdir()
    with RedisServer("valkey9", directory) as running:
        yield running


def limit(server: RedisServer, policy: str, room: int = 100_000) -> None:
    """Let it take so many kilobytes more than it has taken, and delete by that policy."""
    with server.client() as client:
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory-policy", policy)
        client.config_set("maxmemory", used + room * 1_024)


def allowed(scene: Scene) -> str:
    """The URL for those who do not mind."""
    return f"{scene.store.url}?allow_eviction=true"


@pytest.mark.row("F17", "Redis may evict jobs from the start")
def test_refused(redis_scene: Scene, server: RedisServer, figure):
    scene = redis_scene
    limit(server, "allkeys-lru")
    daemon = scene.daemon().start(ready=False)
    assert daemon.wait() == 1
    (failed,) = daemon.all("daemon.failed")
    assert "maxmemory-policy is allkeys-lru" in failed["error"]
    with pytest.raises(StoreRefused, match="allkeys-lru"):
        scene.store.counts(QUEUE)
    scene.enqueue(1)
    until(lambda: read(scene.notes, "refused"))
    assert not read(scene.notes, "accepted")
    limit(server, "volatile-lru")  # it spares what has no time to live
    scene.enqueued()
    daemon.start()
    scene.until_quiet()
    scene.verdict().check()
    figure("daemon and producers refused, until the policy spared jobs; lost 0")


@pytest.mark.row("F17", "Redis may evict jobs all of a sudden")
def test_told(redis_scene: Scene, server: RedisServer, figure):
    """Nobody stops work for it, but whoever looks is told."""
    scene = redis_scene
    (scene.place / "quick.py").write_text(QUICK)
    daemon = scene.daemon(tasks=["quick", "ledger"]).start()
    assert scene.store.counts(QUEUE).waiting == 0  # it is connected now, and goes on
    limit(server, "allkeys-lfu")
    degraded = daemon.wait_for("daemon.degraded")
    assert "maxmemory-policy is allkeys-lfu" in degraded["error"]
    store = daemon.ask("status")["store"]
    assert (store["healthy"], store["error"]) == (False, degraded["error"])
    scene.enqueue(JOBS, url=allowed(scene))
    scene.enqueued()
    scene.until_quiet()
    limit(server, "noeviction")
    daemon.wait_for("daemon.recovered")
    assert daemon.ask("status")["store"]["healthy"]
    scene.verdict().check()
    assert len(daemon.all("daemon.degraded")) == 1
    figure(f"told once, and once that it is over; {JOBS} jobs went on")


@pytest.mark.row("F17", "Redis evicts jobs, which the URL allows")
def test_evicted(redis_scene: Scene, server: RedisServer, figure):
    """What is left of them ends, and the next jobs run."""
    scene = redis_scene
    url = allowed(scene)
    daemon = scene.daemon(queue="concurrency = 10\n", top="lease = 1\n", url=url).start()
    assert scene.store.counts(QUEUE).waiting == 0  # who is connected goes on, too
    limit(server, "allkeys-random", ROOM)
    ids = scene.enqueue(EVICTED, url=url)
    scene.enqueued()
    limit(server, "noeviction")  # when nothing is left to delete, the server refuses, too
    scene.until_quiet()
    after = scene.enqueue(20, prefix="after")
    until(lambda: {each.id for each in records_of(scene.store, after) if each.finished} == {*after})
    assert daemon.stop() == 0
    assert not daemon.all("queue.crashed")
    assert not daemon.all("scanner.crashed")
    ran = daemon.tally()
    assert ran.keys() >= {*after}
    lost = {*ids} - ran.keys()
    assert lost, "the fault was not injected"
    failed = {each["job_id"] for each in daemon.all("job.failed")}
    figure(
        f"of {len(ids)} jobs {len(lost)} lost (no limit), {len(lost & failed)} of them reported;"
        " those that came later all ran"
    )
