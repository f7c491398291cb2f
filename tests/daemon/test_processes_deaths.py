"""`processes = N`: children that die or hang are replaced, and cost nobody but themselves."""

from __future__ import annotations

import os
import signal
import time

from asyncmqd.domain.shared_limits import SharedLimits
from tests.daemon.conftest import mostly_on
from tests.daemon.family import LONG_LEASES, MAIL, TWO, children_of, gone, runners
from tests.daemon.harness import LIMIT, Notified, until


@mostly_on("valkey9")
def test_a_killed_child_gives_its_jobs_back_and_comes_back(daemon, store):
    d = daemon(store.url, MAIL, top=TWO + LONG_LEASES).start()
    store.add("mail", "hold", [f"{n}" for n in range(10)])
    until(lambda: len(d.lines("began")) == 10)
    victim, other = children_of(d)
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(d.lines("began")) == 15)
    assert len(d.all("job.recovered")) == 5
    ended = d.wait_for("process.ended")
    assert (ended["process"], ended["error"], ended["level"]) == (1, "signal SIGKILL", "error")
    assert other in children_of(d)
    assert victim not in children_of(d)
    d.wait_for("process.started", count=3)
    assert victim not in store.serving(), "nobody counts on its slots any more"
    d.open_gate()
    until(lambda: len(d.lines()) == 10)
    assert set(d.tally().values()) == {1}
    assert runners(d)[other] == 5, "the other child's jobs were not touched"
    # A crash is not an attempt.
    assert {d.wait_for("job.completed", n + 1)["attempt"] for n in range(10)} == {1}
    assert d.ask("status")["processes"][0]["restarts"] == 1
    assert d.stop() == 0


@mostly_on("sqlite")
def test_a_poison_job_kills_children_three_times_and_never_the_daemon(daemon, store):
    d = daemon(store.url, MAIL, top=TWO).start()
    store.add("mail", "hold", ["innocent"])
    until(lambda: d.lines("began"))
    store.add("mail", "last_words", ["poison"])
    d.wait_for("job.quarantined", job_id="poison")
    assert len(d.all("process.ended", error="signal SIGKILL")) == 3
    record = store.get("mail", "poison")
    assert (record.state, record.crashes) == ("failed", 3)
    d.open_gate()
    until(lambda: d.lines() == ["innocent"])
    assert d.process.poll() is None
    assert d.stop() == 0


def test_a_child_that_a_job_ends_with_code_0_has_died_all_the_same(daemon, file):
    d = daemon(file.url, MAIL, top=TWO).start()
    file.add("mail", "leave", ["poison"])
    d.wait_for("job.quarantined", job_id="poison")
    assert len(d.all("process.ended", error="exit code 0")) == 3
    assert d.stop() == 0


def test_a_child_whose_loop_is_blocked_is_replaced_and_the_others_work_on(daemon, file, place):
    notified = Notified(f"{place}/n")
    environ = {"NOTIFY_SOCKET": notified.address, "WATCHDOG_USEC": "3000000"}
    d = daemon(file.url, MAIL, top=TWO, environ=environ).start()
    file.add("mail", "block", ["stuck"])
    until(lambda: d.lines("began"))
    (victim,) = runners(d)
    ids = file.add("mail", "mark", [f"{n}" for n in range(20)])
    hung = d.wait_for("process.hung")
    assert hung["pid"] == victim
    blocked = d.wait_for("loop.blocked", job_id="stuck")
    assert any("ledger.py" in line for line in blocked["stack"]), blocked
    d.open_gate()
    d.wait_for("process.ended", process=hung["process"], error="signal SIGABRT")
    until(lambda: set(d.lines()) == {*ids, "stuck"})
    notified.wait_for("WATCHDOG", 3)
    assert d.stop() == 0
    assert "in block" in d.stderr, "faulthandler shows the stack, whatever holds it"


