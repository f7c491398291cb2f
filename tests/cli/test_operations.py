"""`asyncmq operation`, and commands on all jobs that are like this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.client.acting_user import system_user
from asyncmqd.client.operations import carry_on
from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.job import Failure, JobSpec, NewJob
from asyncmqd.domain.operation import Order, Progress, encode
from asyncmqd.domain.settle import Policy, Refused, settle
from asyncmqd.domain.states import State
from tests.cli.conftest import Operator

InStore = Callable[[Callable[[BaseBackend], Any]], Any]
FAILED = ("--queue", "mail", "--state", "failed")


@pytest.fixture
def failures(in_store: InStore) -> None:
    """Ten failed jobs of two tasks and two errors, and three delayed ones."""

    def new(id: str, task: str, **options: Any) -> NewJob:
        return NewJob(id=id, payload=encode_spec(JobSpec(id=id, task=task)), **options)

    async def fill(store: BaseBackend) -> None:
        tasks = ("shop.add", "shop.sum")
        await store.add("mail", [new(f"f{n}", tasks[n % 2], key=f"k{n}") for n in range(10)])
        claims = sorted(await store.claim("mail", 10, 60.0, "w"), key=lambda claim: claim.id)
        errors = [Failure("OSError", "refused" if n < 4 else "timed out") for n in range(10)]
        pairs = zip(claims, errors, strict=True)
        await store.apply("mail", [settle(c, Refused(e), Policy(), 0.5) for c, e in pairs])
        await store.add("mail", [new(f"d{n}", "shop.add", delay=3_600.0) for n in range(3)])

    in_store(fill)


def counts(asyncmq: Operator) -> tuple[int, ...]:
    queue = asyncmq("queue", "show", "mail", "--json").json
    return tuple(queue[state] for state in ("waiting", "delayed", "failed", "cancelled"))


@pytest.mark.usefixtures("failures")
def test_only_jobs_that_are_like_this_are_moved(asyncmq: Operator) -> None:
    retried = asyncmq("job", "retry", "--all", *FAILED, "--task", "shop.sum", "--error", "refused")
    assert (retried.code, retried.out, retried.err) == (0, "2 jobs retried\n", "")
    assert counts(asyncmq) == (2, 3, 8, 0)
    assert asyncmq("job", "remove", "--all", *FAILED, "--key", "k0", "-y").out == "1 job removed\n"
    assert asyncmq("job", "retry", "--all", *FAILED, "--older-than", "1h").out == "0 jobs retried\n"
    assert counts(asyncmq) == (2, 3, 7, 0)


@pytest.mark.usefixtures("failures")
def test_delayed_jobs_are_run_now(asyncmq: Operator) -> None:
    assert asyncmq("job", "run-now", "d0").out == "d0 brought forward\n"
    refused = asyncmq("job", "run-now", "d0", "f0")
    assert (refused.code, refused.out) == (1, "")
    assert "job d0: expected a job that is delayed, this one is waiting" in refused.err
    assert asyncmq("job", "run-now", "--all", "-q", "mail").out == "2 jobs brought forward\n"
    assert counts(asyncmq) == (3, 0, 10, 0)


@pytest.mark.usefixtures("failures")
def test_who_did_what_is_kept(asyncmq: Operator) -> None:
    asyncmq("job", "cancel", "d1", "--reason", "not wanted")
    asyncmq("job", "retry", "--all", *FAILED, "--error", "refused", "--reason", "it is back")
    asyncmq("queue", "purge", "mail", "--state", "failed", "--yes")
    purge, retry, cancel = asyncmq("operation", "list", "--json").json
    known = {"queue": "mail", "by": system_user(), "state": "done", "left": 0, "reasons": []}
    assert known.items() <= purge.items()
    assert (purge["verb"], purge["jobs"], purge["moved"], purge["of"]) == ("remove", "failed", 6, 6)
    assert (retry["verb"], retry["moved"], retry["searched"]) == ("retry", 4, 10)
    assert (retry["jobs"], retry["reason"]) == ("failed, error refused", "it is back")
    selection = {"task": None, "key": None, "error": "refused", "older_than": None, "alike": None}
    assert (retry["states"], retry["selection"]) == (["failed"], selection)
    assert (cancel["verb"], cancel["jobs"], cancel["moved"]) == ("cancel", "1 named", 1)
    assert purge["begun"] > retry["begun"] > cancel["begun"]
    assert asyncmq("operation", "show", retry["id"], "--json").json == retry
    rows = asyncmq("operation", "list", "-q", "mail").rows
    assert [row[2:5] for row in rows] == [
        ["remove", "done", "6"],
        ["retry", "done", "4"],
        ["cancel", "done", "1"],
    ]
    assert "reason    it is back" in asyncmq("operation", "show", retry["id"]).out
    assert asyncmq("operation", "list", "-q", "reports").rows == []


@pytest.mark.usefixtures("failures")
def test_one_that_is_left_to_daemons_waits_for_them(asyncmq: Operator, in_store: InStore) -> None:
    answer = asyncmq("job", "retry", "--all", *FAILED, "--detach")
    assert (answer.code, answer.out) == (0, "")
    (seen,) = asyncmq("operation", "list", "--json").json
    assert answer.err == f"asyncmq: operation {seen['id']}: a daemon does it\n"
    assert (seen["state"], seen["moved"], seen["carrier"], seen["of"]) == ("running", 0, None, 10)
    cancelled = asyncmq("operation", "cancel", seen["id"])
    assert cancelled.out == f"{seen['id']} cancelled, 0 moved\n"
    again = asyncmq("operation", "cancel", seen["id"])
    assert (again.code, again.out) == (1, "")
    assert "expected one that runs, this one has ended" in again.err
    assert asyncmq("operation", "show", seen["id"], "--json").json["ended_by"] == system_user()
    nowhere = asyncmq("operation", "show", "nosuch")
    assert nowhere.err == "asyncmq: operation nosuch: there is none of this id\n"


@pytest.mark.usefixtures("failures")
def test_jobs_that_cannot_be_moved_are_told_of(asyncmq: Operator) -> None:
    answer = asyncmq("job", "cancel", "--all", *FAILED, "--yes")
    assert (answer.code, answer.out) == (1, "0 jobs cancelled\n")
    assert answer.err.count("expected a job that has not ended, this one is failed") == 3
    assert "asyncmq: 7 jobs more could not be cancelled" in answer.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["retry", "id", "--task", "t"],
        ["retry", "id", "--detach"],
        ["run-now", "--all"],
        ["run-now", "id", "--error", "x"],
        ["retry", "id", "--reason", "two\nlines"],
    ],
)
def test_wrong_usage(run: Operator, arguments: list[str]) -> None:
    answer = run("--backend", "sqlite:////never/opened.db", "job", *arguments)
    assert (answer.code, answer.out) == (2, "")


def test_what_nobody_can_read_is_ended(in_store: InStore) -> None:
    """Of a later release, or spoilt by a hand: it would come up at each heartbeat."""

    async def carry(store: BaseBackend) -> Any:
        for order in (b"{", b'{"verb":"explode"}', encode(Progress()), b""):
            record = await store.begin_operation("mail", f"op{order!r}", order, "ann", 60.0)
            assert await carry_on(store, record) is True
        return await store.operations(["mail"])

    assert {each.outcome for each in in_store(carry)} == {"cancelled"}


@pytest.mark.usefixtures("failures")
def test_a_spoilt_progress_begins_anew(in_store: InStore, asyncmq: Operator) -> None:
    async def carry(store: BaseBackend) -> None:
        order = Order(verb="retry", states=(State.FAILED,))
        for id, progress in (
            ("a", b"{"),
            ("b", b'{"mark":["failed",1e300,"x"]}'),
        ):
            await store.begin_operation("mail", id, encode(order), "ann", 60.0)
            assert await store.advance("mail", id, 1, 60.0, progress=progress) == []
            (record,) = [each for each in await store.operations(["mail"]) if each.id == id]
            assert await carry_on(store, record)

    in_store(carry)
    assert counts(asyncmq)[0] == 10
