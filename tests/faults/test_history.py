"""History after kill -9, an outage and a reload: never too much, and little is missing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncmqd.domain.history import Count, History
from tests.daemon.harness import until
from tests.faults.conftest import Scene
from tests.faults.forked import ForkedDaemon
from tests.faults.ledger import QUEUE
from tests.servers import RedisServer

SHORT_MINUTES = """\
from asyncmqd.domain import history
from asyncmqd.runtime.process import presence

history.MINUTE = 0.3
presence.BEAT = 0.05
"""
SLOTS = 5


class Rounds:
    """Jobs that run, and what the history says of them."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        (scene.place / "short_minutes.py").write_text(SHORT_MINUTES)
        self.ran = 0

    def daemon(self) -> ForkedDaemon:
        queue = f"concurrency = {SLOTS}\n"
        return self.scene.daemon(queue=queue, tasks=["short_minutes", "ledger"])

    def run(self, jobs: int) -> None:
        ids = [f"j{number}" for number in range(self.ran, self.ran + jobs)]
        self.scene.store.add(QUEUE, "mark", ids)
        self.ran += jobs
        until(self._have_run)

    def _have_run(self) -> bool:
        """What a kill met between its end and its settlement runs twice."""
        completed, ran = self.total("completed"), self.scene.ran()
        assert completed <= ran
        return ran >= self.ran

    def history(self) -> History:
        return self.scene.store.do(lambda backend: backend.history(QUEUE))

    def total(self, name: Count) -> int:
        return sum(period.count(name) for _, period in self.history().periods)

    def durations(self) -> int:
        return sum(sum(period.runs[1::2]) for _, period in self.history().periods)

    def until_told(self) -> None:
        """Until nothing is left to tell: the store counts, and so does the process."""
        until(lambda: self.total("completed") == self.total("added") == self.ran)


@pytest.fixture
def server(place: Path) -> Iterator[RedisServer]:
    """One that keeps all it has acknowledged, also when it is killed."""
    directory = place / "redis"
    directory.mkdir()
    with RedisServer("valkey9", directory, tcp=True, appendonly=True) as running:
        yield running


@pytest.mark.row("F01", "kill -9 of a daemon: what the history of its queue is missing")
def test_totals_after_a_kill(scene: Scene, figure) -> None:
    rounds = Rounds(scene)
    d = rounds.daemon().start()
    rounds.run(20)
    until(lambda: rounds.durations() == 20)
    rounds.run(20)
    d.kill()
    d.start()
    rounds.run(20)
    d.signal(signal.SIGHUP)
    d.wait_for("daemon.reloaded")
    rounds.run(20)
    rounds.until_told()
    assert d.stop() == 0
    assert rounds.total("completed") == rounds.total("added") == 80
    for found in (rounds.total("started"), rounds.durations()):
        assert 60 <= found <= scene.ran()
    figure(f"{rounds.total('started')} of 80 starts (at least 60), 80 of 80 ends")


@pytest.mark.row("F12", "an outage of the store: what the history of a queue is missing")
def test_totals_after_an_outage(redis_scene: Scene, figure) -> None:
    rounds = Rounds(redis_scene)
    d = rounds.daemon().start()
    rounds.run(20)
    until(lambda: rounds.durations() == 20)
    assert redis_scene.server is not None
    redis_scene.server.restart()
    rounds.run(20)
    rounds.until_told()
    assert d.stop() == 0
    assert rounds.total("completed") == rounds.total("added") == 40
    assert 20 <= rounds.durations() <= rounds.total("started") <= redis_scene.ran()
    figure(f"{rounds.total('started')} of 40 starts, 40 of 40 ends")
