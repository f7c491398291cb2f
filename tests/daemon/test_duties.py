"""What a daemon does when one of its standing duties crashes."""

from __future__ import annotations

from pathlib import Path

from tests.daemon.harness import until

QUEUE = "[queues.mail]\nconcurrency = 5\ndrain_timeout = 60\n"

SABOTAGE = """
from asyncmqd.runtime import duties
from asyncmqd.runtime.leases import Leases

crashes, every = {crashes}, {every}
whole = Leases._due
duties.HOPELESS = 3

def due(self):
    global crashes
    if crashes and self._runs:
        crashes -= 1
        raise KeyError("moved")
    return whole(self)

Leases._due = due
Leases._pause = lambda self, took: every
"""


def _sabotaged(place: Path, crashes: int, every: float) -> list[str]:
    """A renewal of leases that fails so often; the leases are renewed all so many seconds."""
    (place / "sabotage.py").write_text(SABOTAGE.format(crashes=crashes, every=every))
    return ["sabotage", "ledger"]


def test_a_lease_thread_that_dies_is_begun_again_and_told_of(daemon, file, place):
    d = daemon(file.url, QUEUE, tasks=_sabotaged(place, 1, 0.5), top="lease = 2").start()
    file.add("mail", "hold", ["a"])
    crash = d.wait_for("duty.crashed")
    assert (crash["duty"], crash["error"]) == ("renewal of leases", "KeyError: 'moved'")
    assert "in due" in crash["exception"]
    assert d.ask("status")["crashed_duties"] == ["renewal of leases: KeyError: 'moved'"]
    ends = file.get("mail", "a").due
    until(lambda: file.get("mail", "a").due > ends)
    d.open_gate()
    d.wait_for("job.completed", job_id="a")
    assert d.stop() == 0
    assert not d.all("job.lease_lost")


def test_leases_that_nobody_renews_are_handed_back(daemon, file, place):
    """Nothing waits for the drain: others would take over what still runs."""
    d = daemon(file.url, QUEUE, tasks=_sabotaged(place, 1_000, 0.1), top="lease = 30").start()
    file.add("mail", "hold", ["a"])
    assert d.wait(60) == 1, "systemd starts another"
    assert len(d.all("duty.crashed")) >= 3
    assert "renewal of leases crashed 3 times" in d.all("daemon.restarting")[0]["error"]
    record = file.get("mail", "a")
    assert (record.state, record.crashes, record.failures) == ("waiting", 0, 0)
