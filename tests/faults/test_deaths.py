"""Processes that die or freeze under load, and jobs that kill them."""

from __future__ import annotations

import random
import signal
import time

import psutil
import pytest

from tests.daemon.conftest import mostly_on
from tests.daemon.harness import Store, until
from tests.faults.conftest import Scene
from tests.faults.forked import ForkedDaemon
from tests.faults.ledger import QUEUE, records_of
from tests.faults.strikes import GO, STRUCK
from tests.scale import scaled

LEASE = 1.0  # seconds, the shortest that there is
SHORT_LEASE = f"lease = {LEASE:g}"


@pytest.mark.row("F01", "kill -9 of a daemon under load")
def test_killed_at_random(scene: Scene, figure):
    """The next one dies as soon as a share of the jobs has run."""
    jobs, kills, slots = scaled(300, 10_000, 100_000), scaled(3, 60, 300), 5
    queue = f"concurrency = {slots}\n"
    four = [scene.daemon(name, queue=queue).start() for name in "abcd"]
    scene.enqueue(jobs, task="nap", args=[0.02])
    draw, longest, ran = random.Random(1), 0.0, 0
    for kill in range(1, kills + 1):
        scene.until_ran(min(max(kill * jobs // (kills + 1), ran + 4 * slots), jobs))
        # Who dies with three daemons in a row, the third time alone, is condemned.
        until(lambda: _recovered_have_ended(scene))
        victim = draw.choice(four)
        victim.kill()
        began = time.monotonic()
        victim.start()
        longest = max(longest, time.monotonic() - began)
        ran = scene.ran()
    scene.enqueued()
    scene.until_quiet(300)
    verdict = scene.verdict()
    verdict.check(doubled=kills * slots)
    figure(f"{kills} kills; {verdict} (at most {kills * slots}); ready again in {longest:.2f} s")


def _recovered_have_ended(scene: Scene) -> bool:
    told = [event for each in scene.daemons for event in each.history]
    held = {event["job_id"] for event in told if event["event"] == "job.recovered"}
    return all(job.state == "completed" for job in records_of(scene.store, sorted(held)))


@pytest.mark.row("F01", "kill -9 of a daemon that nobody starts again")
def test_recovery_elsewhere(scene: Scene, figure):
    dead, other = (scene.daemon(name, top=SHORT_LEASE) for name in ("dead", "other"))
    dead.start()
    ids = scene.store.add(QUEUE, "hold", [f"j{n}" for n in range(20)])
    until(lambda: scene.ran(b"began") == len(ids))
    other.start()
    dead.process.kill()
    began = time.monotonic()
    until(lambda: scene.ran(b"began") == 2 * len(ids))
    took = time.monotonic() - began
    other.open_gate()
    scene.until_quiet()
    assert set(other.tally().values()) == {1}
    assert took < LEASE + scaled(5, 1)
    figure(f"20 jobs begun again after {took:.2f} s (at most lease + 1 = {LEASE + 1:g} s)")


@pytest.mark.row("F04", "SIGSTOP for longer than the lease, and back")
def test_frozen_too_long(scene: Scene, figure):
    rounds, each = scaled(1, 100, 200), 10
    slots = f"concurrency = {each}\n"
    frozen = scene.armed("renewed", "freeze_when_told", name="a", queue=slots, top=SHORT_LEASE)
    other = scene.daemon("b", queue=slots, top=SHORT_LEASE)
    for number in range(rounds):
        (scene.place / STRUCK).unlink(missing_ok=True)
        (scene.place / GO).unlink(missing_ok=True)
        frozen.start()
        ids = scene.store.add(QUEUE, "hold", [f"{number}-{n}" for n in range(each)])
        until(lambda: scene.ran(b"began") == number * 2 * each + each)  # noqa: B023
        (scene.place / GO).touch()
        until_stopped(frozen, scene.store)
        other.start()
        until(lambda: scene.ran(b"began") == (number + 1) * 2 * each)  # noqa: B023
        frozen.signal(signal.SIGCONT)
        for id in ids:
            frozen.wait_for("job.lease_lost", job_id=id)
        other.open_gate()
        for id in ids:
            other.wait_for("job.completed", job_id=id)
            assert scene.store.get(QUEUE, id).worker.startswith(_worker(other))
        assert frozen.stop() == other.stop() == 0
        assert not frozen.all("job.completed")
        other.gate.unlink()
    figure(f"{rounds} rounds of {each} jobs: 0 overwritten of {rounds * each}")


def until_stopped(daemon: ForkedDaemon, store: Store) -> None:
    """Wait until it is: it stops itself, right after its leases were renewed."""
    process = psutil.Process(daemon.pid)
    until(lambda: process.status() == psutil.STATUS_STOPPED)
    daemon.freeze(store)  # and not in the middle of something else that its other threads do


def _worker(daemon: ForkedDaemon) -> str:
    return f"{daemon.all('daemon.starting')[0]['worker']}#"


@pytest.mark.row("F05", "SIGSTOP for 0.8 leases")
def test_frozen_briefly(scene: Scene, figure):
    frozen = scene.armed("renewed", "freeze_when_told", top=SHORT_LEASE).start()
    scene.store.add(QUEUE, "hold", [f"j{n}" for n in range(10)])
    until(lambda: scene.ran(b"began") == 10)
    other = scene.daemon("other", top=SHORT_LEASE).start()
    (scene.place / GO).touch()
    until_stopped(frozen, scene.store)
    since = float((scene.place / STRUCK).read_text())
    time.sleep(since + 0.8 * LEASE - time.time())  # the time is what is tested
    frozen.signal(signal.SIGCONT)
    frozen.open_gate()
    scene.until_quiet()
    assert set(frozen.tally("began").values()) == {1}
    assert not other.all("job.recovered")
    figure("10 jobs, 0 recovered, 0 begun twice")


@pytest.mark.row("F06", "a job blocks the loop for five leases")
def test_blocked_loop(scene: Scene, figure):
    blocked = scene.daemon("blocked", queue="concurrency = 1\n", top=SHORT_LEASE).start()
    scene.store.add(QUEUE, "block", ["blocker"])
    until(lambda: scene.ran(b"began") == 1)
    other = scene.daemon("other", top=SHORT_LEASE).start()
    leases = scaled(2, 5)
    time.sleep(leases * LEASE)  # the time is what is tested
    scene.store.add(QUEUE, "mark", ["beside"])
    until(lambda: other.tally()["beside"] == 1)
    blocked.open_gate()
    blocked.wait_for("job.completed", job_id="blocker")
    assert blocked.tally("began") == {"blocker": 1}
    assert not other.all("job.recovered")
    figure(f"{leases} leases; 0 recovered, 1 run")


@pytest.mark.row("F69", "jobs that take longer than the lease, more than there are slots")
@mostly_on("valkey9")
def test_more_jobs_than_slots(scene: Scene, figure):
    """Only what has a slot is claimed, so that nothing lapses while it waits in a process."""
    daemons = [
        scene.daemon(name, queue="concurrency = 2\n", top=SHORT_LEASE).start() for name in "ab"
    ]
    scene.enqueue(scaled(6, 40), task="nap", args=[1.3 * LEASE])
    scene.enqueued()
    most = 0
    while not scene.is_quiet():
        began = scene.ran(b"began")
        most = max(most, began - scene.ran())
    verdict = scene.verdict()
    verdict.check()
    assert most <= 4
    assert not any(each.all("job.recovered") for each in daemons)
    figure(f"at most {most} at once in 4 slots; {verdict}")


@pytest.mark.row("F36", "a poison job beside innocent ones")
@mostly_on("sqlite")
def test_poison(scene: Scene, figure):
    """It kills its process in each run, until nobody runs it any more."""
    innocents, slots = scaled(40, 500), scaled(4, 20)
    daemon = scene.daemon(queue=f"concurrency = {slots}\n").start()
    scene.store.add(QUEUE, "last_words", ["poison"])
    scene.enqueue(innocents, task="nap", args=[0.05])
    crashes = 0
    while not daemon.all("job.quarantined"):
        if daemon.process.poll() is not None:
            crashes += 1
            daemon.start(ready=False)
        time.sleep(0.005)
    scene.enqueued()
    until(lambda: scene.store.counts(QUEUE).completed == innocents)
    poison = scene.store.get(QUEUE, "poison")
    assert (poison.state, poison.crashes, crashes) == ("failed", 3, 3)
    verdict = scene.verdict()
    verdict.check(doubled=crashes * slots)
    assert scene.store.counts(QUEUE).failed == 1
    figure(f"3 crashes (at most 3), 0 of {innocents} innocents failed; {verdict}")


@pytest.mark.row("F46", "many claims with long leases before one that lapses")
def test_a_dead_claim_behind_many(scene: Scene, figure):
    many = scaled(2_000, 10_000)
    scene.store.add(QUEUE, "mark", [f"j{n}" for n in range(many)])
    scene.store.do(lambda backend: backend.claim(QUEUE, many, 1_000, "long"))
    scene.store.add(QUEUE, "mark", ["dead"])
    scene.store.do(lambda backend: backend.claim(QUEUE, 1, LEASE, "dead"))
    began = time.monotonic()
    daemon = scene.daemon(top=SHORT_LEASE).start()
    scene.until_ran(1)
    took = time.monotonic() - began
    daemon.wait_for("job.recovered", job_id="dead")
    assert took < LEASE + scaled(6, 2)
    figure(f"{many} claims; run after {took:.2f} s (at most lease + 2 = {LEASE + 2:g} s)")
