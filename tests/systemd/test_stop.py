"""`systemctl stop`: what runs may finish, the rest goes back, and nothing is left behind."""

from __future__ import annotations

import time
from datetime import datetime
from threading import Thread

from tests.daemon.harness import until
from tests.systemd.conftest import REDIS

GONE = {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}


def stopping(daemon) -> Thread:
    """`systemctl stop`, under way."""
    thread = Thread(target=daemon.stop)
    thread.start()
    return thread


def test_status_counts_down_and_a_long_drain_is_no_timeout(service, seen):
    daemon = service()
    daemon.configure("[queues.mail]\n[queues.slow]\n", top="shutdown_timeout = 30\n")
    daemon.drop_in("timeout", "[Service]\nTimeoutStopSec=1\n")
    daemon.start()
    daemon.store.add("mail", "nap", ["n1"], 5.0)  # a busy machine needs a while to look
    daemon.store.add("slow", "hold", ["h1", "h2"])
    until(lambda: len(daemon.lines("began")) == 3)
    began = time.monotonic()
    stop = stopping(daemon)
    texts: list[str] = []
    while (text := daemon.show("StatusText")["StatusText"]) != "draining, 2 left":
        texts.append(text)
        time.sleep(0.1)
    assert "draining, 3 left" in texts
    assert daemon.show("ActiveState")["ActiveState"] == "deactivating"
    assert time.monotonic() - began > 2.5  # well beyond TimeoutStopSec
    daemon.open_gate()
    stop.join()
    assert daemon.show(*GONE) == GONE
    assert sorted(daemon.lines()) == ["h1", "h2", "n1"]
    seen(
        f"check 6: a drain of {time.monotonic() - began:.1f} s with TimeoutStopSec=1: STATUS"
        " 'draining, 3 left', then 'draining, 2 left', Result=success, exit 0, all 3 jobs finished"
    )


def test_what_is_cut_off_starts_elsewhere_within_a_second(service, server, seen):
    one, other = service("a", backend=REDIS), service("b", backend=REDIS)
    one.configure("[queues.mail]\n", top='shutdown_timeout = 0.5\nlog_level = "debug"\n')
    other.configure("[queues.other]\n", top='log_level = "debug"\n')
    one.start()
    other.start()
    one.store.add("mail", "hold", ["cut"])
    until(lambda: one.lines("began"))
    other.configure("[queues.mail]\n", top='log_level = "debug"\n')
    other.reload()
    one.stop()
    released = one.log.wait_for("job.released", job_id="cut")
    started = other.log.wait_for("job.started", job_id="cut")
    assert one.show(*GONE) == GONE
    record = one.store.get("mail", "cut")
    assert (record.state, record.attempt, record.crashes) == ("active", 1, 0)
    pause = (_time(started) - _time(released)).total_seconds()
    assert pause < 15, "a sweep would have found it after 30 s"
    other.open_gate()
    other.log.wait_for("job.completed", job_id="cut")
    seen(
        "check 6: past its deadline: job.released, exit 0; it ran elsewhere"
        f" {pause * 1000:.0f} ms later with attempt 1 (limit 15 s)"
    )


def _time(event) -> datetime:
    return datetime.fromisoformat(event["timestamp"])


def test_each_queue_has_a_deadline_of_its_own(service, seen):
    daemon = service()
    daemon.configure("[queues.hasty]\ndrain_timeout = 0.2\n[queues.mail]\n")
    daemon.start()
    daemon.store.add("hasty", "hold", ["cut"])
    daemon.store.add("mail", "hold", ["patient"])
    until(lambda: len(daemon.lines("began")) == 2)
    stop = stopping(daemon)
    daemon.log.wait_for("job.released", job_id="cut")
    daemon.open_gate()
    stop.join()
    assert daemon.lines() == ["patient"]
    assert daemon.store.counts("hasty").waiting == 1
    seen("check 6: drain_timeout = 0.2 in one queue: its job went back, the other's finished")


def test_nothing_is_left_in_the_control_group(service, seen):
    daemon = service()
    daemon.configure("[queues.mail]\ndrain_timeout = 0.2\n")
    daemon.start()
    daemon.store.add("mail", "spawn", ["program"])
    daemon.store.add("mail", "hold_child", ["child"])
    daemon.store.add("mail", "hold_thread", ["thread"])
    until(lambda: daemon.lines("ran") and len(daemon.lines("began")) == 2)
    assert len(daemon.box.processes(daemon.unit)) == 3
    assert daemon.show("KillMode")["KillMode"] == "mixed"
    daemon.stop()
    assert daemon.box.processes(daemon.unit) == []
    assert daemon.show(*GONE) == GONE
    assert daemon.store.counts("mail").waiting == 2
    seen("check 7: a program, a child and a thread of jobs: none in the control group after stop")


def test_a_second_term_leaves_at_once(service, seen):
    daemon = service()
    daemon.configure(top="shutdown_timeout = 600\n")  # else systemd kills it: GONE is not true
    daemon.start()
    daemon.store.add("mail", "hold", ["a"])
    until(lambda: daemon.lines("began"))
    stop = stopping(daemon)
    daemon.log.wait_for("daemon.draining")
    began = time.monotonic()
    daemon.kill("TERM")
    stop.join()
    assert daemon.show(*GONE) == GONE
    assert daemon.store.get("mail", "a").attempt == 1
    seen(f"check 6: a second TERM: gone {time.monotonic() - began:.2f} s later, the job went back")
