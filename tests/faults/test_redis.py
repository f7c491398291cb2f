"""Redis that dies, stalls, refuses, forgets, cuts its clients off and loses what it had."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.harness import until
from tests.faults.conftest import Scene
from tests.faults.ledger import QUEUE, read
from tests.scale import scaled
from tests.servers import RedisServer

LEASE = 1.0
TOP = f"lease = {LEASE:g}"
SLOTS = 10
QUEUE_OPTIONS = f"concurrency = {SLOTS}\n"
JOBS = scaled(150, 3_000)
ROUNDS = scaled(1, 10)
BACK_AT_WORK = scaled(9.0, 3.0)  # seconds after the server is back; see tests/scale.py
LOG_LINES = 20  # that an outage may cost, beside those of jobs


@pytest.fixture
def server(place: Path) -> Iterator[RedisServer]:
    """One that keeps all it has acknowledged, also when it is killed."""
    directory = place / "redis"
    directory.mkdir()
    with RedisServer("valkey9", directory, tcp=True, appendonly=True) as running:
        yield running


class Outage:
    """What is done to the server, and the moment at which it is over."""

    doubled = SLOTS * 2  # jobs under way in both daemons
    noticed: bool | None = True  # somebody could not do what he wanted to; None: by chance

    def __init__(self, server: RedisServer) -> None:
        self.server = server

    def inject(self) -> None:
        raise NotImplementedError


class Killed(Outage):
    def inject(self) -> None:
        self.server.restart()


class Stalled(Outage):
    """DEBUG SLEEP in effect: nothing is answered, and all leases are over when it wakes."""

    noticed = False

    def inject(self) -> None:
        self.server.freeze()
        time.sleep(scaled(1.5, 3) * LEASE)  # the time is what is tested
        self.server.thaw()


class Paused(Outage):
    noticed = False  # shorter than the time that is given to an answer

    def inject(self) -> None:
        with self.server.client() as client:
            client.client_pause(round(1_200 * LEASE), all=True)
            client.ping()  # answered when it is over


class CutOff(Outage):
    doubled = 0
    noticed = None  # who has no call under way just then connects anew

    def inject(self) -> None:
        with self.server.client() as client:
            for _ in range(scaled(5, 20)):
                client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                time.sleep(0.05)  # the rate is what is tested


class Forgetful(Outage):
    doubled = 0
    noticed = False

    def inject(self) -> None:
        with self.server.client() as client:
            for _ in range(scaled(10, 40)):
                client.script_flush()
                time.sleep(0.02)  # the rate is what is tested


class Full(Outage):
    def inject(self) -> None:
        with self.server.client() as client:
            client.config_set("maxmemory", "1kb")
            time.sleep(scaled(0.5, 10.0))  # the time is what is tested
            client.config_set("maxmemory", "0")


class ReadOnly(Outage):
    def inject(self) -> None:
        with self.server.client() as client:
            client.replicaof("127.0.0.1", "1")  # nobody is there
            time.sleep(scaled(0.5, 5.0))  # the time is what is tested
            client.replicaof("NO", "ONE")


ROWS: list[tuple[str, str, Callable[[RedisServer], Outage]]] = [
    ("F10", "killed and started again", Killed),
    ("F12", "stalled beyond the lease", Stalled),
    ("F13", "paused for 1.2 leases", Paused),
    ("F14", "clients cut off again and again", CutOff),
    ("F15", "scripts forgotten again and again", Forgetful),
    ("F16", "out of memory", Full),
    ("F18", "read-only", ReadOnly),
]


@pytest.mark.parametrize(
    "outage",
    [
        pytest.param(make, id=make.__name__.lower(), marks=pytest.mark.row(id, f"Redis {fault}"))
        for id, fault, make in ROWS
    ],
)
def test_outage_under_load(redis_scene: Scene, server: RedisServer, outage, figure):
    """Two daemons and a producer at work; afterwards nothing is lost, and work goes on at once."""
    scene, fault = redis_scene, outage(server)
    daemons = [scene.daemon(name, queue=QUEUE_OPTIONS, top=TOP).start() for name in "ab"]
    scene.enqueue(JOBS, task="nap", args=[0.02], batch=5, pause=0.02)
    slowest = 0.0
    for number in range(1, ROUNDS + 1):
        scene.until_ran(number * JOBS // (ROUNDS + 2))
        fault.inject()
        slowest = max(slowest, back_at_work(scene))
    scene.enqueued()
    scene.until_quiet()
    verdict = scene.verdict()
    verdict.check(doubled=ROUNDS * fault.doubled)
    degraded = any(each.all("daemon.degraded") for each in daemons)
    assert fault.noticed in {None, degraded or bool(read(scene.notes, "refused"))}
    told = max(outage_lines(daemon.history) for daemon in daemons)
    assert told <= ROUNDS * LOG_LINES
    assert slowest < BACK_AT_WORK
    figure(
        f"{ROUNDS} times; {verdict} (at most {ROUNDS * fault.doubled});"
        f" back at work in {slowest:.2f} s (at most {BACK_AT_WORK:g}); {told} log lines"
    )


def back_at_work(scene: Scene) -> float:
    """Seconds until the next job ends from now on."""
    began, so_far = time.monotonic(), scene.ran()
    until(lambda: scene.ran() > so_far or scene.is_quiet())
    return time.monotonic() - began


def outage_lines(events: list[dict]) -> int:
    """Log lines that are not about a job."""
    return sum(not event["event"].startswith("job.") for event in events)


@pytest.mark.row("F12", "Redis stalled beyond the lease while jobs run")
def test_stalled_under_long_jobs(redis_scene: Scene, server: RedisServer, figure):
    """All leases are over when it wakes, and their holders are alive: they get time to say so."""
    # In the short form the stall ends before a renewal under way is given up, which takes 5 s.
    scene, rounds, lease = redis_scene, scaled(1, 10), scaled(2.0, 3.0)
    top = f"lease = {lease}\nhang_limit = 60\n"
    daemons = [scene.daemon(name, queue=QUEUE_OPTIONS, top=top).start() for name in "ab"]
    ids = scene.store.add(QUEUE, "hold", [f"j{n}" for n in range(2 * SLOTS)])
    until(lambda: scene.ran(b"began") == len(ids))
    for _ in range(rounds):
        server.freeze()
        time.sleep(scaled(1.5, 3) * lease)  # the time is what is tested
        server.thaw()
        later = scene.store.do(lambda backend: backend.now()) + lease
        until(lambda: scene.store.do(lambda backend: backend.now()) > later)  # noqa: B023
    daemons[0].open_gate()
    scene.until_quiet()
    for each in daemons:
        assert each.stop() == 0
        assert not each.all("job.recovered")
        assert not each.all("job.lease_lost")
    assert daemons[0].tally() == dict.fromkeys(ids, 1)
    figure(f"{rounds} times; {len(ids)} jobs under way, 0 recovered, 0 run twice")


@pytest.mark.row("F10", "Redis killed and started again while all slots are taken")
def test_back_with_all_slots_taken(redis_scene: Scene, server: RedisServer, figure):
    """No claim and no settled job tells such a daemon that the store is back."""
    daemon = redis_scene.daemon(queue="concurrency = 1\n").start()
    redis_scene.store.add(QUEUE, "hold", ["a"])
    until(lambda: redis_scene.ran(b"began") == 1)
    until(lambda: redis_scene.store.do(lambda backend: backend.workers()))  # its first heartbeat
    server.kill()
    daemon.wait_for("daemon.degraded")
    server.start()
    began = time.monotonic()
    daemon.wait_for("daemon.recovered")
    took = time.monotonic() - began
    assert took < BACK_AT_WORK
    figure(f"noticed after {took:.2f} s (at most {BACK_AT_WORK:g})")


@pytest.mark.row("F18", "Redis refuses the ends of jobs while the daemon stops")
@pytest.mark.parametrize("back", [True, False], ids=["back in time", "for good"])
def test_ends_that_nobody_takes(redis_scene: Scene, server: RedisServer, back: bool, figure):
    """They are worth the time that running jobs would get, and the log tells what is given up."""
    top = f"shutdown_timeout = {60 if back else 0.5}\n"
    daemon = redis_scene.daemon(queue="concurrency = 2\n", top=top).start()
    redis_scene.store.add(QUEUE, "hold", ["a", "b"])
    until(lambda: redis_scene.ran(b"began") == 2)
    with server.client() as client:
        client.replicaof("127.0.0.1", "1")  # nobody is there
        daemon.open_gate()
        daemon.wait_for("daemon.degraded")
        redis_scene.until_ran(2)
        began = time.monotonic()
        daemon.signal(signal.SIGTERM)
        daemon.wait_for("daemon.draining")
        client.replicaof(*(("NO", "ONE") if back else ("127.0.0.1", "1")))
    assert daemon.wait() == 0
    given_up = daemon.all("queue.acks_lost")
    assert [each["jobs"] for each in given_up] == ([] if back else [2])
    assert len(daemon.all("job.completed")) == (2 if back else 0)
    figure(f"left after {time.monotonic() - began:.1f} s; {0 if back else 2} ends given up, told")


@pytest.mark.row("F16", "Redis out of memory: a producer is told")
def test_full_is_loud(redis_scene: Scene, server: RedisServer, figure):
    scene = redis_scene
    with server.client() as client:
        client.config_set("maxmemory", "1kb")
        scene.enqueue(1)
        until(lambda: read(scene.notes, "refused"))
        assert not read(scene.notes, "accepted")
        client.config_set("maxmemory", "0")
    scene.enqueued()
    daemon = scene.daemon().start()
    daemon.wait_for("job.completed")
    scene.verdict().check()
    figure(f"refused with {min(read(scene.notes, 'refused')).split(': ', 1)[1][:60]!r}")


@pytest.mark.row("F20", "an older snapshot of Redis is restored under living daemons")
def test_older_snapshot(place: Path, figure):
    """What was acknowledged after the snapshot is gone, and said so; what it holds runs again.

    Claims go back in time: a worker that settles a claim which the snapshot does not know, or
    knows as waiting, is refused.
    """
    directory = place / "snapshot"
    directory.mkdir()
    with RedisServer("valkey9", directory) as server:
        scene = Scene(place, server.url)
        try:
            figure(_restored(scene, server))
        finally:
            scene.close()


def _restored(scene: Scene, server: RedisServer) -> str:
    daemons = [scene.daemon(name, queue=f"concurrency = {SLOTS}\n").start() for name in "ab"]
    done = scene.store.add(QUEUE, "mark", [f"done{n}" for n in range(20)])
    scene.until_ran(20)
    scene.until_quiet()
    early = scene.store.add(QUEUE, "hold", [f"early{n}" for n in range(30)])  # 10 wait for a slot
    until(lambda: scene.ran(b"began") == 2 * SLOTS)
    snapshot(server)
    late = scene.store.add(QUEUE, "mark", [f"late{n}" for n in range(20)])
    server.kill()
    shutil.copy(server.directory / "kept.rdb", server.directory / "dump.rdb")
    server.start()
    for each in daemons:
        each.wait_for("daemon.recovered")
        each.open_gate()
    scene.until_quiet()
    for each in daemons:
        assert each.stop() == 0
        assert not each.all("queue.crashed")
    tally = daemons[0].tally()
    assert all(tally[id] == 1 for id in [*done, *early])
    known = scene.store.do(lambda backend: backend.get(QUEUE, late))
    gone = sum(record is None for record in known)
    assert gone == len(late), "what came after the snapshot cannot be known"
    return f"0 crashes, 0 of {len(done) + len(early)} jobs of the snapshot lost or doubled"


def snapshot(server: RedisServer) -> None:
    """Keep what the server has now."""
    with server.client() as client:
        client.save()
    shutil.copy(server.directory / "dump.rdb", server.directory / "kept.rdb")
