"""Jobs that must not run side by side, of one schedule or of one key, while daemons are lost."""

from __future__ import annotations

import math
import random
import signal
import time
from collections import Counter
from itertools import cycle
from pathlib import Path

import pytest

from asyncmqd.backends.base import ScheduleRecord
from tests.daemon.harness import until
from tests.faults.conftest import Scene
from tests.faults.forked import ForkedDaemon
from tests.faults.ledger import QUEUE
from tests.scale import scaled

LEASE = scaled(2.0, 1.0)  # seconds
FROZEN = LEASE / 3  # seconds; its lease ends later
DAEMONS, FAULTS, PAUSE = scaled((2, 2, 0.3), (4, 100, 1.0))
MOST = 2  # jobs of a key at once
KEYS, JOBS, LASTS = scaled((3, 20, 0.15), (10, 800, 0.4))
TOP = f"lease = {LEASE:g}"


def schedule(name: str, overlap: str, task: str, every: float, *args: float) -> str:
    return (
        f'[[queues.{QUEUE}.repeatables]]\ntask = "{task}"\nname = "{name}"\nevery = {every}\n'
        f'overlap = "{overlap}"\nargs = {[*args]}\n'
    )


def strike(daemons: list[ForkedDaemon], deaths: dict[int, float], number: int = FAULTS) -> None:
    """Kill and freeze daemons, one after the other."""
    draw = random.Random(1)
    for _, fault in zip(range(number), cycle(["kill", "freeze"]), strict=False):
        time.sleep(PAUSE)  # so long nothing happens
        victim = draw.choice(daemons)
        if fault == "kill":
            deaths[victim.pid] = time.monotonic()
            victim.kill()
            victim.start()
        else:
            victim.signal(signal.SIGSTOP)
            time.sleep(FROZEN)  # the time is what is tested
            victim.signal(signal.SIGCONT)


def most_at_once(place: Path, deaths: dict[int, float]) -> dict[str, int]:
    """How many ran at once of each name; what a killed process ran ended with it."""
    marks, running = list[tuple[float, str, int]](), Counter[tuple[str, int]]()
    for line in (place / "ledger").read_text().splitlines():
        word, _, id, _, pid, moment = line.split()
        name, step = id.partition("@")[0], 1 if word == "began" else -1
        marks.append((float(moment), name, step))
        running[name, int(pid)] += step
    for (name, pid), number in running.items():
        marks += [(deaths.get(pid, math.inf), name, -1)] * number
    most, now = Counter[str](), Counter[str]()
    for _, name, step in sorted(marks):
        now[name] += step
        most[name] = max(most[name], now[name])
    return dict(most)


def schedules(scene: Scene) -> dict[str, ScheduleRecord]:
    found = scene.store.do(lambda store: store.schedules(QUEUE))
    return {each.name: each for each in found}


def begun(scene: Scene) -> Counter[str]:
    lines = (scene.place / "ledger").read_text().splitlines() if scene.daemons else []
    words = (line.split() for line in lines)
    return Counter(word[2].partition("@")[0] for word in words if word[0] == "began")


@pytest.mark.timeout(900)
@pytest.mark.row("O01", "kill -9 and SIGSTOP of daemons that run jobs of schedules with `overlap`")
def test_jobs_of_a_schedule_never_run_side_by_side(scene: Scene, figure):
    """Neither of one that holds back, nor of those that replace; and all go on afterwards."""
    queue = (
        "concurrency = 8\n"
        + schedule("held", "queue", "linger", 0.3, 0.25, 0.0)
        + schedule("newest", "replace", "linger", 0.3, 0.5, 0.1)
        + schedule("thread", "replace", "linger_thread", 0.3, 0.5)
    )
    daemons = [scene.daemon(f"{each}", queue=queue, top=TOP).start() for each in range(DAEMONS)]
    until(lambda: len(begun(scene)) == 3)
    deaths: dict[int, float] = {}
    strike(daemons, deaths)
    before, stuck = begun(scene), schedules(scene)
    until(lambda: all(begun(scene)[name] > before[name] + 1 for name in stuck))
    for each in daemons:
        assert each.stop() == 0
    most, replaced = most_at_once(scene.place, deaths), schedules(scene)
    assert most == {"held": 1, "newest": 1, "thread": 1}
    assert replaced["newest"].tally.replaced > 0
    runs = ", ".join(f"{name} {number}" for name, number in sorted(begun(scene).items()))
    figure(
        f"{FAULTS} faults, {DAEMONS} daemons; runs of each schedule: {runs};"
        f" {replaced['newest'].tally.replaced + replaced['thread'].tally.replaced} replaced;"
        f" {max(most.values())} at once (at most 1), 0 stuck"
    )


@pytest.mark.timeout(900)
@pytest.mark.row("L04", "kill -9 and SIGSTOP of daemons under a limit of each key")
def test_no_key_has_more_jobs_at_once_than_its_limit(scene: Scene, figure):
    queue = f"concurrency = 20\nkey_concurrency = {MOST}\n"
    daemons = [scene.daemon(f"{each}", queue=queue, top=TOP).start() for each in range(DAEMONS)]
    for number in range(KEYS):
        scene.enqueue(JOBS, f"k{number}@", task="nap", args=[LASTS], key=f"k{number}", batch=500)
    scene.enqueued()
    deaths: dict[int, float] = {}
    strike(daemons, deaths)
    scene.until_quiet(scaled(60, 600))
    verdict = scene.verdict()
    kills = len(deaths)
    verdict.check(doubled=kills * KEYS * MOST)
    most = most_at_once(scene.place, deaths)
    assert set(most.values()) == {MOST}
    left = scene.store.do(lambda store: store.outlook([QUEUE]))[QUEUE]
    assert left.ghosts == 0
    figure(
        f"{FAULTS} faults, {DAEMONS} daemons, {KEYS} keys with {JOBS} jobs each: {verdict};"
        f" {max(most.values())} of a key at once (at most {MOST}), 0 stuck"
    )
