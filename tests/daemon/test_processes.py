"""`processes = N`: one daemon to everybody outside, children that run its jobs inside."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.daemon.conftest import STORES, mostly_on
from tests.daemon.family import (
    LONG_LEASES,
    MAIL,
    SCANNER,
    THREE,
    TWO,
    children_of,
    gone,
    runners,
)
from tests.daemon.harness import PATIENT, Daemon, Store, until
from tests.scale import scaled


def most_at_once(d: Daemon) -> int:
    """Jobs that ran at the same time, at the worst moment, by the ledger."""
    lines = (line.split() for line in d.ledger.read_text().splitlines())
    steps = sorted((float(line[5]), -1 if line[0] == "ran" else 1) for line in lines)
    running = most = 0
    for _, step in steps:
        running += step
        most = max(most, running)
    return most


# ---------------------------------------------------------------------- at work


@mostly_on("valkey9")
def test_children_drain_a_queue_within_its_limits(daemon, store):
    d = daemon(store.url, "[queues.mail]\nconcurrency = 5\n", top=THREE).start()
    ids = store.add("mail", "nap", [f"{n}" for n in range(100)], 0.02)
    until(lambda: len(d.lines()) == 100)
    assert len(runners(d)) == 3
    assert d.pid not in runners(d)
    assert most_at_once(d) == 5
    assert d.stop() == 0
    assert d.tally() == dict.fromkeys(ids, 1)
    assert store.counts("mail").completed == 100
    assert d.stderr == ""
    for event in ("daemon.starting", "daemon.ready", "daemon.draining", "daemon.stopped"):
        assert len(d.all(event)) == 1
    assert d.events[-1]["event"] == "daemon.stopped"


def test_a_full_queue_runs_its_whole_concurrency(daemon, file):
    d = daemon(file.url, MAIL, top=THREE).start()
    file.add("mail", "hold", [f"{n}" for n in range(30)])
    until(lambda: len(d.lines("began")) == 10)
    until(lambda: d.ask("status")["running"] == 10)
    assert sorted(runners(d).values()) == [3, 3, 4]
    d.open_gate()
    until(lambda: len(d.lines()) == 30)
    assert most_at_once(d) == 10


def test_small_queues_spread_over_the_children(daemon, server):
    queues = "".join(f"[queues.q{n}]\nconcurrency = 1\n" for n in range(20))
    d = daemon(server.url, queues, top=THREE).start()
    for n in range(20):
        Store(server.url).add(f"q{n}", "hold", ["a", "b"])
    until(lambda: len(d.lines("began")) == 20)
    assert len(runners(d)) == 3
    d.open_gate()
    until(lambda: len(d.lines()) == 40)


def test_a_rate_limit_is_one_for_all_children(daemon, file):
    queues = "[queues.mail]\nrate_limit = 6\nrate_interval = 3600\n"
    d = daemon(file.url, queues, top=THREE).start()
    file.add("mail", "mark", [f"{n}" for n in range(30)])
    until(lambda: len(d.lines()) == 6)
    assert d.ask("status")["queues"]["mail"]["rate_limit"] == 6
    assert d.stop() == 0
    assert len(d.lines()) == 6


@mostly_on("sqlite")
def test_a_schedule_fires_once(daemon, store):
    queues = '[queues.mail]\n[[queues.mail.repeatables]]\ntask = "mark"\nevery = 1\n'
    d = daemon(store.url, queues, top=THREE).start()
    until(lambda: len(d.lines()) >= 3)
    assert d.stop() == 0
    assert set(d.tally().values()) == {1}
    assert len(d.all("schedule.fired")) == len({e["job_id"] for e in d.all("schedule.fired")})


def test_a_custom_scanner_runs_once(daemon, file, place):
    (place / "inbox.py").write_text(SCANNER)
    queues = '[queues.mail]\nscanners = ["inbox:scan"]\n'
    d = daemon(file.url, queues, top=THREE).start()
    until((place / "scanners").exists)
    assert d.stop() == 0
    assert len((place / "scanners").read_text().splitlines()) == 1


def test_status_sums_over_the_children(daemon, file):
    d = daemon(file.url, MAIL, top=TWO).start()
    file.add("mail", "mark", [f"{n}" for n in range(20)])
    until(lambda: d.ask("status")["queues"]["mail"]["completed"] == 20)
    status = d.ask("status")
    assert status["pid"] == d.pid
    assert (status["queues"]["mail"]["concurrency"], status["running"]) == (10, 0)
    assert status["queues"]["mail"]["jobs"]["completed"] == 20
    parent = psutil.Process(d.pid)
    assert sorted(children_of(d)) == sorted(child.pid for child in parent.children())
    assert [each["queues"] for each in status["processes"]] == [{"mail": 5}, {"mail": 5}]
    shown = d.cli("status").stdout
    for each in status["processes"]:
        assert f"process {each['number']}: ready, pid {each['pid']}, " in shown


def test_usr1_shows_the_stacks_of_all_children(daemon, file):
    d = daemon(file.url, MAIL, top=TWO).start()
    file.add("mail", "hold", [f"{n}" for n in range(10)])
    until(lambda: len(d.lines("began")) == 10)
    d.signal(signal.SIGUSR1)
    assert d.wait_for("daemon.state")["queues"]["mail"]["running"] == 10
    d.wait_for("job.stack", count=10)
    assert {each["process"] for each in d.all("job.stack")} == {1, 2}


# ---------------------------------------------------------------------- the daemon that ends


def test_term_lets_running_jobs_finish_in_all_children(daemon, file):
    d = daemon(file.url, MAIL, top=TWO).start()
    ids = file.add("mail", "hold", [f"{n}" for n in range(10)])
    until(lambda: len(d.lines("began")) == 10)
    file.add("mail", "mark", ["late"])
    pids = children_of(d)
    d.signal(signal.SIGTERM)
    assert d.wait_for("daemon.draining")["running"] == 10
    d.open_gate()
    assert d.wait() == 0
    assert d.tally() == dict.fromkeys(ids, 1)
    assert all(map(gone, pids))
    assert len(d.all("job.completed")) == 10
    assert file.counts("mail").waiting == 1


def test_jobs_beyond_the_deadline_go_back_uncharged(daemon, file):
    d = daemon(file.url, MAIL, top=TWO + "shutdown_timeout = 0.2\n").start()
    ids = file.add("mail", "hold", [f"{n}" for n in range(10)])
    until(lambda: len(d.lines("began")) == 10)
    assert d.stop() == 0
    assert not d.all("process.ended")
    for each in ids:
        record = file.get("mail", each)
        assert (record.state, record.attempt, record.crashes) == ("waiting", 1, 0)


@pytest.mark.parametrize("task", ["hold", "hold_thread"])
def test_a_second_term_hands_back_at_once(daemon, file, task):
    d = daemon(file.url, MAIL, top=TWO + PATIENT).start()
    ids = file.add("mail", task, [f"{n}" for n in range(10)])
    until(lambda: len(d.lines("began")) == 10)
    d.signal(signal.SIGTERM)
    d.wait_for("daemon.draining")
    d.signal(signal.SIGTERM)
    assert d.wait() == 0
    for each in ids:
        record = file.get("mail", each)
        assert (record.state, record.attempt, record.crashes) == ("waiting", 1, 0)


def test_a_ctrl_c_for_the_whole_group_is_a_drain(daemon, file):
    d = daemon(file.url, MAIL, top=TWO).start()
    ids = file.add("mail", "hold", [f"{n}" for n in range(4)])
    until(lambda: len(d.lines("began")) == 4)
    for pid in (*children_of(d), d.pid):
        os.kill(pid, signal.SIGINT)
    d.wait_for("daemon.draining")
    d.open_gate()
    assert d.wait() == 0
    assert d.tally() == dict.fromkeys(ids, 1)


def test_a_child_that_does_not_end_is_killed_after_the_deadline(daemon, file, monkeypatch):
    d = daemon(file.url, MAIL, top=TWO + "shutdown_timeout = 0.2\n").start()
    file.add("mail", "block", ["stuck"])
    until(lambda: d.lines("began"))
    d.signal(signal.SIGTERM)
    ended = d.wait_for("process.ended")
    assert ended["error"] == "signal SIGKILL"
    assert d.wait() == 0
    assert file.get("mail", "stuck").state == "waiting", "its job came back at once"


@mostly_on("sqlite")
def test_no_child_outlives_its_killed_parent(daemon, store):
    d = daemon(store.url, MAIL, top=TWO + LONG_LEASES).start()
    ids = store.add("mail", "hold", [f"{n}" for n in range(8)])
    until(lambda: len(d.lines("began")) == 8)
    pids = children_of(d)
    ids += store.add("mail", "block", ["x"])  # its child cannot notice by itself
    until(lambda: len(d.lines("began")) == 9)
    d.kill()
    until(lambda: all(map(gone, pids)))
    d.start()
    assert d.all("daemon.ready")[0]["recovered"] == 9
    d.open_gate()
    until(lambda: len(d.lines()) == 9)
    assert d.tally() == dict.fromkeys(ids, 1)


@pytest.mark.parametrize(
    ("store", "before", "after"),
    scaled(
        [("sqlite", 3, 2), ("sqlite", 1, 2), ("valkey9", 2, 3), ("valkey9", 2, 1)],
        [(store, *change) for store in STORES for change in ((3, 2), (2, 3), (1, 2), (2, 1))],
    ),
    indirect=["store"],
)
def test_another_number_of_processes_takes_back_all_claims(daemon, store, before, after):
    d = daemon(store.url, MAIL, top=f"processes = {before}\n{LONG_LEASES}").start()
    ids = store.add("mail", "hold", [f"{n}" for n in range(10)])
    until(lambda: len(d.lines("began")) == 10)
    d.kill()
    d.configure(MAIL, f"processes = {after}\n{LONG_LEASES}")
    d.start()
    assert d.all("daemon.ready")[0]["recovered"] == 10
    until(lambda: len(d.lines("began")) == 20)
    d.open_gate()
    until(lambda: len(d.lines()) == 10)
    assert d.tally() == dict.fromkeys(ids, 1)


def test_an_idle_daemon_stops_though_the_store_hangs_and_a_child_has_died(daemon, server):
    d = daemon(server.url, MAIL, top=TWO + PATIENT).start()
    server.freeze()
    os.kill(children_of(d)[0], signal.SIGKILL)
    d.wait_for("process.ended")
    assert d.stop() == 0
    server.thaw()


# ---------------------------------------------------------------------- store and log


def test_an_outage_is_told_once(daemon, server):
    d = daemon(server.url, MAIL, top=THREE).start()
    server.stop()
    d.wait_for("daemon.degraded")
    server.start()
    d.wait_for("daemon.recovered")
    Store(server.url).add("mail", "mark", [f"{n}" for n in range(20)])
    until(lambda: len(d.lines()) == 20)
    assert d.stop() == 0
    assert len(d.all("daemon.degraded")) == len(d.all("daemon.recovered")) == 1


def test_term_leaves_while_the_children_wait_for_the_application(daemon, server, place):
    (place / "endless.py").write_text(
        "import pathlib, time\npathlib.Path('importing').touch()\nwhile True: time.sleep(60)\n"
    )
    d = daemon(server.url, MAIL, tasks=["endless"], top=TWO + PATIENT).start(ready=False)
    until((place / "importing").exists)
    assert d.stop() == 0


def test_long_lines_of_several_children_are_never_torn(daemon, file):
    """The harness reads a pipe and takes every line for JSON; these exceed PIPE_BUF."""
    d = daemon(file.url, MAIL, top=THREE).start()
    file.add("mail", "chatter", [f"{n}" for n in range(8)], 50, 9_000)

    def told() -> dict[Any, int]:
        return Counter(e["job_id"] for e in list(d.events) if e["event"][0].isdigit())

    # Whoever reads slowly has a second for what is left at the end of the daemon.
    until(lambda: sum(told().values()) == 8 * 50)
    assert d.stop() == 0
    assert told() == {f"{n}": 50 for n in range(8)}


def test_nor_are_they_in_a_file(daemon, file, place: Path):
    log = place / "log"
    run = ("/bin/sh", "-c", f'exec "$0" "$@" >{log}', sys.executable, "-m", "asyncmqd")
    d = daemon(file.url, MAIL, top=THREE, command=run)
    d.start(read=False)
    file.add("mail", "chatter", [f"{n}" for n in range(8)], 50, 9_000)
    until(lambda: len(d.lines()) == 8)
    assert d.stop() == 0
    events = [json.loads(line) for line in log.read_text().splitlines()]
    told = Counter(e["job_id"] for e in events if e["event"][0].isdigit())
    assert told == {f"{n}": 50 for n in range(8)}
