"""The journal: entries as it reads them, with the fields to find a job's lines by."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncmqd.domain.job import Claim
from asyncmqd.observe.journal import entry, is_journal, message_id
from asyncmqd.observe.json_lines import LINE_LIMIT
from asyncmqd.observe.log import logger, running_job
from asyncmqd.observe.observer import Observer
from tests.logs import Journald, captured, journal_stream, log_to, parse

CLAIM = Claim(
    queue="mail", id="a1", payload=b"", token=3, worker="host-1", labels={"job_key": "t7"}
)
JOB = {"queue": "mail", "worker": "host-1", "job_id": "a1", "task": "shop.send", "attempt": 1}
JOB["job_key"] = "t7"
JOB_FIELDS = {"QUEUE": "mail", "WORKER": "host-1", "JOB_ID": "a1", "TASK": "shop.send"}
JOB_FIELDS["JOB_KEY"] = "t7"


class Running:
    fields = JOB

    def keep(self, events: Any) -> None:
        """Its last lines are looked at elsewhere."""


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    listening = Journald(tmp_path / "journal")
    yield listening
    listening.socket.close()


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Any]:
    with (tmp_path / "stdout").open("w") as opened:
        yield opened
    assert (tmp_path / "stdout").read_text() == "", "the journal's lines came twice"


@pytest.fixture
def journal(journald: Journald, stream: Any) -> Iterator[Journald]:
    """A process that logs to the journal."""
    options = {"environ": journal_stream(stream), "journal_socket": journald.path}
    with log_to(stream, capture=True, level="debug", **options) as journald.writer:
        yield journald


def in_job(work: Any) -> None:
    token = running_job.set(Running())
    try:
        work()
    finally:
        running_job.reset(token)


# ---------------------------------------------------------------------- whether it is the journal


def test_only_the_stream_that_systemd_named_is_the_journal(tmp_path):
    with (tmp_path / "one").open("w") as one, (tmp_path / "two").open("w") as two:
        environ = journal_stream(one)
        assert is_journal(one.fileno(), environ)
        assert not is_journal(two.fileno(), environ)
        for other in ({}, {"JOURNAL_STREAM": ""}, {"JOURNAL_STREAM": "8:x"}):
            assert not is_journal(one.fileno(), other)


@pytest.mark.parametrize("case", ["console", "redirected", "no socket"])
def test_else_lines_go_to_the_stream(case, tmp_path, journald):
    with (tmp_path / "out").open("w") as stream, (tmp_path / "else").open("w") as other:
        options = {"environ": journal_stream(stream), "journal_socket": journald.path}
        if case == "console":
            options["format"] = "console"
        elif case == "redirected":
            options["environ"] = journal_stream(other)
        else:
            options["journal_socket"] = str(tmp_path / "none")
        with log_to(stream, **options):
            Observer().event("daemon.stopped")
    assert "daemon.stopped" in (tmp_path / "out").read_text()
    journald.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        journald.entry()


def test_a_process_without_a_standard_output_logs_nowhere(monkeypatch):
    monkeypatch.setattr("sys.__stdout__", None)
    monkeypatch.setattr("sys.stdout", None)
    with log_to(None) as writer:
        Observer().event("daemon.stopped")
    assert writer.dropped == 0


# ---------------------------------------------------------------------- what an entry says


def test_an_event_of_ours_has_an_id_and_its_job(journal):
    Observer().about(CLAIM, "shop.send", "job.lease_lost", "expired")
    fields = journal.entry()
    message = json.loads(fields.pop("MESSAGE"))
    assert message["event"] == "job.lease_lost"
    assert message["job_id"] == "a1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", message["timestamp"])
    assert fields == {
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "asyncmqd",
        "EVENT": "job.lease_lost",
        "MESSAGE_ID": message_id("job.lease_lost"),
        "ATTEMPT": "1",
        **JOB_FIELDS,
    }


def test_ids_stay_what_they_are():
    assert message_id("job.failed") == "f6174c5a20755e5d94ab779e6e9c871d"
    assert message_id("job.failed") != message_id("job.completed")


def test_an_event_without_a_job_has_no_fields_of_one(journal):
    Observer().event("daemon.ready", queues=["mail"])
    assert journal.entry().keys() == {
        "MESSAGE",
        "PRIORITY",
        "SYSLOG_IDENTIFIER",
        "EVENT",
        "MESSAGE_ID",
    }


@pytest.mark.parametrize(
    ("say", "text", "priority"),
    [
        (lambda: print("printed", file=captured()), "printed", "6"),
        (lambda: logging.getLogger("shop").warning("logged %d", 1), "logged 1", "4"),
        (lambda: logging.getLogger("shop").debug("d"), "d", "7"),
        (lambda: logging.getLogger("shop").critical("c"), "c", "2"),
        (lambda: logger().error("own", job_id="another", task="another"), "own", "3"),
    ],
    ids=["print", "warning", "debug", "critical", "structlog"],
)
def test_what_a_job_says_is_found_by_its_id(journal, say, text, priority):
    in_job(say)
    fields = journal.entry()
    assert json.loads(fields["MESSAGE"])["event"] == text
    assert fields["PRIORITY"] == priority
    assert JOB_FIELDS.items() <= fields.items()
    assert not {"MESSAGE_ID", "EVENT"} & fields.keys()


def test_a_print_outside_of_jobs_is_nobodys(journal):
    print("job.completed", file=captured())
    assert journal.entry().keys() == {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER"}


def test_a_traceback_comes_with_an_event_of_ours(journal):
    try:
        raise ValueError("no")
    except ValueError as error:
        Observer().event("queue.crashed", exc_info=error)
    fields = journal.entry()
    assert "ValueError: no" in json.loads(fields["MESSAGE"])["exception"]
    assert fields["PRIORITY"] == "3"


def test_an_error_of_200_kb_is_one_entry_that_can_be_parsed(journal):
    Observer().event("job.failed", **JOB, error="ö" * 200_000)
    fields = journal.entry()
    assert len(fields["MESSAGE"].encode()) <= LINE_LIMIT
    assert json.loads(fields["MESSAGE"])["cut"] is True
    assert JOB_FIELDS.items() <= fields.items()


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\nPRIORITY=0\nJOB_ID=b", "a\\nPRIORITY=0\\nJOB_ID=b"),
        ("\n", "\\n"),
        ("=", "="),
        (17, "17"),
        ("\udc80", "\\udc80"),
        ("\N{SNOWMAN}", "\N{SNOWMAN}"),
        (Unspeakable(), "<Unspeakable, which cannot be shown: RuntimeError>"),
        ("x" * 100_000, "x" * 1_000),
    ],
)
def test_no_value_makes_a_field_of_its_own_or_breaks_the_entry(value, shown):
    event = {"level": "info", "event": "x\nPRIORITY=0", "job_id": value}
    fields = parse(entry(event, event, ours=False))
    assert fields["JOB_ID"] == shown
    assert fields["PRIORITY"] == "6"
    assert fields.keys() == {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "JOB_ID"}


# ---------------------------------------------------------------------- a journal that is slow


def test_a_journal_that_stalls_gets_all_entries_later(journal):
    observer = Observer()
    for number in range(2_000):  # more than its socket holds
        observer.event("schedule.fired", number=number)
    seen = []
    while len(seen) < 2_000:
        seen.append(json.loads(journal.entry()["MESSAGE"])["number"])
        journal.writer.flush()
    assert seen == list(range(2_000))


def test_a_journal_that_was_away_is_told_what_was_dropped(tmp_path, journal):
    observer = Observer()
    journal.close()
    observer.event("queue.paused")
    observer.event("queue.resumed")
    back = Journald(tmp_path / "journal")
    observer.event("daemon.stopped")
    told, after = back.entry(), back.entry()
    back.socket.close()
    assert told["EVENT"] == "log.dropped"
    message = json.loads(told["MESSAGE"])
    assert (message["dropped"], message["level"]) == (2, "warning")
    assert message["reason"] == "No such file or directory"
    assert after["EVENT"] == "daemon.stopped"
