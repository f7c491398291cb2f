"""The watchdog: fed by the loop while there is progress, and by nothing else."""

from __future__ import annotations

import time

from asyncmqd.admin.workers import list_workers
from tests.daemon.harness import until
from tests.systemd.conftest import REDIS


def test_a_hung_loop_is_told_of_then_restarted_and_its_job_recovered(service, seen):
    daemon = service()
    daemon.configure()
    daemon.drop_in("watchdog", "[Service]\nWatchdogSec=3\n")
    daemon.start()
    first = daemon.pid
    daemon.store.add("mail", "block", ["hung"])
    until(lambda: daemon.lines("began"))
    hung = time.monotonic()
    blocked = daemon.log.wait_for("loop.blocked", job_id="hung", task="block")
    assert blocked["stack"][0].endswith(" block")
    until(lambda: daemon.pid not in {0, first})
    took = time.monotonic() - hung
    assert took < 50, "WatchdogSec is 3 s, and the loop is called hung for good after 60"
    daemon.open_gate()
    recovered = daemon.log.wait_for("job.recovered", job_id="hung")
    assert recovered["error"] == "Crashed: its daemon died (crash 1 of 3)"
    daemon.log.wait_for("job.completed", job_id="hung")
    assert daemon.lines("began") == ["hung", "hung"]
    assert daemon.store.get("mail", "hung").attempt == 1  # a crash is no attempt
    has_bus = daemon.box.run("test", "-e", "/run/dbus/system_bus_socket", check=False)
    known = (daemon.unit, 1 if has_bus.returncode == 0 else None)
    until(lambda: [(e.unit, e.restarts) for e in daemon.store.do(list_workers)] == [known])
    journal = [e["MESSAGE"] for e in daemon.box.journal("-u", daemon.unit)]
    (dump,) = [line for line in journal if "ledger.py" in line and "in block" in line]
    assert any("Watchdog timeout (limit 3s)" in line for line in journal)
    count = len(daemon.logged("loop.blocked"))
    seen(
        f"check 5: a blocked loop with WatchdogSec=3: {count} x loop.blocked, the first after"
        f" {blocked['blocked_ms']} ms (job hung, task block, at {blocked['stack'][0]});"
        f" restarted after {took:.1f} s; the watchdog's dump has {dump.strip()!r};"
        " job.recovered, then job.completed with attempt 1"
    )


def test_a_busy_loop_that_makes_progress_is_left_alone(service, seen):
    daemon = service()
    daemon.configure()
    daemon.drop_in("watchdog", "[Service]\nWatchdogSec=1\n")
    daemon.start()
    pid = daemon.pid
    daemon.store.add("mail", "lag", ["busy"])
    until(lambda: daemon.lines("began"))
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 3)  # what is tested is that it lives so long
    assert daemon.lines() == []
    assert daemon.show("MainPID", "NRestarts") == {"MainPID": str(pid), "NRestarts": "0"}
    daemon.open_gate()
    daemon.log.wait_for("job.completed", job_id="busy")
    seen("check 5: a loop that lags 20 to 200 ms for 3 s with WatchdogSec=1: not killed")


def test_a_store_that_hangs_is_no_reason_for_a_restart(service, server, seen):
    daemon = service(backend=REDIS)
    daemon.configure()
    daemon.drop_in("watchdog", "[Service]\nWatchdogSec=1\n")
    daemon.start()
    server.freeze()
    daemon.log.wait_for("daemon.degraded")
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 3)
    said = daemon.show("ActiveState", "NRestarts", "StatusText")
    assert (said["ActiveState"], said["NRestarts"]) == ("active", "0")
    assert said["StatusText"].startswith("degraded: ")
    server.thaw()
    daemon.log.wait_for("daemon.recovered")
    daemon.store.add("mail", "mark", ["after"])
    daemon.log.wait_for("job.completed", job_id="after")
    seen(f"watchdog: a store frozen for 3 s with WatchdogSec=1: STATUS={said['StatusText']!r}")


def test_too_many_stuck_functions_end_in_a_restart_by_systemd(service, seen):
    daemon = service()
    daemon.configure("[queues.mail]\ntimeout = 0.2\n", top="stuck_limit = 2\n")
    daemon.start()
    first = daemon.pid
    daemon.store.add("mail", "hold_thread", ["s1", "s2"])
    daemon.log.wait_for("daemon.restarting")
    until(lambda: daemon.pid not in {0, first})
    daemon.wait_for_state("active")
    assert daemon.show("NRestarts")["NRestarts"] == "1"
    told = daemon.logged("job.stuck")[0]
    assert any(line.endswith(" hold_thread") for line in told["stack"])
    seen(f"watchdog: stuck_limit = 2: {daemon.logged('daemon.restarting')[0]['error']}; restarted")
