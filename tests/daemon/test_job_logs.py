"""The last lines of a run that failed are kept with its failure, whatever ran it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asyncmqd.domain.attempts import attempts_of
from asyncmqd.domain.job import Failure
from asyncmqd.domain.settle import decode_failure
from asyncmqd.observe.log_tail import FIELDS as MOST_FIELDS
from asyncmqd.observe.log_tail import LINES, SIZE_LIMIT, VALUE_LIMIT
from tests.daemon.conftest import STORES, mostly_on
from tests.daemon.family import TWO
from tests.daemon.harness import Daemon, Store, until
from tests.scale import scaled

QUEUES = "[queues.mail]\n"
ASYNCMQ = Path(sys.executable).with_name("asyncmq")


def failure_of(store: Store, id: str) -> Failure:
    until(lambda: store.get("mail", id).state.terminal)
    failure = decode_failure(store.get("mail", id).error)
    assert failure is not None
    return failure


def failed(d: Daemon, store: Store, task: str, *args: Any) -> Failure:
    store.add("mail", task, [task], *args)
    return failure_of(store, task)


def started(daemon: Any, store: Store, **options: Any) -> Daemon:
    d: Daemon = daemon(store.url, QUEUES, tasks=("talking",), **options)
    return d.start()


def texts(failure: Failure) -> list[str]:
    return [event["event"] for event in failure.log]


@pytest.mark.parametrize(
    ("store", "top"),
    scaled(
        [("valkey9", ""), ("sqlite", TWO)],
        [(store, top) for store in STORES for top in ("", TWO)],
    ),
    indirect=["store"],
)
def test_what_a_run_logged_or_printed_is_with_its_failure(daemon, store, top):
    d = started(daemon, store, top=top)
    for task in ("loop", "thread", "process"):
        failure = failed(d, store, task)
        assert failure.type == "ValueError"
        [attempt] = attempts_of(store.do(lambda backend, id=task: backend.attempts("mail", id)))
        assert attempt.told.failure == failure  # of which the next attempt leaves nothing else
        told = {event["event"]: event for event in failure.log}
        assert [each for each in told if each != "of a program"] == [
            *("printed", "to stderr", "recorded", "structured", "by the job", "without an end")
        ]
        assert told["of a program"]["stream"] == "stdout"
        assert (told["printed"]["level"], told["to stderr"]["level"]) == ("info", "warning")
        recorded = told["recorded"]
        assert (recorded["level"], recorded["logger"], recorded["order"]) == ("error", "shop", 17)
        assert "cannot be shown" in recorded["odd"]
        assert told["structured"]["address"] == "a@example.org"
        line = d.wait_for("recorded", job_id=task)
        assert recorded["timestamp"] == line["timestamp"]
    assert d.stop() == 0


def test_also_of_a_run_that_was_killed_and_of_none_that_was_silent(daemon, file):
    d = started(daemon, file)
    failed(d, file, "process")  # so that a child is there
    assert texts(failed(d, file, "late")) == ["begun", "within a line"]
    for task, last in (("late_in_loop", "begun"), ("dies", "last words")):
        assert texts(failed(d, file, task)) == [last], task
    assert failed(d, file, "silent").log == ()
    assert b'"log"' not in file.get("mail", "silent").error
    file.add("mail", "succeeds", ["succeeds"])
    until(lambda: file.get("mail", "succeeds").state.terminal)
    assert file.get("mail", "succeeds").error == b""
    assert d.stop() == 0


@mostly_on("sqlite")
def test_a_line_without_an_end_is_not_lost_with_its_child(daemon, store):
    """`print("row 2: ", end="", flush=True)` says best what the child died of."""
    d = started(daemon, store)
    failed(d, store, "process")  # so that a child is there
    failure = failed(d, store, "dies_within_a_line")
    assert [(event["stream"], event["event"]) for event in failure.log] == [
        ("stdout", "row 1: done"),
        ("stderr", "no café"),
        ("stderr", "\\ud800 odd"),
        ("stdout", "row 2: read, "),
    ]
    d.wait_for("row 2: read, ", job_id="dies_within_a_line")
    assert d.stop() == 0


def test_it_is_bounded(daemon, file):
    d = started(daemon, file)
    assert texts(failed(d, file, "chatters", 3 * LINES, 10))[0].startswith(f"{2 * LINES} ")
    file.add("mail", "chatters", ["long"], 30, 100_000)
    long = failure_of(file, "long")
    assert texts(long)[-1].startswith("29 xx")
    assert all(len(text) <= VALUE_LIMIT + 3 for text in texts(long))
    assert len(json.dumps(long.log)) <= SIZE_LIMIT * 1.2
    assert len(long.log) > 4
    assert len(long.log[0]) < MOST_FIELDS
    assert d.stop() == 0


def test_each_attempt_and_each_job_has_its_own(daemon, file):
    d = started(daemon, file)
    assert texts(failed(d, file, "twice")) == ["attempt 2"]
    for name in ("a", "b"):
        file.add("mail", "together", [name], name)
    for name in ("a", "b"):
        assert texts(failure_of(file, name)) == [f"{name} {number}" for number in range(20)]
    assert d.stop() == 0


def asyncmq(d: Daemon, file: Store, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(ASYNCMQ), "--backend", file.url, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": str(d.place)},  # there is no journal
    )


def test_who_follows_a_job_sees_each_attempt_until_its_end(daemon, file):
    d = started(daemon, file)
    file.add("mail", "waits_and_fails", ["one"])
    until(lambda: file.get("mail", "one").token == 2)
    follower = asyncmq(d, file, "job", "logs", "one", "--follow", "--json")
    assert follower.stdout is not None
    first = json.loads(follower.stdout.readline())
    assert (first["event"], first["stream"]) == ("attempt 1", "stdout")
    d.gate.touch()
    out, err = follower.communicate(timeout=60)
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["attempt 2"]
    assert (follower.returncode, err) == (0, "")
    assert d.stop() == 0
