"""The journal: one entry a line, with fields to search by, whatever befalls the daemon or it."""

from __future__ import annotations

import json
import os
import signal

from tests.daemon.harness import until
from tests.eventually import LIMIT
from tests.scale import scaled

JOURNALD = "systemd-journald.service"


def said(entries) -> list[str]:
    return [json.loads(entry["MESSAGE"])["event"] for entry in entries]


def test_a_job_s_lines_are_found_by_its_id(service, box, seen):
    daemon = service()
    daemon.configure("[queues.mail]\n", top='log_level = "debug"\n')
    daemon.start()
    daemon.store.add("mail", "converse", ["t1", "t2", "t3"])
    for id in ("t1", "t2", "t3"):
        daemon.log.wait_for("job.completed", job_id=id)
    entries = box.journal("JOB_ID=t2")
    lines = ["job.started", "printed", "logged", "structured", "printed in a thread"]
    assert said(entries) == [*lines, "job.completed"]
    for entry in entries:
        assert json.loads(entry["MESSAGE"])["job_id"] == "t2"
        fields = ("QUEUE", "TASK", "ATTEMPT", "SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT", "_TRANSPORT")
        assert [entry[name] for name in fields] == [
            *("mail", "converse", "1", "asyncmqd", daemon.unit, "journal"),
        ]
    assert [entry["PRIORITY"] for entry in entries] == ["7", "6", "4", "6", "6", "6"]
    ids = [entry.get("MESSAGE_ID") for entry in entries]
    assert len(set(ids[:1] + ids[-1:])) == 2
    assert ids[1:-1] == [None] * 4
    assert len(box.journal(f"MESSAGE_ID={ids[-1]}")) == 3
    told = box.run("asyncmq", "--config", daemon.config, "job", "logs", "t2", "--json").stdout
    assert [json.loads(line)["event"] for line in told.splitlines()] == said(entries)
    followed = box.run("asyncmq", "--config", daemon.config, "job", "logs", "t2", "-f", "--json")
    assert followed.stdout == told
    look = ("sh", "-c", "grep -lz '^JOB_ID=t2$' /proc/[0-9]*/cmdline")
    until(lambda: not box.run(*look, check=False).stdout)  # no journalctl is left
    seen(f"journal: journalctl JOB_ID=t2 gives {said(entries)}, and no line of t1 and t3")


def test_what_a_program_prints_is_no_emergency(service, box):
    """Which the journal tells on all terminals."""
    daemon = service()
    daemon.configure()
    daemon.start()
    daemon.store.add("mail", "cry", ["loud"], "<0>fire")
    daemon.log.wait_for("job.completed", job_id="loud")
    said = [each for each in daemon.entries() if "fire" in each["MESSAGE"]]
    assert [(each["PRIORITY"], each["MESSAGE"]) for each in said] == [("6", "<0>fire")]


def test_a_long_error_is_one_entry_and_found_by_its_priority(service, box, seen):
    daemon = service()
    daemon.configure()
    daemon.start()
    daemon.store.add("mail", "fail_at_length", ["long"], 200_000)
    daemon.log.wait_for("job.failed", job_id="long")
    (entry,) = box.journal("-p", "err", f"_SYSTEMD_UNIT={daemon.unit}")
    failed = json.loads(entry["MESSAGE"])
    assert failed["error"].startswith("ValueError: xxx")
    seen(f"check 9: an error of 200 kB: one entry of {len(entry['MESSAGE'])} B, found by -p err")


def test_the_last_line_before_a_kill_is_there(service, box, seen):
    daemon = service()
    daemon.configure()
    daemon.start()
    daemon.store.add("mail", "last_words", ["l"])
    daemon.log.wait_for("job.quarantined", job_id="l")
    words = said(box.journal("JOB_ID=l")).count("last words")
    assert words == 3
    seen(f"check 9: a job prints and kills the daemon, three times: {words} last lines are there")


def test_a_journal_that_stands_still_holds_nobody_up(service, box, seen):
    daemon = service()
    daemon.configure()
    daemon.drop_in("watchdog", "[Service]\nWatchdogSec=2\n")
    daemon.start()
    (journald,) = box.processes(JOURNALD)
    os.kill(journald, signal.SIGSTOP)
    try:
        daemon.store.add("mail", "chatter", ["c"], 3_000, 4_000)
        until(lambda: daemon.lines() == ["c"])
        until(lambda: daemon.status()["queues"]["mail"]["completed"] == 1)
    finally:
        os.kill(journald, signal.SIGCONT)
    dropped = daemon.log.wait_for("log.dropped")
    daemon.store.add("mail", "mark", ["after"])
    daemon.log.wait_for("job.completed", job_id="after")
    assert daemon.show("NRestarts")["NRestarts"] == "0"
    events = [json.loads(entry["MESSAGE"])["event"] for entry in daemon.entries("JOB_ID=c")]
    kept = len(events)
    assert kept + dropped["dropped"] == 3_000 + 1
    numbers = [int(event.split()[0]) for event in events if event.endswith(".")]
    assert numbers == list(range(len(numbers)))  # the oldest are kept
    seen(
        f"check 9: journald stopped while a job printed 12 MB: it completed, status answered;"
        f" afterwards {kept} lines and log.dropped with {dropped['dropped']}"
    )


def test_a_burst_is_not_dropped_by_the_journal(service, box, seen):
    daemon = service()
    daemon.configure("[queues.mail]\nconcurrency = 100\n")
    daemon.start()
    lines = scaled(
        2_000, 5_000
    )  # far more than the limit that the box sets: 200 in 30 s, a little more with room
    daemon.store.add("mail", "chatter", ["c"], lines, 20)
    daemon.log.wait_for("job.completed", job_id="c", limit=4 * LIMIT)
    assert not daemon.log.events("log.dropped")
    kept = len(box.journal("JOB_ID=c"))
    assert kept == lines + 1
    seen(f"journal: {lines} lines at once: all are there, none dropped by the journal")
