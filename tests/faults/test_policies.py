"""What fires after missed instants is what the policy names, whoever is killed and for how long."""

from __future__ import annotations

import signal
from datetime import datetime
from itertools import pairwise

import pytest

from asyncmqd.admin.jobs import page
from asyncmqd.admin.schedules import edit
from asyncmqd.backends.base import ScheduleRecord
from tests.daemon.conftest import mostly_on
from tests.daemon.harness import until
from tests.faults.conftest import Scene
from tests.faults.forked import ForkedDaemon
from tests.faults.ledger import QUEUE
from tests.scale import scaled

DAEMONS, EVERY, ROUNDS, CALM, OUTAGE, PAUSE = scaled(
    (2, 0.5, 1, 3, 2.5, 2.0), (5, 1.0, 14, 10, 15.0, 5.0)
)

POLICIES = ("all", "once", "skip", "paused")  # the last one is "all", and people pause it
SCHEDULES = "".join(
    f'[[queues.{QUEUE}.repeatables]]\ntask = "mark"\nname = "{policy}"\nevery = {EVERY}\n'
    f'missed = "{policy.replace("paused", "all")}"\n'
    for policy in POLICIES
)

# One of the daemons believes that it is five seconds later.
SKEWED = "import time\nfrom asyncmqd.domain import clock\nclock.wall = lambda: time.time() + 5\n"


@pytest.mark.row(
    "S01",
    "kill -9 and SIGSTOP of daemons, and outages of all, under each policy for missed instants",
)
@mostly_on("valkey9")  # whose daemons believe in different clocks
def test_each_policy_gives_the_instants_that_it_names(scene: Scene, figure) -> None:
    (scene.place / "skewed.py").write_text(SKEWED)
    skewed = {"tasks": ["skewed", "ledger"]} if scene.server else {}
    daemons = [
        scene.daemon(str(number), queue=SCHEDULES, **(skewed if number == 1 else {})).start()
        for number in range(DAEMONS)
    ]
    outages, pauses = [], []
    for number in range(ROUNDS):
        until_fired(scene, CALM)
        daemons[number % DAEMONS].kill()
        until_fired(scene, CALM)
        daemons[number % DAEMONS].start()
        until_fired(scene, CALM)
        pauses.append(pause(scene, daemons[(number + 1) % DAEMONS]))
        until_fired(scene, CALM)
        outages.append(outage(scene, daemons))
    until_fired(scene, CALM)
    for each in daemons:
        assert each.stop() == 0
    found = {each.name: each for each in scene.store.do(lambda store: store.schedules(QUEUE))}
    fired = fired_by(scene)
    every = fired["all"]
    assert {round(later - each, 3) for each, later in pairwise(every)} == {EVERY}
    for policy in ("once", "skip"):
        check(policy, fired[policy], every, found[policy], outages, "missed")
    check("paused", fired["paused"], every, found["paused"], [], "paused")
    for begin, end in pauses:
        within = {each for each in every if begin < each < end}
        assert len(within) > 1
        assert not within & set(fired["paused"])
    assert found["all"].tally.counts == {}
    lateness = [
        event["late_ms"] / 1000
        for daemon in daemons
        for event in daemon.history
        if event["event"] == "schedule.fired" and event["schedule"] in {"once", "skip"}
    ]
    assert max(lateness) < EVERY, "of those that had come only the latest fires"
    figure(
        f"{DAEMONS} daemons, {ROUNDS} x one killed, one frozen, all killed: of "
        f"{len(every)} instants "
        + ", ".join(f"{policy} fired {len(fired[policy])}" for policy in POLICIES)
    )


def check(
    policy: str,
    fired: list[float],
    every: list[float],
    record: ScheduleRecord,
    outages: list[tuple[float, float]],
    skipped: str,
) -> None:
    """All instants are accounted for, and of an outage's only the latest may fire."""
    named = [each for each in every if each <= record.last]
    assert set(fired) <= set(named), policy
    assert record.tally.counts.keys() <= {skipped}
    assert len(fired) + record.tally.counts.get(skipped, 0) == len(named), policy
    for begin, end in outages:
        within = [each for each in named if begin < each < end]
        assert len(within) > 1
        assert not set(fired) & set(within[:-1]), policy


def fired_by(scene: Scene) -> dict[str, list[float]]:
    """The instants of which the store has a job, by schedule."""
    fired: dict[str, list[float]] = {policy: [] for policy in POLICIES}
    for job in scene.store.do(lambda store: page(store, QUEUE, limit=100_000)):
        assert job.schedule is not None
        assert job.instant is not None
        fired[job.schedule].append(datetime.fromisoformat(job.instant).timestamp())
    return {policy: sorted(each) for policy, each in fired.items()}


def until_fired(scene: Scene, count: int) -> None:
    """Wait until each schedule has fired so many times more."""
    before = fired_by(scene)
    until(
        lambda: all(
            len(fired) >= len(before[policy]) + count for policy, fired in fired_by(scene).items()
        )
    )


def outage(scene: Scene, daemons: list[ForkedDaemon]) -> tuple[float, float]:
    """Kill all, and start them again after a while; from when to when none lived."""
    for each in daemons:
        each.kill()
    begin = now(scene)
    until(lambda: now(scene) > begin + OUTAGE)
    end = now(scene)
    for each in daemons:
        each.start()
    return begin, end


def pause(scene: Scene, daemon: ForkedDaemon) -> tuple[float, float]:
    """Freeze one daemon, and pause a schedule meanwhile; from when to when it was paused."""
    daemon.freeze(scene.store)
    scene.store.do(lambda store: edit(store, QUEUE, "paused", "pause"))
    begin = now(scene)
    until(lambda: now(scene) > begin + PAUSE)
    end = now(scene)
    scene.store.do(lambda store: edit(store, QUEUE, "paused", "resume"))
    daemon.signal(signal.SIGCONT)
    return begin, end


def now(scene: Scene) -> float:
    """The store's."""
    return scene.store.do(lambda store: store.now())
