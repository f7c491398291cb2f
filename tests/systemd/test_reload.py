"""`systemctl reload` is synchronous, honest, and loses nothing."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from tests.daemon.harness import until
from tests.scale import scaled
from tests.systemd.conftest import NAMES

DAEMONS = scaled(2, 10)  # beside each other: most of a reload is waiting for the loop
ROUNDS = scaled(3, 10)  # of each
UNDER_LOAD = scaled(5, 50)


def test_no_reload_returns_early_however_slow_the_loop_is(service, seen):
    def run(name: str) -> list[float]:
        daemon = service(name)
        daemon.configure()
        daemon.start()
        daemon.store.add("mail", "lag", ["l"])
        until(lambda: daemon.lines("began"))
        took = []
        for concurrency in range(11, 11 + ROUNDS):
            daemon.configure(f"[queues.mail]\nconcurrency = {concurrency}\n")
            began = time.monotonic()
            daemon.reload()
            returned = datetime.now(UTC)
            took.append(time.monotonic() - began)
            # The loop lags when it is asked as well: what tells is when it says that it was done.
            reloaded = daemon.log.wait_for("daemon.reloaded", len(took))
            assert datetime.fromisoformat(reloaded["timestamp"]) < returned, "early"
            assert daemon.status()["queues"]["mail"]["concurrency"] == concurrency
        assert daemon.lines() == []  # it lagged all the time
        daemon.open_gate()
        return took

    with ThreadPoolExecutor(DAEMONS) as pool:
        took = [each for times in pool.map(run, NAMES[:DAEMONS]) for each in times]
    seen(
        f"check 2: {len(took)} reloads with the loop lagging 20 to 200 ms: none early; they took"
        f" {min(took):.2f} to {max(took):.2f} s"
    )


def test_a_bad_file_changes_nothing_and_says_why(service, seen):
    daemon = service()
    daemon.configure("[queues.mail]\nconcurrency = 7\n")
    daemon.start()
    pid = daemon.pid
    daemon.configure("[queues.mail]\nconcurrency = 8\nrate_limt = 3\n")
    refused = daemon.reload(check=False)
    assert refused.returncode == 1
    problem = f"{daemon.config}:7: queues.mail.rate_limt: expected a known key"
    shown = daemon.show("ActiveState", "MainPID", "StatusText")
    assert (shown["ActiveState"], shown["MainPID"]) == ("active", str(pid))
    assert shown["StatusText"].startswith(f"reload refused: {problem}")
    assert daemon.status()["queues"]["mail"]["concurrency"] == 7
    said = [e["MESSAGE"] for e in daemon.box.journal("-u", daemon.unit)]
    assert any(line.startswith(f"asyncmqd: {problem}") for line in said)  # the client's own answer
    daemon.configure("[queues.mail]\nconcurrency = 9\n")
    daemon.reload()
    assert daemon.status()["queues"]["mail"]["concurrency"] == 9
    assert daemon.pid == pid
    assert "refused" not in daemon.show("StatusText")["StatusText"]
    seen(f"check 3: reload exit 1, unit active, same PID, STATUS={shown['StatusText']!r}")


def test_reloads_under_load_lose_nothing_and_run_nothing_twice(service, seen):
    daemon = service()
    daemon.configure("[queues.mail]\nconcurrency = 20\n")
    daemon.start()
    ids = []
    for round in range(UNDER_LOAD):
        ids += daemon.store.add("mail", "mark", [f"{round}-{n}" for n in range(40)])
        queues = f"[queues.mail]\nconcurrency = {20 + round % 3}\n"
        daemon.configure(queues + ("[queues.other]\n" if round % 2 else ""))
        daemon.reload()
    until(lambda: daemon.store.counts("mail").waiting == 0)
    until(lambda: len(daemon.lines()) >= len(ids))
    assert daemon.tally() == dict.fromkeys(ids, 1)
    seen(f"check 4: {UNDER_LOAD} reloads while {len(ids)} jobs ran: each ran once")


def test_signals_that_come_together_share_reloads(service, seen):
    daemon = service()
    daemon.configure()
    daemon.start()
    daemon.store.add("mail", "lag", ["l"])
    until(lambda: daemon.lines("began"))
    pid = daemon.host_pid
    for concurrency in range(1, 41):
        daemon.configure(f"[queues.mail]\nconcurrency = {concurrency}\n")
        os.kill(pid, signal.SIGHUP)
    until(lambda: daemon.status()["queues"]["mail"]["concurrency"] == 40)
    reloads = len(daemon.logged("daemon.reloaded"))
    assert reloads <= 20
    seen(f"check 4: 40 HUPs, the file changed before each: {reloads} reloads, the last one serves")


def test_what_needs_a_restart_is_named(service, seen):
    daemon = service()
    daemon.configure()
    daemon.start()
    daemon.configure(top="lease = 20\n")
    planned = daemon.cli("plan").stdout
    answered = daemon.cli("reload").stdout
    daemon.log.wait_for("daemon.reloaded")
    line = "! lease: 15.0 -> 20.0 (needs a restart of the daemon)"
    assert line in planned
    assert line in answered
    logged = daemon.logged("daemon.reloaded")[-1]
    assert logged["needs_restart"] == ["lease"], json.dumps(logged)
    seen(f"check 4: plan, reload and log name it: {line}")
