"""Restarts at random moments under load: nothing lost, nothing charged, and soon at work again."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.daemon.harness import until
from tests.scale import scaled
from tests.systemd.conftest import REDIS
from tests.systemd.service import Service

PENDING = scaled(400, 1_000)  # jobs that run or wait at each restart
SLOTS = 100
RESTARTS, KILLS = scaled(3, 50), scaled(4, 10)  # at four kills there are candidates, too
STORES = ["sqlite", "redis"]
CONFIG = f"[queues.mail]\nconcurrency = {SLOTS}\n"


@dataclass(frozen=True)
class Note:
    """A line of the ledger, which the tasks write and no store knows of."""

    word: str
    queue: str
    id: str
    attempt: str
    pid: str
    time: str


class Load:
    """Keeps a daemon under load, and judges it by the ledger at the end."""

    def __init__(self, daemon: Service) -> None:
        self.daemon = daemon
        self.accepted: list[str] = []
        self.again: list[float] = []  # seconds from each stop to the last cut-off job's next run
        self.ready: list[float] = []  # the same, from the moment at which the next daemon is ready
        self.cut_off = 0
        self._random = random.Random(7)
        self._notes: list[Note] = []
        self._read = 0  # bytes

    def notes(self) -> list[Note]:
        """All notes so far."""
        ledger = self.daemon.box.path(self.daemon.environ["LEDGER"])
        if ledger.exists():
            with ledger.open("rb") as stream:
                stream.seek(self._read)
                whole, newline, _ = stream.read().rpartition(b"\n")  # the last may be half written
            self._read += len(whole + newline)
            self._notes += [Note(*line.split()) for line in whole.decode().splitlines()]
        return self._notes

    def top_up(self) -> None:
        """Bring the jobs that run or wait to PENDING; noted once the store has them."""
        counts = self.daemon.store.counts("mail")
        missing = PENDING - counts.waiting - counts.active
        ids = [f"j{len(self.accepted) + n}" for n in range(missing)]
        nap = self._random.uniform(0.05, 0.4)
        self.accepted += self.daemon.store.add("mail", "nap", ids, nap)

    def pause(self) -> None:
        """Let it work for a random while, which is the moment that is tested."""
        pid = str(self.daemon.pid)
        until(lambda: self._running(pid))
        time.sleep(self._random.uniform(0, 0.3))

    def _running(self, pid: str) -> set[str]:
        words = {note.id: note.word for note in self.notes() if note.pid == pid}
        return {id for id, word in words.items() if word == "began"}

    def cut(self, stop: str) -> None:
        """End the daemon; see that the jobs it leaves behind run again under the next one."""
        daemon = self.daemon
        old, before = daemon.pid, len(self.notes())
        began = time.monotonic()
        if stop == "restart":
            daemon.box.systemctl("restart", daemon.unit)
            began = int(daemon.show("ExecMainStartTimestampMonotonic").popitem()[1]) / 1e6
        else:
            daemon.kill("KILL")
            until(lambda: daemon.pid not in {0, old})
            daemon.wait_for_state("active")
        left = self._running(str(old))
        new = str(daemon.pid)
        until(lambda: left <= {note.id for note in self.notes()[before:] if note.pid == new})
        runs = [float(n.time) for n in self.notes()[before:] if n.pid == new and n.id in left]
        self.cut_off += len(left)
        if runs:
            self.again.append(max(runs) - began)
            active = int(daemon.show("ActiveEnterTimestampMonotonic").popitem()[1]) / 1e6
            self.ready.append(max(runs) - active)
        if stop == "kill":
            # Who was on board at two crashes is a candidate, and candidates run one by one.
            until(lambda: left <= {n.id for n in self.notes()[before:] if n.word == "ran"})

    def verdict(self) -> dict[str, int]:
        """Wait for the end of all jobs, and count."""
        store = self.daemon.store
        until(lambda: (c := store.counts("mail")).waiting + c.active + c.delayed == 0, 60)
        notes = [note for note in self.notes() if note.queue == "mail"]
        ran = Counter(note.id for note in notes if note.word == "ran")
        return {
            "accepted": len(self.accepted),
            "executed": len(ran),
            "lost": len(set(self.accepted) - set(ran)),
            "doubled": sum(1 for count in ran.values() if count > 1),
            "cut off and run again": self.cut_off,
            "attempts charged": sum(1 for note in notes if note.attempt != "1"),
        }

    def told(self) -> str:
        return (
            f"median {statistics.median(self.again):.2f} s, longest {max(self.again):.2f} s;"
            f" after it is ready, longest {max(self.ready):.2f} s"
        )


@pytest.fixture
def load(request, service, place) -> Iterator[Load]:
    if request.param == "redis":
        request.getfixturevalue("server")
    daemon = service("a", backend=REDIS if request.param == "redis" else "")
    daemon.configure(CONFIG, top="shutdown_timeout = 0.05\n")
    daemon.start()
    return Load(daemon)


@pytest.mark.parametrize("load", scaled(["sqlite"], STORES), indirect=True)
def test_restarts_lose_and_charge_nothing(load, seen, request):
    for _ in range(RESTARTS):
        load.top_up()
        load.pause()
        load.cut("restart")
    verdict = load.verdict()
    kind = request.node.callspec.params["load"]
    seen(f"redeploy: {RESTARTS} restarts on {kind} with {PENDING} jobs pending: {verdict}")
    seen(f"redeploy: cut-off jobs on {kind} after the next start: {load.told()} (limit 1 s)")
    assert verdict["lost"] == verdict["doubled"] == verdict["attempts charged"] == 0
    assert verdict["accepted"] == verdict["executed"]
    assert load.cut_off >= RESTARTS
    assert max(load.ready) < 1  # before that Python starts, as fast as the machine lets it


@pytest.mark.parametrize("load", scaled(["redis"], STORES), indirect=True)
def test_kills_lose_and_charge_nothing_and_leave_the_neighbour_alone(load, service, seen, request):
    neighbour = service("b", backend=load.daemon.backend)
    neighbour.drop_in("neighbour", f"[Service]\nReadWritePaths={load.daemon.state}\n")
    neighbour.configure("[queues.neighbour]\n")
    neighbour.start()
    neighbour.store.add("neighbour", "hold", ["n1", "n2", "n3"])
    until(lambda: len(neighbour.lines("began")) == 3)
    for _ in range(KILLS):
        load.top_up()
        load.pause()
        load.cut("kill")
    verdict = load.verdict()
    kind = request.node.callspec.params["load"]
    seen(f"redeploy: {KILLS} x kill -9 on {kind} with {PENDING} jobs pending: {verdict}")
    seen(f"redeploy: cut-off jobs on {kind} after kill -9: {load.told()} (limit 2 s)")
    assert verdict["lost"] == verdict["attempts charged"] == 0
    assert verdict["doubled"] <= KILLS * SLOTS  # what was done and not yet told
    assert max(load.ready) < 1  # before that Python starts, as fast as the machine lets it
    neighbour.open_gate()
    until(lambda: len(neighbour.lines()) == 3)
    assert neighbour.tally("began") == dict.fromkeys(["n1", "n2", "n3"], 1)
    assert not neighbour.logged("job.lease_lost", "job.recovered")
    seen(f"redeploy: jobs on {kind} that a living neighbour held meanwhile: each ran once")
