"""The hang detector, on real loops that are blocked until it has told."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise
from typing import Any

import pytest

from asyncmqd.daemon import hang_monitor
from asyncmqd.daemon.hang_monitor import LoopMonitor
from asyncmqd.daemon.task_owners import begin_task
from asyncmqd.domain.job import Claim, JobSpec
from asyncmqd.observe.log import running_job
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.execution.run import Run
from asyncmqd.runtime.job_context import JobContext, enter
from tests.daemon.harness import LIMIT, until

CLAIM = Claim(queue="mail", id="j1", payload=b"", token=1, worker="w#1", failures=1)
FIELDS = {"queue": "mail", "worker": "w#1", "job_id": "j1", "task": "grind", "attempt": 2}


class Told(Observer):
    """Keeps events, for tests that wait for them from any thread."""

    def __init__(self) -> None:
        super().__init__([])
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._news = threading.Condition()

    def event(self, name: str, **fields: Any) -> None:
        with self._news:
            self.events.append((name, fields))
            self._news.notify_all()

    def of(self, name: str) -> list[dict[str, Any]]:
        return [fields for told, fields in self.events if told == name]

    def wait_for(self, name: str, count: int = 1) -> None:
        """Blocks the thread that asks, and thereby its loop."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.of(name)) >= count, LIMIT), self.events


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setattr(hang_monitor, "EVERY", 0.01)
    monkeypatch.setattr(hang_monitor, "BLOCKED", 0.05)
    return Told()


@pytest.fixture
def run():
    run = Run(CLAIM, CLAIM.id, 0.0)
    run.spec = JobSpec(id="j1", task="grind")
    return run


@pytest.fixture
async def watch(told, run):
    asyncio.get_running_loop().set_task_factory(begin_task)
    watched = LoopMonitor(told, lambda: [run])
    watching = asyncio.create_task(watched.run())
    await asyncio.sleep(0)
    yield watched
    watching.cancel()


async def test_it_names_the_job_and_the_place(told, run, watch):
    run.asyncio_task = asyncio.current_task()
    told.wait_for("loop.blocked")
    await asyncio.to_thread(told.wait_for, "loop.resumed")
    blocked, resumed = told.of("loop.blocked")[0], told.of("loop.resumed")[0]
    assert blocked.items() >= FIELDS.items()
    assert 50 <= blocked["blocked_ms"] <= resumed["blocked_ms"]
    assert any(line.endswith(" test_it_names_the_job_and_the_place") for line in blocked["stack"])


async def test_it_tells_again_at_growing_intervals(told, watch):
    told.wait_for("loop.blocked", 4)
    times = [each["blocked_ms"] for each in told.of("loop.blocked")[:4]]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[0] >= 49
    assert pauses[1] >= 99
    assert pauses[2] >= 199


async def test_a_task_that_the_job_began_is_the_job_s(told, run, watch):
    async def begun_by_the_job() -> None:
        told.wait_for("loop.blocked")

    context = dict(FIELDS, id=FIELDS["job_id"], _ends=None, _run=None)
    del context["job_id"]
    enter(JobContext(**context))
    await asyncio.create_task(begun_by_the_job())
    running_job.set(None)
    blocked = told.of("loop.blocked")[0]
    assert blocked.items() >= FIELDS.items()
    assert any(line.endswith(" begun_by_the_job") for line in blocked["stack"])


async def test_a_busy_loop_that_turns_is_left_in_peace(told, monkeypatch):
    monkeypatch.setattr(hang_monitor, "BLOCKED", 2.0)  # a loaded machine takes the processor away
    watched = LoopMonitor(told, list)
    watching = asyncio.create_task(watched.run())
    for _ in range(20_000):
        await asyncio.sleep(0)
    watching.cancel()
    assert told.events == []


def test_the_daemon_tells_while_it_is_blocked(daemon, server, store):
    d = daemon(store.url, "[queues.mail]\n").start()
    store.add("mail", "block", ["a"])
    blocked = d.wait_for("loop.blocked", job_id="a")
    assert blocked["task"] == "block"
    assert blocked["level"] == "error"
    assert blocked["stack"][0].rpartition(":")[0].endswith("ledger.py")
    assert blocked["stack"][0].endswith(" block")
    assert not d.all("job.completed")
    d.open_gate()
    d.wait_for("loop.resumed")
    d.wait_for("job.completed", job_id="a")
    assert d.stop() == 0


def test_too_many_stuck_functions_end_in_an_orderly_restart(daemon, server, store):
    d = daemon(store.url, "[queues.mail]\ntimeout = 0.2\n[queues.long]\n", top="stuck_limit = 2")
    d.start()
    store.add("long", "hold", ["patient"])
    until(lambda: d.lines("began", "long"))
    store.add("mail", "hold_thread", ["s1", "s2"])
    assert d.wait_for("daemon.restarting")["level"] == "error"
    for job in ("s1", "s2"):
        stuck = d.wait_for("job.stuck", job_id=job)
        assert stuck["reason"] == "timeout"
        assert any(line.endswith(" hold_thread") for line in stuck["stack"])
    d.wait_for("daemon.draining")
    d.open_gate()
    assert d.wait() == 1  # and not 0: systemd is to start it again
    assert d.lines(queue="long") == ["patient"]
    assert store.get("mail", "s1").state == "failed"
