"""`asyncmqd plan`, and what a reload tells as well: next times, and jobs that stay behind."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tests.daemon.harness import Store, until

TWO = "[queues.mail]\nconcurrency = 2\n[queues.steady]\n"
NIGHTLY = """
[[queues.steady.repeatables]]
task = "mark"
name = "nightly"
cron = "0 3 * * *"
timezone = "Asia/Tokyo"
"""


def plan_of(d) -> dict:
    done = d.cli("plan", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_plan_tells_and_changes_nothing(daemon, server):
    d = daemon(server.url, TWO).start()
    assert d.cli("plan").stdout == "nothing would change\n"
    d.configure("[queues.mail]\nconcurrency = 3\n[queues.new]\n")
    done = d.cli("plan")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "+ queue new: start",
        "- queue steady: drain and stop",
        "~ queue mail: concurrency: 2 -> 3",
    ]
    assert d.ask("status")["config"]["generation"] == 1
    d.configure("[queues.mail]\nconcurrency = 0\n")
    assert d.cli("plan").returncode == 1


def test_the_next_times_of_a_new_schedule_are_those_at_which_it_will_fire(daemon, store):
    d = daemon(store.url, TWO).start()
    d.configure(TWO + NIGHTLY)
    before = datetime.now(ZoneInfo("Asia/Tokyo"))
    (schedule,) = plan_of(d)["schedules"]
    assert (schedule["queue"], schedule["name"], schedule["change"]) == (
        "steady",
        "nightly",
        "added",
    )
    first, *_ = times = [datetime.fromisoformat(each) for each in schedule["next"]]
    assert [each.isoformat()[10:] for each in times] == ["T03:00:00+09:00"] * 3
    assert [each - first for each in times] == [timedelta(days=n) for n in range(3)]
    assert timedelta(0) < first - before <= timedelta(days=1, minutes=1)
    line = f"+ schedule steady/nightly: next {', '.join(schedule['next'])}"
    assert d.cli("plan").stdout.splitlines() == [line]
    assert d.cli("reload").stdout.splitlines() == [line]
    d.configure(TWO)
    assert d.cli("plan").stdout == "- schedule steady/nightly: this daemon no longer fires it\n"


def test_jobs_that_would_stay_behind_are_counted_by_plan_reload_and_log(daemon, store):
    d = daemon(store.url, TWO).start()
    store.add("mail", "hold", ["m1", "m2", "m3", "m4", "m5"])
    until(lambda: len(d.lines("began")) == 2)
    d.configure("[queues.steady]\n")
    warning = (
        "! queue mail: 3 waiting jobs stay in the store, and nobody here will run them; "
        "2 active may finish"
    )
    assert d.cli("plan").stdout.splitlines() == ["- queue mail: drain and stop", warning]
    planned = plan_of(d)
    assert planned["jobs_left"] == {"mail": {"waiting": 3, "delayed": 0, "blocked": 0, "active": 2}}
    assert planned["warnings"] == [warning]
    done = d.cli("reload")
    assert done.stdout.splitlines() == [
        "- queue mail: drain and stop",
        warning,
        "draining: mail",
    ]
    assert d.wait_for("daemon.reloaded")["warnings"] == [warning]
    d.open_gate()


def test_one_delayed_job_is_told_in_the_singular(daemon, store):
    d = daemon(store.url, TWO).start()
    store.add("mail", "mark", ["later"], delay=3600)
    d.configure("[queues.steady]\n")
    assert d.ask("plan")["plan"]["warnings"] == [
        "! queue mail: 1 delayed job stays in the store, and nobody here will run it"
    ]


def test_a_store_that_hangs_delays_plan_and_reload_by_a_second_each(daemon, server):
    store = Store(server.url)
    d = daemon(f"{server.url}?timeout=600", TWO).start()
    store.add("mail", "mark", ["m"])
    until(lambda: d.lines() == ["m"])
    d.configure("[queues.steady]\nconcurrency = 1\n" + NIGHTLY)
    warnings = [
        "! queue mail: the store did not answer; its jobs would stay, and nobody here runs them",
        "! the store did not answer: next times are by the clock of this host",
    ]
    server.freeze()
    try:
        began = time.monotonic()
        planned = [d.ask("plan")["plan"] for _ in range(3)]  # the first call is still under way
        assert d.ask("reload")["warnings"] == warnings
        took = time.monotonic() - began
        steady = d.ask("status")["queues"]["steady"]
    finally:
        server.thaw()
    assert took >= 4
    assert [each["warnings"] for each in planned] == [warnings] * 3
    assert planned[0]["jobs_left"] == {"mail": None}
    assert len(planned[0]["schedules"][0]["next"]) == 3
    assert steady["concurrency"] == 1


def test_plan_names_the_keys_that_wait_for_a_restart(daemon, server):
    d = daemon(server.url, TWO).start()
    d.configure(TWO, top="lease = 5")
    line = "! lease: 15.0 -> 5.0 (needs a restart of the daemon)"
    assert d.cli("plan").stdout == f"{line}\n"
    assert plan_of(d)["restart"] == [{"key": "lease", "old": 15.0, "new": 5.0}]
    assert d.ask("status")["config"]["needs_restart"] == []  # nobody has reloaded yet
