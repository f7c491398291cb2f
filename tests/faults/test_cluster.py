"""A cluster whose slots move under load, and one that loses a master."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cluster import Cluster, slot_of, slots
from tests.daemon.harness import until
from tests.faults.conftest import Scene
from tests.faults.ledger import QUEUE, read
from tests.scale import scaled
from tests.servers import NEW_KINDS, RedisServer

JOBS = scaled(300, 3_000)
ROUNDS = scaled(2, 10)
SLOTS = 10
Loss = Callable[[Cluster, Scene], Iterator[RedisServer]]
BACK_AT_WORK = scaled(15.0, 5.0)  # seconds; see tests/scale.py


@pytest.fixture
def cluster(request: pytest.FixtureRequest, place: Path) -> Iterator[Cluster]:
    with Cluster(request.param, place, replicas=True) as running:
        yield running


def at_work(scene: Scene, jobs: int) -> None:
    """Two daemons, and a producer."""
    for name in "ab":
        scene.daemon(name, queue=f"concurrency = {SLOTS}\n", top="lease = 1").start()
    scene.enqueue(jobs, task="nap", args=[0.02], batch=5, pause=0.02)
    scene.until_ran(10)


@pytest.mark.row("F19", "the slot of a queue moves under load")
@pytest.mark.parametrize("cluster", scaled(NEW_KINDS[:1], NEW_KINDS), indirect=True)
def test_slot_moves(cluster: Cluster, place: Path, figure):
    """Half of a queue's keys are on one node and half on the other: nobody works on a half."""
    with closing(Scene(place, cluster.url)) as scene:
        at_work(scene, JOBS)
        slowest = 0.0
        for number in range(1, ROUNDS + 1):
            scene.until_ran(number * JOBS // (ROUNDS + 2))
            source = cluster.owner(QUEUE)
            target = next(node for node in cluster.masters if node is not source)
            migration = cluster.migrate(QUEUE, target)
            next(migration)
            time.sleep(scaled(0.5, 2.0))  # the time is what is tested
            next(migration)
            began, so_far = time.monotonic(), scene.ran()
            until(lambda: scene.ran() > so_far or scene.is_quiet())  # noqa: B023
            slowest = max(slowest, time.monotonic() - began)
        scene.enqueued()
        scene.until_quiet()
        verdict = scene.verdict()
        verdict.check(doubled=ROUNDS * 2 * SLOTS)
        assert slowest < BACK_AT_WORK
        figure(
            f"{ROUNDS} times; {verdict} (at most {ROUNDS * 2 * SLOTS}); back at work in"
            f" {slowest:.2f} s (at most {BACK_AT_WORK:g})"
        )


def killed(cluster: Cluster, _: Scene) -> Iterator[RedisServer]:
    """The master dies."""
    owner = cluster.owner(QUEUE)
    owner.kill()
    yield owner


def both_stopped(cluster: Cluster, scene: Scene) -> Iterator[RedisServer]:
    """The replica stops for a while; when it goes on the master has stopped, until it is replaced.

    Then the master answers what it was sent before, as if it were one still.
    """
    owner = cluster.owner(QUEUE)
    replica = cluster.replica_of(owner)
    replica.freeze()
    before = read(scene.notes, "accepted")
    until(lambda: len(read(scene.notes, "accepted") - before) > 2 * SLOTS)
    owner.freeze()
    replica.thaw()
    yield owner
    owner.thaw()


@pytest.mark.row("F19", "a master of the cluster is lost and its replica is promoted")
@pytest.mark.parametrize("loss", [killed, both_stopped][: scaled(1, 2)])
@pytest.mark.parametrize("cluster", scaled(NEW_KINDS[-1:], NEW_KINDS), indirect=True)
def test_master_lost(cluster: Cluster, place: Path, loss: Loss, figure):
    """What the replica had not got is lost; all else ends, and work goes on by itself."""
    with closing(Scene(place, cluster.url)) as scene:
        at_work(scene, JOBS)
        course = loss(cluster, scene)
        owner = next(course)
        died = time.monotonic()
        others = [node for node in cluster.nodes if node is not owner]
        until(lambda: any(slot_of(QUEUE) in slots(node) for node in others))
        next(course, None)
        began, so_far = time.monotonic(), scene.ran()
        until(lambda: scene.ran() > so_far)
        took = time.monotonic() - began
        scene.enqueued()
        scene.until_quiet()
        verdict = scene.verdict()
        assert not verdict.unexpected
        assert len(verdict.lost) <= 2 * SLOTS, "more than what was under way"
        assert took < BACK_AT_WORK
        figure(
            f"promoted after {began - died:.1f} s; {verdict} (no limit); back at work"
            f" {took:.2f} s later (at most {BACK_AT_WORK:g})"
        )
