"""Schedules over several daemons that are killed, stopped and skewed: each instant fires once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.schedule import Repeatable
from tests.scale import SCALE
from tests.simulation.judge import Judge
from tests.simulation.loop import SimLoop
from tests.simulation.process import LEASE, Process
from tests.simulation.server import Server
from tests.simulation.tasks import Tasks
from tests.simulation.world import EPOCH, World

LISBON = "Europe/Lisbon"  # sets its clock at 01:00 UTC, to 02:00 in March and to 01:00 in October
PERIOD = {"short": 5.0, "full": 1.0, "soak": 1.0}[SCALE]  # seconds
HOURS = {"short": 0.5, "full": 6, "soak": 24}[SCALE]
STRIKES = {"short": 30.0, "full": 20.0, "soak": 20.0}[
    SCALE
]  # seconds between two faults, on average


class Fleet:
    """Hosts, of which at least one is well at any moment."""

    def __init__(
        self, seed: int, epoch: float, repeatables: tuple[Repeatable, ...], size: int
    ) -> None:
        self.size = size
        self.world = World(seed, epoch)
        self.judge = Judge(self.world, slow=True)
        self.server = Server(self.world, self.judge)
        self.tasks = Tasks(self.judge)
        self.options = {"a": QueueOptions(repeatables=repeatables)}
        self.well_from = [0.0] * size  # when each host is, on the world's clock
        self.kills = self.pauses = 0

    def play(self, seconds: float) -> None:
        """Let time pass, and see that enough went wrong in it."""
        with self.world.owns_the_clocks():
            try:
                self.hosts = [self._start(host) for host in range(self.size)]
                self.world.after(STRIKES, self._strike)
                self.world.rest(seconds)
                assert not any(process.crash for process in self.hosts)
            finally:
                self.world.dispose()
        assert min(self.kills, self.pauses) > 10
        assert self.judge.latest < 0.1  # seconds

    def fired(self, name: str) -> list[float]:
        """The instants of a schedule that fired, in order."""
        return self.judge.history.fired["a", name]

    def summary(self, what: str) -> str:
        """One line for the end of the run."""
        count = sum(map(len, self.judge.history.fired.values()))
        return (
            f"cron over {self.size} daemons, {what}: {count:,} instants, {self.kills} kills,"
            f" {self.pauses} stops: each fired once, {self.judge.latest * 1000:.0f} ms late at most"
            " (limit 100 ms)"
        )

    def _start(self, host: int) -> Process:
        rng = self.world.rng
        now = lambda: self.world.now  # noqa: E731 - the loop's clock
        loop = SimLoop(now, rng, rng.uniform(0, 1e6), 1 + rng.uniform(-200e-6, 200e-6))
        skew = rng.uniform(-5, 5)
        registry = self.tasks.registry
        return Process(self.server, host, registry, self.options, loop, skew, self._on_end)

    def _on_end(self, process: Process) -> None:
        self.judge.note_end(process)
        # Or each wake-up would go to all the thousands that were killed in a day.
        self.server.clients.remove(process.store)
        self.world.after(self.world.rng.uniform(0.2, 2), self._restart, process.host)

    def _restart(self, host: int) -> None:
        self.hosts[host] = self._start(host)

    def _strike(self) -> None:
        """Kill or stop one, if another one stays well meanwhile."""
        rng, now = self.world.rng, self.world.now
        self.world.after(rng.expovariate(1 / STRIKES), self._strike)
        well = [host for host in range(self.size) if self.well_from[host] <= now]
        if len(well) < 2:
            return
        host = rng.choice(well)
        if rng.random() < 0.5:
            self.hosts[host].kill("injected")
            self.well_from[host] = now + 2.5
            self.kills += 1
        else:
            seconds = rng.uniform(LEASE, 3 * LEASE)
            self.hosts[host].loop.pause(seconds)
            self.well_from[host] = now + seconds + 0.5
            self.pauses += 1


def _cron(name: str, cron: str) -> Repeatable:
    return Repeatable(task="tick", name=name, cron=cron, timezone=LISBON)


CRONS = (
    _cron("quarters", "*/15 * * * *"),
    _cron("half past one", "30 1 * * *"),
    _cron("half past two", "30 2 * * *"),
)
# Worked out by hand from the rules for such nights: minutes after midnight in UTC.
NIGHTS = {
    "spring": (datetime(2027, 3, 28, tzinfo=UTC), {"half past one": [60], "half past two": [90]}),
    "autumn": (datetime(2027, 10, 31, tzinfo=UTC), {"half past one": [30], "half past two": []}),
}
FROM, TO = 27, 91  # minutes after midnight


@pytest.mark.timeout(3_600)
def test_each_instant_of_a_period_fires_once(seen: Callable[[str], None]) -> None:
    fleet = Fleet(1, EPOCH + 0.5, (Repeatable(task="tick", every=PERIOD),), 5)
    fleet.play(HOURS * 3_600)
    count = int(HOURS * 3_600 // PERIOD)
    assert fleet.fired("tick") == [EPOCH + PERIOD * n for n in range(1, count + 1)]
    seen(fleet.summary(f"every {PERIOD:g} s for {HOURS:g} h"))


@pytest.mark.parametrize("night", NIGHTS)
def test_each_instant_fires_once_when_clocks_change(
    night: str, seen: Callable[[str], None]
) -> None:
    midnight, fixed = NIGHTS[night]
    fleet = Fleet(2, midnight.timestamp() + FROM * 60 + 0.5, CRONS, 3)
    fleet.play((TO - FROM) * 60)

    def minutes(name: str) -> list[float]:
        return [(instant - midnight.timestamp()) / 60 for instant in fleet.fired(name)]

    assert minutes("quarters") == [30, 45, 60, 75, 90]
    assert {name: minutes(name) for name in fixed} == fixed
    seen(fleet.summary(f"crons in the {night} night"))
