"""kill -9 at each named step of the way of a job, and the exact number of runs that follows."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path

import pytest

import asyncmqd
from asyncmqd.domain.failpoints import STEPS, arm
from tests.daemon.harness import until
from tests.faults.conftest import Scene
from tests.faults.forked import ForkedDaemon, ended, fork
from tests.faults.ledger import QUEUE, Order, produce, read, records_of
from tests.faults.strikes import STRUCK, arm_once, die

KILLED = -9

# How often the task function begins if the process dies there. Before its outcome is in the store
# the job runs again, afterwards never.
RUNS = {"claimed": 1, "starting": 1, "ran": 2, "settling": 2, "settled": 1}
LOST_REPLY = {"claimed": 1, "settled": 1}
TAKING_BACK = ("recovering", "recovered")
RENEWING = ("renewing", "renewed")
PROMOTING = ("promoting", "promoted")
FIRING = ("firing", "fired")
ADDING = {"adding": 0, "added": 1}
OPERATING = ("operating", "operated")  # test_operations.py


def test_each_step_has_its_test():
    tested = {*RUNS, *TAKING_BACK, *RENEWING, *PROMOTING, *FIRING, *ADDING, *OPERATING}
    assert tested == set(STEPS)


def test_a_step_that_there_is_not():
    with pytest.raises(ValueError, match=r"step: expected one of adding, .* got 'nowhere'"):
        arm("nowhere", die)


def test_nothing_in_the_product_arms_one():
    package = Path(asyncmqd.__file__).parent
    naming = [
        path.name for path in package.rglob("*.py") if re.search(r"\barm\b", path.read_text())
    ]
    assert naming == ["failpoints.py"]


def struck(daemon: ForkedDaemon) -> None:
    """It has died at the step; it lives again."""
    assert daemon.wait() == KILLED
    daemon.start()


def began(daemon: ForkedDaemon, id: str, runs: int) -> None:
    """The job has begun so often."""
    until(lambda: daemon.tally("began")[id] == runs)


def completed(scene: Scene, id: str) -> None:
    """The job has ended well, in its first attempt: a crash is none."""
    until(lambda: scene.store.get(QUEUE, id).state == "completed")
    assert scene.store.get(QUEUE, id).attempt == 1


@pytest.mark.row("F03", "kill -9 between claim and settle")
def test_on_the_way(scene: Scene, figure):
    for step, runs in RUNS.items():
        daemon = scene.armed(step)
        scene.store.add(QUEUE, "nap", [step], 0)  # before it waits: nobody is assigned the job
        daemon.start()
        struck(daemon)
        completed(scene, step)
        assert daemon.tally() == daemon.tally("began")
        assert daemon.tally()[step] == runs, step
        daemon.kill()
    figure(f"{len(RUNS)} steps, runs of the job {RUNS}")


@pytest.mark.row("F03", "the reply of the store is lost")
def test_lost_replies(scene: Scene, figure):
    for step, runs in LOST_REPLY.items():
        daemon = scene.armed(step, "lose_reply")
        scene.store.add(QUEUE, "nap", [step], 0)
        daemon.start()
        daemon.wait_for("daemon.recovered")
        daemon.wait_for("job.completed", job_id=step)
        completed(scene, step)
        assert daemon.tally()[step] == runs, step
        assert len(daemon.all("job.completed", job_id=step)) == 1
        assert not daemon.all("job.recovered"), "it was not left to the end of the lease"
        daemon.kill()
    figure(f"{len(LOST_REPLY)} steps, runs of the job {LOST_REPLY}")


@pytest.mark.row("F03", "kill -9 while leases are renewed")
def test_renewing(scene: Scene, figure):
    for step in RENEWING:
        daemon = scene.armed(step, top="lease = 1").start()
        scene.store.add(QUEUE, "hold", [step])
        struck(daemon)
        began(daemon, step, 2)
        daemon.open_gate()
        completed(scene, step)
        assert daemon.tally()[step] == 1
        daemon.gate.unlink()
        daemon.kill()
    figure(f"{len(RENEWING)} steps, 2 runs begun and 1 ended at each")


@pytest.mark.row("F03", "kill -9 while the claims of a dead process are taken back")
def test_taking_back(scene: Scene, figure):
    for step in TAKING_BACK:
        daemon = scene.armed(step).start()
        scene.store.add(QUEUE, "hold", [step])
        began(daemon, step, 1)
        daemon.kill()
        daemon.start(ready=False)
        struck(daemon)
        began(daemon, step, 2)
        assert scene.store.get(QUEUE, step).crashes == 1, "one crash of a run, counted once"
        daemon.open_gate()
        completed(scene, step)
        assert daemon.tally()[step] == 1
        daemon.gate.unlink()
        daemon.kill()
    figure(f"{len(TAKING_BACK)} steps, 2 runs begun and 1 ended, 1 crash counted at each")


@pytest.mark.row("F03", "kill -9 while a delayed job becomes due")
def test_promoting(scene: Scene, figure):
    for step in PROMOTING:
        daemon = scene.armed(step).start()
        scene.store.add(QUEUE, "mark", [step], delay=0.05)
        struck(daemon)
        completed(scene, step)
        assert daemon.tally()[step] == 1
        daemon.kill()
    figure(f"{len(PROMOTING)} steps, 1 run at each")


@pytest.mark.row("F03", "kill -9 while a schedule fires")
def test_firing(scene: Scene, figure):
    schedule = f'[[queues.{QUEUE}.repeatables]]\ntask = "mark"\nevery = 1\nname = "tick"\n'
    for step in FIRING:
        daemon = scene.armed(step, queue=schedule).start(ready=False)
        assert daemon.wait() == KILLED
        (known,) = scene.store.do(lambda backend: backend.schedules(QUEUE))
        daemon.start()
        if step == "fired":
            daemon.wait_for("job.completed", job_id=f"tick@{known.last * 1000:.0f}")
        else:  # that instant, or a later one that the restart has missed as well
            first = daemon.wait_for("job.completed")["job_id"]
            struck_at = math.floor(float((scene.place / STRUCK).read_text()))
            assert int(first.removeprefix("tick@")) >= struck_at * 1000
        assert daemon.stop() == 0
        assert set(daemon.tally().values()) == {1}, (step, daemon.lines())
    figure(f"{len(FIRING)} steps, the instant ran once")


async def _produce_and_die(step, order: Order) -> None:
    arm_once(step, die)
    await produce(order)


@pytest.mark.row("F03", "kill -9 of a producer")
def test_adding(scene: Scene, figure, monkeypatch):
    """What it was not promised may exist or not; sent again under the same id, it runs once."""
    daemon = scene.daemon().start()
    monkeypatch.chdir(scene.place)
    for step, known in ADDING.items():
        order = Order(scene.store.url, str(scene.notes), [step])
        assert ended(fork(_produce_and_die, step, order)) == KILLED
        assert not read(scene.notes, "accepted") & {step}
        assert len(records_of(scene.store, [step])) == known
        assert ended(fork(produce, order)) == 0
        completed(scene, step)
        (scene.place / STRUCK).unlink()
    verdict = scene.verdict()
    verdict.check()
    assert daemon.tally() == Counter(ADDING.keys())
    figure(f"{len(ADDING)} steps; {verdict}")
