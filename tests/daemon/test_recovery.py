"""Daemons that are killed, frozen or crash inside: nothing is lost, nothing is overwritten."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.daemon.family import LONG_LEASES
from tests.daemon.harness import Store, until

MANY = "[queues.mail]\nconcurrency = 50\n"


def test_kill_9_costs_no_job_and_no_lease(daemon, store):
    d = daemon(store.url, MANY, top=LONG_LEASES).start()
    ids = store.add("mail", "hold", [f"{n}" for n in range(30)])
    until(lambda: len(d.lines("began")) == 30)
    d.kill()
    d.start()
    assert d.all("daemon.ready")[0]["recovered"] == 30, "at once, and not when their leases end"
    until(lambda: len(d.lines("began")) == 60)
    since_ready = d.all("job.recovered", job_id="0")
    assert len(since_ready) == 1
    d.open_gate()
    until(lambda: len(d.lines()) == 30)
    assert d.stop() == 0
    assert d.tally() == dict.fromkeys(ids, 1)
    assert store.counts("mail").completed == 30
    # A crash of the daemon is not an attempt of the job.
    assert {each["attempt"] for each in d.all("job.completed")} == {1}


def test_a_daemon_that_is_dead_for_certain_is_no_worker_any_more(daemon, store):
    """Or its slots would count as free ones until its heartbeat runs out."""
    d = daemon(store.url, MANY).start()
    former = d.pid
    until(lambda: former in store.serving())
    d.kill()
    d.start()
    assert former not in store.serving()
    until(lambda: store.serving() == {d.pid})


def test_a_neighbour_on_the_same_host_keeps_its_jobs(daemon, store):
    """Only the instance that died is taken back: another daemon's claims are its own."""
    one = daemon(store.url, MANY, name="one").start()
    store.add("mail", "hold", ["a"])
    until(lambda: one.lines("began") == ["a"])
    two = daemon(store.url, MANY, name="two").start()
    assert "recovered" not in two.all("daemon.ready")[0]
    two.kill()
    two.start()
    one.open_gate()
    one.wait_for("job.completed", job_id="a")
    assert one.lines("began") == ["a"]


def test_a_frozen_daemon_overwrites_nothing(daemon, store):
    top = "lease = 2"
    frozen = daemon(store.url, MANY, name="one", top=top).start()
    ids = store.add("mail", "hold", [f"{n}" for n in range(10)])
    until(lambda: len(frozen.lines("began")) == 10)
    frozen.freeze(store)
    other = daemon(store.url, MANY, name="two", top=top).start()
    until(lambda: len(other.lines("began")) == 20)
    until(lambda: len(other.all("job.recovered")) == 10)
    frozen.signal(signal.SIGCONT)
    for each in ids:
        frozen.wait_for("job.lease_lost", job_id=each)
    other.open_gate()
    for each in ids:
        other.wait_for("job.completed", job_id=each)
        node = other.all("daemon.starting")[0]["worker"]
        assert store.get("mail", each).worker.startswith(f"{node}#")
    assert frozen.stop() == 0
    assert other.stop() == 0
    assert not frozen.all("job.completed")
    assert len(other.all("job.completed")) == 10


def test_two_daemons_run_each_job_once(daemon, store):
    daemons = [daemon(store.url, MANY, name=name).start() for name in ("one", "two")]
    ids = [f"{n}" for n in range(3000)]
    for start in range(0, 3000, 500):
        store.add("mail", "mark", ids[start : start + 500])
    until(lambda: len(daemons[0].lines()) >= 3000)
    for each in daemons:
        assert each.stop() == 0
    assert daemons[0].tally() == dict.fromkeys(ids, 1)
    counts = store.counts("mail")
    assert (counts.waiting, counts.active, counts.failed) == (0, 0, 0)
    assert all(len(each.all("job.completed")) > 100 for each in daemons)


SABOTAGE = """
from asyncmqd.runtime.claiming.loop import ClaimLoop

crashes = 2
whole = ClaimLoop._send

async def broken(self, limit, *sign_up):
    global crashes
    if self.queue == "mail" and limit and crashes:
        crashes -= 1
        raise RuntimeError("sabotage")
    return await whole(self, limit, *sign_up)

ClaimLoop._send = broken
"""


def test_a_worker_that_crashes_is_started_anew_and_touches_no_other(daemon, server, place: Path):
    (place / "sabotage.py").write_text(SABOTAGE)
    store = Store(server.url)
    queues = "[queues.mail]\n[queues.other]\n"
    d = daemon(server.url, queues, tasks=["sabotage", "ledger"]).start()
    crash = d.wait_for("queue.crashed", count=2)
    assert (crash["queue"], crash["error"]) == ("mail", "RuntimeError: sabotage")
    assert crash["level"] == "error"
    d.wait_for("queue.started", queue="mail", count=3)
    store.add("mail", "mark", ["a"])
    store.add("other", "mark", ["b"])
    until(lambda: sorted(d.lines()) == ["a", "b"])
    status = d.ask("status")["queues"]
    assert (status["mail"]["restarts"], status["other"]["restarts"]) == (2, 0)
    assert len(d.all("queue.started", queue="other")) == 1
    assert d.stop() == 0


def test_a_second_daemon_with_the_same_socket_refuses(daemon, server):
    one = daemon(server.url, MANY).start()
    two = daemon(server.url, MANY)
    two.start(ready=False)
    assert two.wait() == 1
    assert two.stderr == (
        f"asyncmqd: another daemon runs with the control socket {one.control}:"
        " give this one a control_socket of its own\n"
    )
    assert one.answers()