def test_a_child_that_is_frozen_is_replaced(daemon, file):
    environ = {"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "1500000"}
    d = daemon(file.url, MAIL, top=TWO, environ=environ).start()
    victim = children_of(d)[0]
    file.freeze(victim)
    d.wait_for("process.hung", pid=victim)
    d.wait_for("process.started", count=3)
    assert gone(victim)


def test_a_daemon_that_stood_still_itself_blames_no_child(daemon, file):
    """As all of it does in a machine that is stopped; it is back before its children are."""
    environ = {"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "4000000"}
    d = daemon(file.url, MAIL, top=TWO, environ=environ).start()
    pids = children_of(d)
    for pid in (d.pid, *pids):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(5)  # the fault itself
    d.signal(signal.SIGCONT)
    until(d.answers)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    file.add("mail", "hold", [f"{n}" for n in range(10)])
    until(lambda: len(d.lines("began")) == 10)
    assert set(runners(d)) == set(pids)
    assert not d.all("process.hung")


def test_a_child_with_too_many_stuck_threads_is_replaced_in_order(daemon, file):
    top = TWO + "stuck_limit = 2\n"
    d = daemon(file.url, "[queues.mail]\ntimeout = 0.2\n", top=top).start()
    file.add("mail", "hold_thread", [f"{n}" for n in range(4)])
    d.wait_for("process.restarting")
    d.wait_for("process.started", count=3)
    assert not d.all("process.ended")
    assert not d.all("daemon.restarting")
    d.open_gate()


def test_what_the_last_jobs_of_a_child_came_to_is_counted(daemon, file):
    queues = MAIL + "[queues.threads]\ntimeout = 0.2\n"
    d = daemon(file.url, queues, top=TWO + "stuck_limit = 1\n").start()
    file.add("mail", "hold", [f"{n}" for n in range(10)])
    until(lambda: len(d.lines("began")) == 10)
    file.add("threads", "hold_thread", ["overstays"])
    d.wait_for("process.restarting")
    d.open_gate()  # those of the child that drains end, and it leaves at once
    d.wait_for("process.started", count=3)
    until(lambda: d.ask("status")["queues"]["mail"]["running"] == 0)
    assert d.ask("status")["queues"]["mail"]["completed"] == 10


FORKS = """
import os, pathlib, signal, time
if pathlib.Path('wait').exists():
    if os.fork() == 0:  # what is forked holds the socket, and the log
        signal.alarm(30)
        while pathlib.Path('wait').exists(): time.sleep(0.01)
        os._exit(0)
    os._exit(3)
"""


def test_a_child_that_dies_while_it_starts_is_seen_though_a_fork_of_it_lives(daemon, file, place):
    (place / "forks.py").write_text(FORKS)
    d = daemon(file.url, MAIL, tasks=["forks", "ledger"], top=TWO).start()
    (place / "wait").touch()
    os.kill(children_of(d)[0], signal.SIGKILL)
    d.wait_for("process.ended", error="exit code 3")
    (place / "wait").unlink()
    d.wait_for("process.started", count=3)
    assert d.stop() == 0


def test_so_it_is_at_the_start_of_the_daemon(daemon, file, place):
    (place / "forks.py").write_text(FORKS)
    (place / "wait").touch()
    d = daemon(file.url, MAIL, tasks=["forks", "ledger"], top=TWO).start(ready=False)
    assert d.process.wait(LIMIT) == 1
    (place / "wait").unlink()
    d.wait()
    assert "exit code 3 while it was started\n" in d.stderr


@mostly_on("sqlite")
def test_children_keep_to_one_limit_and_a_new_one_leaves_a_newer_limit_as_it_is(daemon, store):
    # Three slots for each child: both have to claim, and so to declare, before four jobs run.
    limited = "[queues.mail]\nconcurrency = 6\nglobal_concurrency = 4\n"
    d = daemon(store.url, limited, top=TWO).start()
    store.add("mail", "hold", [f"{n}" for n in range(9)])
    until(lambda: len(d.lines("began")) == 4)
    assert d.ask("status")["queues"]["mail"]["limits"]["held"] == 4
    newer = SharedLimits(concurrency=5)
    store.do(lambda backend: backend.declare_limits("mail", newer, "another"))
    until(lambda: len(d.lines("began")) == 5)
    victim, _ = children_of(d)
    os.kill(victim, signal.SIGKILL)
    d.wait_for("process.started", count=3)
    until(lambda: store.counts("mail").active == 5)
    outlook = store.do(lambda backend: backend.outlook(["mail"]))["mail"]
    assert (outlook.limits.limits, outlook.limits.by) == (newer, "another")
    d.configure(limited.replace("4", "3"), top=TWO)
    d.ask("reload")
    d.open_gate()
    until(lambda: len(d.lines()) == 9)
    until(lambda: store.counts("mail").completed == 9)
    shown = d.ask("status")["queues"]["mail"]["limits"]
    assert (shown["concurrency"], shown["held"]) == (3, 0)
    assert d.stop() == 0
