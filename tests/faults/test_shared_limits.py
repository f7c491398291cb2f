"""Limits over all daemons, while daemons are killed and frozen, and Redis is."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import cycle
from pathlib import Path

import pytest

from asyncmqd.domain.job import Record
from asyncmqd.domain.states import State
from tests.cluster import Cluster
from tests.faults.conftest import Scene
from tests.faults.forked import ForkedDaemon
from tests.faults.ledger import QUEUE
from tests.faults.test_redis import server
from tests.scale import scaled
from tests.servers import USUAL, RedisServer

__all__ = ["server"]

LEASE = 1.0
TOP = f"lease = {LEASE:g}"
LASTS = scaled(4.0, 300.0)  # seconds
PAUSE = scaled(0.5, 9.0)  # seconds between two faults
RATE, BURST = 50, 10
MOST = 10  # jobs at once
SHARE = scaled(0.3, 0.95)  # of what a limit allows; an outage is most of a short run
FULL_AGAIN = {  # seconds, by fault; see tests/scale.py
    "kill": scaled(10.0, 1.0),
    "freeze": scaled(10.0, 1.0),
    "restart": scaled(10.0, 1.0),
}


def four_daemons(scene: Scene, limits: str) -> list[ForkedDaemon]:
    queue = f"concurrency = 8\n{limits}"
    return [scene.daemon(name, queue=queue, top=TOP).start() for name in "abcd"]


def strikes(
    four: Sequence[ForkedDaemon], server: RedisServer, frozen_for: float, deaths: dict[int, float]
) -> Iterator[str]:
    """Faults one after the other; each is over when it is told. A restart of Redis is rare."""
    draw = random.Random(1)
    for fault in cycle(["kill", "freeze", "restart", *["kill", "freeze"] * scaled(1, 5)]):
        victim = draw.choice(four)
        if fault == "restart":
            server.restart()
        elif fault == "kill":
            deaths[victim.pid] = time.monotonic()
            victim.kill()
            victim.start()
        else:
            victim.signal(signal.SIGSTOP)
            time.sleep(frozen_for)  # the time is what is tested
            victim.signal(signal.SIGCONT)
        yield fault


def struck(scene: Scene, faults: Iterator[str]) -> list[str]:
    """Have faults for the time of the test; which there were."""
    until, done = time.monotonic() + LASTS, list[str]()
    while time.monotonic() < until:
        time.sleep(PAUSE)  # so long nothing happens
        done.append(next(faults))
    return done


def times_of(place: Path, word: str) -> list[float]:
    lines = (line.split() for line in (place / "ledger").read_text().splitlines())
    return sorted(float(line[5]) for line in lines if line[0] == word and len(line) == 6)


def most_in_a_second(moments: Sequence[float]) -> int:
    first = most = 0
    for last, moment in enumerate(moments):
        while moments[first] < moment - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def ended(scene: Scene) -> list[Record]:
    number = scene.store.counts(QUEUE).completed
    return scene.store.do(lambda backend: backend.list(QUEUE, State.COMPLETED, 0, number))


@pytest.mark.timeout(900)
@pytest.mark.row("L01", "kill -9, SIGSTOP and restarts of Redis under a rate over all daemons")
def test_a_rate_holds_over_four_daemons(redis_scene: Scene, server: RedisServer, figure):
    """No window has more claims than the rate says, and no token is lost for long."""
    scene = redis_scene
    limits = f"global_rate_limit = {RATE}\nglobal_burst = {BURST}\n"
    four = four_daemons(scene, limits)
    scene.enqueue(round(RATE * LASTS * 1.5) + 200, task="nap", args=[0.02], batch=500)
    scene.enqueued()
    began = time.monotonic()
    done = struck(scene, strikes(four, server, 1.5 * LEASE, {}))
    took = time.monotonic() - began
    starts = [moment for moment in times_of(scene.place, "began") if began <= moment]
    for each in four:
        assert each.stop() == 0
    claims = sorted(each.started or 0.0 for each in ended(scene))
    allowed = RATE * took + BURST
    most, share = most_in_a_second(claims), len(starts) / allowed
    assert most <= RATE + BURST
    assert share >= SHARE
    figure(
        f"{len(done)} faults in {took:.0f} s; {most} claims in a second (at most {RATE + BURST}),"
        f" {most_in_a_second(starts)} starts; {share:.3f} of what the rate allows"
        f" (at least {SHARE:g})"
    )


@pytest.mark.timeout(900)
@pytest.mark.row("L02", "kill -9, SIGSTOP and restarts of Redis under a limit over all daemons")
def test_a_limit_holds_over_four_daemons(redis_scene: Scene, server: RedisServer, figure):
    """Never one job more, by the tasks themselves, and as many again after each fault."""
    scene, deaths, over = redis_scene, dict[int, float](), list[tuple[str, float]]()
    four = four_daemons(scene, f"global_concurrency = {MOST}\n")
    scene.enqueue(round(MOST / 0.1 * LASTS) + 200, task="nap", args=[0.1], batch=500)
    scene.enqueued()

    def faults() -> Iterator[str]:
        for fault in strikes(four, server, 0.5 * LEASE, deaths):
            over.append((fault, time.monotonic()))
            yield fault

    done = struck(scene, faults())
    time.sleep(1.0)  # the last one gets its time
    line = list(running(scene.place, deaths))
    most = max(number for _, number in line)
    slowest: dict[str, float] = {}
    for fault, moment in over:
        slowest[fault] = max(slowest.get(fault, 0.0), full_again(line, moment))
    assert most == MOST
    assert all(took <= FULL_AGAIN[fault] for fault, took in slowest.items()), slowest
    again = ", ".join(
        f"{took:.2f} s after a {fault} (at most {FULL_AGAIN[fault]:g})"
        for fault, took in sorted(slowest.items())
    )
    figure(
        f"{len(done)} faults in {LASTS:.0f} s; {most} jobs at once (at most {MOST}); as many again"
        f" {again}"
    )


def running(place: Path, deaths: dict[int, float]) -> Iterator[tuple[float, int]]:
    """How many jobs ran from each moment on; what a killed process ran ended with it."""
    marks, open_runs = list[tuple[float, int]](), dict[tuple[str, int], int]()
    for line in (place / "ledger").read_text().splitlines():
        word, _, id, _, pid, moment = line.split()
        step = 1 if word == "began" else -1
        marks.append((float(moment), step))
        open_runs[id, int(pid)] = open_runs.get((id, int(pid)), 0) + step
    for (_, pid), number in open_runs.items():
        if number and pid in deaths:
            marks += [(deaths[pid], -1)] * number
    total = 0
    for moment, step in sorted(marks):
        total += step
        yield moment, total


def full_again(line: Sequence[tuple[float, int]], moment: float) -> float:
    """Seconds from then until as many ran as may."""
    before = [number for at, number in line if at <= moment]
    if before and before[-1] == MOST:
        return 0.0
    return next((at - moment for at, number in line if at > moment and number == MOST), LASTS)


@pytest.mark.row("L03", "two daemons on a Cluster under limits over all daemons")
def test_limits_hold_on_a_cluster(place: Path, figure):
    with Cluster(USUAL, place) as cluster, closing(Scene(place, cluster.url)) as scene:
        limits = (
            "concurrency = 8\nglobal_concurrency = 3\nglobal_rate_limit = 40\nglobal_burst = 4\n"
        )
        two = [scene.daemon(name, queue=limits).start() for name in "ab"]
        scene.enqueue(40, task="nap", args=[0.02], batch=10)
        scene.until_ran(40)
        scene.verdict().check()
        claims = sorted(each.started or 0.0 for each in ended(scene))
        at_once = max(number for _, number in running(place, {}))
        assert at_once <= 3
        for first, begin in enumerate(claims):
            for last in range(first, len(claims)):
                assert last - first + 1 <= 4 + 40 * (claims[last] - begin) + 0.001
        assert two[0].lines()
        figure(f"{at_once} jobs at once (at most 3), {most_in_a_second(claims)} claims in a second")
