"""`asyncmq history`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.history import COUNTS, HALF_HOUR, Period, bucket_of, minute_of
from asyncmqd.domain.marks import Mark, encode
from tests.cli.conftest import Operator
from tests.cli.test_jobs import new

InStore = Callable[[Callable[[BaseBackend], Any]], Any]


def period(minutes_ago: int, runs: list[int], **counts: int) -> Period:
    numbers = [counts.get(each, 0) for each in COUNTS]
    return Period(minute_of(time.time()) - minutes_ago, numbers, [], runs, runs)


@pytest.fixture
def past(in_store: InStore) -> None:
    """Of `mail`; `web` has jobs, and nobody serves it."""
    second, hour = bucket_of(1_000_000), bucket_of(3_600_000_000)

    async def fill(store: BaseBackend) -> None:
        await store.note({"mail": period(300, [second, 7], started=7)}, over=False)
        await store.note({"mail": period(70, [second, 9, hour, 1], started=10)}, over=False)
        await store.add("mail", [new("a"), new("b")])
        await store.note({"mail": period(5, [], retried=3)}, over=True)
        await store.add("web", [new("c")])

    in_store(fill)


@pytest.mark.usefixtures("past")
def test_the_last_hour_minute_by_minute(asyncmq: Operator) -> None:
    [row] = asyncmq("history", "mail").rows
    assert row[1:10] == ["1", "2", "0", "0", "0", "3", "0", "0", "0"]
    assert row[10:] == ["2", "0", "0", "0", "-", "-", "-", "-"]
    assert row[0].startswith("20")
    assert row[0].endswith("Z")


@pytest.mark.usefixtures("past")
def test_longer_stretches_of_a_longer_time(asyncmq: Operator) -> None:
    late, now = asyncmq("history", "mail", "--hours", "2").rows
    assert (late[1], late[3]) == ("5", "10")
    assert [float(each) for each in late[-4:]] == pytest.approx([1, 3_600, 1, 3_600], rel=0.125)
    assert (now[1], now[2], now[6]) == ("5", "2", "3")
    rows = asyncmq("history", "mail", "--hours", "24").rows
    assert {row[1] for row in rows} == {str(HALF_HOUR)}
    assert sum(int(row[3]) for row in rows) == 17
    [*_, last] = asyncmq("history", "mail", "--hours", "48", "--json").json["stretches"]
    assert last["minutes"] == 60
    assert last["levels"] == {"waiting": 2, "delayed": 0, "active": 0, "failed": 0, "oldest": 0}
    assert last["wait"].keys() == {"number", "p50", "p95", "p99"}


@pytest.mark.usefixtures("past")
def test_all_queues(asyncmq: Operator) -> None:
    mail, web = asyncmq("history", "--hours", "6").rows
    assert mail[:4] == ["mail", "2", "17", "0"]
    assert web == ["web", *["0"] * 8, *["-"] * 8]
    assert [each["queue"] for each in asyncmq("history", "--json").json] == ["mail", "web"]


@pytest.mark.usefixtures("past")
def test_what_happened_beside_the_jobs(asyncmq: Operator, in_store: InStore) -> None:
    in_store(lambda store: store.mark("started:one", encode(Mark("started", "web-1/1", "v 1"))))
    asyncmq("queue", "pause", "mail", "--reason", "the provider is down")
    asyncmq("queue", "pause", "web")
    mail, start = asyncmq("history", "mail", "--marks").rows
    assert (mail[1:3], start[1:4]) == (["paused", "mail"], ["started", "-", "web-1/1"])
    assert mail[4:] == ["the", "provider", "is", "down"]
    every = asyncmq("history", "--marks", "--hours", "48", "--json").json
    assert [(each["kind"], each["queue"]) for each in every] == [
        ("paused", "web"),
        ("paused", "mail"),
        ("started", None),
    ]
    assert asyncmq("history", "nobody", "--marks").code == 1


def test_a_queue_that_nobody_knows(asyncmq: Operator) -> None:
    answer = asyncmq("history", "nobody")
    assert answer.code == 1
    assert "expected one that has jobs" in answer.err
    assert asyncmq("history", "nobody", "--hours", "49").code == 2
