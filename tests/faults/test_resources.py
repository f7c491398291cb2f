"""Jobs beyond what there is room for: due at once, without descriptors, without a log, unknown."""

from __future__ import annotations

import os
import random
import resource
import socket
import time

import psutil
import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.settle import cancel
from asyncmqd.domain.states import TERMINAL
from tests.daemon.harness import until
from tests.faults.conftest import Scene
from tests.faults.ledger import QUEUE
from tests.scale import scaled

# Seconds for which one command may hold up a Redis; in `make test` others use the machine, too.
LONGEST_COMMAND = scaled(0.5, 0.05)


@pytest.mark.row("F08", "plain functions that ignore their time limit")
def test_stuck(scene: Scene, figure):
    """Their slots are free at once, they fail once, and their late end changes nothing."""
    slots = 3
    daemon = scene.daemon(
        queue=f"concurrency = {slots}\ntimeout = 0.1\n", top="stuck_limit = 100"
    ).start()
    stuck = scene.store.add(QUEUE, "hold_thread", [f"stuck{n}" for n in range(2 * slots)])
    for id in stuck:
        daemon.wait_for("job.failed", job_id=id)
    scene.store.add(QUEUE, "mark", ["after"])
    daemon.wait_for("job.completed", job_id="after")
    before = [scene.store.get(QUEUE, id) for id in stuck]
    daemon.open_gate()
    scene.until_ran(len(stuck) + 1)
    assert daemon.stop() == 0
    assert [scene.store.get(QUEUE, id) for id in stuck] == before
    assert len(daemon.all("job.failed")) == len(stuck)
    figure(f"{len(stuck)} late ends, 0 of them written; {slots} of {slots} slots free")


@pytest.mark.row("F42", "a task that one of two daemons does not know")
def test_unknown_task(scene: Scene, figure):
    (scene.place / "extra.py").write_text(
        "from asyncmqd import task\nfrom ledger import note\n\n\n"
        '@task(name="extra")\ndef extra():\n    note("ran")\n'
    )
    ignorant = scene.daemon("ignorant").start()
    ids = scene.store.add(QUEUE, "extra", [f"j{n}" for n in range(20)])
    until(lambda: scene.store.counts(QUEUE).parked == len(ids))
    scene.daemon("knowing", tasks=["extra", "ledger"]).start()
    scene.until_ran(len(ids))
    scene.until_quiet()
    records = [scene.store.get(QUEUE, id) for id in ids]
    assert {(r.state, r.attempt, r.crashes) for r in records} == {("completed", 1, 0)}
    assert set(ignorant.tally().values()) == {1}
    figure(f"{len(ids)} jobs, 0 attempts charged, each ran once where it is known")


@pytest.mark.row("F44", "many jobs due in the same second")
def test_due_at_once(scene: Scene, figure):
    """The queue is paused, so that only what becomes due is at work."""
    many, limit = scaled(10_000, 100_000), scaled(15.0, 5.0)
    scene.store.do(lambda backend: backend.pause(QUEUE, True))
    scene.daemon().start()
    due = time.time() + scaled(5.0, 12.0)  # a busy machine needs a while to add them
    for at in range(0, many, 5_000):
        ids = [f"j{n}" for n in range(at, at + 5_000)]
        scene.store.add(QUEUE, "mark", ids, delay=max(0.0, due - time.time()))
    assert scene.store.counts(QUEUE).delayed > 0, "all were to be due later"
    longest = watch(scene)
    until(lambda: scene.store.counts(QUEUE).waiting == many)
    took = time.time() - due
    assert took < limit
    figure(f"{many} due after {took:.2f} s (at most {limit:g} s){longest()}")


def watch(scene: Scene):
    """What says, in the end, how long a command has held up Redis."""
    if scene.server is None:
        return lambda: ""
    with scene.server.client() as client:
        client.config_set("slowlog-log-slower-than", 500)
        client.slowlog_reset()

    def longest() -> str:
        with scene.server.client() as client:
            slow = max([each["duration"] for each in client.slowlog_get(1_000)], default=0) / 1e6
        assert slow < LONGEST_COMMAND
        return f"; longest command {slow * 1000:.1f} ms (at most {LONGEST_COMMAND * 1000:g} ms)"

    return longest


@pytest.mark.row("F62", "no descriptor left")
def test_out_of_descriptors(scene: Scene, figure):
    daemon = scene.daemon(queue="concurrency = 5\nretries = 1000\n").start()
    scene.enqueue(1, prefix="before")
    daemon.wait_for("job.completed")
    process = psutil.Process(daemon.pid)
    _, most = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    lowest = min(set(range(3, 1_000)) - {int(fd) for fd in os.listdir(f"/proc/{daemon.pid}/fd")})
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (lowest, most))
    scene.enqueue(10)
    scene.enqueued()
    daemon.wait_for("job.retrying", count=10)
    lines, used = len(daemon.events), process.cpu_times()
    waiting = [_knock(daemon.control) for _ in range(3)]
    time.sleep(scaled(0.5, 10.0))  # the time is what is tested
    spent = sum(process.cpu_times()[:2]) - sum(used[:2])
    told = [e for e in daemon.events[lines:] if not e["event"].startswith("job.")]
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (most, most))
    for each in waiting:
        each.close()
    scene.until_quiet()
    until(daemon.answers)
    verdict = scene.verdict()
    verdict.check()
    assert len(told) <= scaled(3, 12), "\n".join(map(str, told))
    figure(f"{verdict}; {len(told)} log lines and {spent:.2f} s of CPU meanwhile; it answers again")


def _knock(path):
    """A client of the control socket that nobody can accept."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return client


@pytest.mark.row("F63", "the log goes to a full disk")
def test_full_log(scene: Scene, figure):
    daemon = scene.daemon()
    daemon.output = "/dev/full"
    daemon.start(read=False)
    scene.enqueue(scaled(100, 5_000))
    scene.enqueued()
    scene.until_quiet()
    dropped = daemon.ask("status")["log"]["dropped"]
    verdict = scene.verdict()
    verdict.check()
    assert dropped > 0
    figure(f"{verdict}; {dropped} lines dropped and counted")


@pytest.mark.row("F72", "jobs cancelled and removed while they are claimed, run and settled")
def test_meddling(scene: Scene, figure):
    many, draw = scaled(200, 5_000), random.Random(4)
    daemon = scene.daemon(queue="concurrency = 5\nretries = 1\n")
    ids = scene.enqueue(many, task="nap", args=[0.005])
    scene.enqueued()
    answers: dict[str, int] = {}

    async def meddle(backend: BaseBackend) -> None:
        id = draw.choice(ids)
        (record,) = await backend.get(QUEUE, [id])
        if record is None:
            return
        if draw.random() < 0.5:
            (answer,) = await backend.apply(QUEUE, [cancel(record)])
        else:
            (answer,) = map(str, await backend.remove(QUEUE, [id]))
        answers[answer] = answers.get(answer, 0) + 1

    for _ in range(20):  # while they wait
        scene.store.do(meddle)
    daemon.start()
    while not scene.is_quiet():
        scene.store.do(meddle)
    assert daemon.stop() == 0
    records = scene.store.do(lambda backend: backend.get(QUEUE, ids))
    assert {r.state for r in records if r is not None} <= TERMINAL
    assert set(daemon.tally("began").values()) == {1}
    assert not [event for event in daemon.events if event["level"] == "error"]
    assert answers.get("applied"), answers
    assert answers.get("True"), answers
    figure(f"{many} jobs, answers {answers}; all ended or gone, none ran twice, 0 errors")
