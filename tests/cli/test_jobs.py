"""`asyncmq job`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from asyncmqd.backends.base import PAGE, BaseBackend
from asyncmqd.backends.redis import RedisBackend
from asyncmqd.backends.sqlite import SQLiteBackend
from asyncmqd.client import operations
from asyncmqd.client.pending import CallOptions, add_one, pending
from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.job import Failure, JobSpec, NewJob
from asyncmqd.domain.settle import Policy, Refused, Succeeded, Unknown, settle
from asyncmqd.domain.states import State
from tests.cli.conftest import Operator

InStore = Callable[[Callable[[BaseBackend], Any]], Any]


def new(id: str, task: str = "shop.add", **options: Any) -> NewJob:
    return NewJob(id=id, payload=encode_spec(JobSpec(id=id, task=task)), **options)


@pytest.fixture
def jobs(in_store: InStore) -> None:
    """One job in each of five states of the queue `mail`, and one in `reports`."""

    async def fill(store: BaseBackend) -> None:
        await store.add("mail", [new(f"{n}") for n in ("failed", "completed", "parked", "active")])
        failed, completed, parked, _ = await store.claim("mail", 4, 60.0, "host/one")
        failure = Failure("ValueError", "red \x1b[31m [bold]line\nnext", "Traceback:\n  it \x1b[0m")
        outcomes = [(failed, Refused(failure)), (completed, Succeeded(b'{"a":1}'))]
        outcomes.append((parked, Unknown("shop.add")))
        await store.apply("mail", [settle(claim, out, Policy(), 0.5) for claim, out in outcomes])
        await store.add("mail", [new("waiting"), new("delayed", delay=3600.0)])
        await store.add("reports", [new("waiting"), new("other", "with space")])

    in_store(fill)


@pytest.fixture
def many(in_store: InStore) -> None:
    """Twelve jobs of two tasks in two queues; every third has failed."""

    async def fill(store: BaseBackend) -> None:
        for queue in ("mail", "reports"):
            tasks = ("shop.add", "shop.add", "shop.sum")
            await store.add(
                queue, [new(f"{queue}{n}", tasks[n % 3], key=f"k{n % 2}") for n in range(6)]
            )
            claims = await store.claim(queue, 2, 60.0, "host/one")
            failures = [Failure("OSError", text) for text in ("timed out", "refused")]
            pairs = zip(claims, failures, strict=True)
            await store.apply(queue, [settle(c, Refused(f), Policy(), 0.5) for c, f in pairs])

    in_store(fill)


@pytest.mark.usefixtures("many")
def test_jobs_are_searched_by_all_that_an_operator_knows(asyncmq: Operator) -> None:
    def found(*options: str) -> list[str]:
        answer = asyncmq("job", "list", "--json", *options).json
        jobs, searched = answer["jobs"], answer["searched"]
        while answer["after"]:  # on a slow machine a search says in the middle how far it came
            answer = asyncmq("job", "list", "--json", "--after", answer["after"], *options).json
            jobs, searched = jobs + answer["jobs"], searched + answer["searched"]
        assert searched == answer["of"]
        return [job["id"] for job in jobs]

    assert found("--task", "shop.sum", "-q", "mail") == ["mail2", "mail5"]
    assert found("--task", "shop.sum", "--key", "k1") == ["mail5", "reports5"]
    assert found("--error", "OSError: time") == ["mail0", "reports0"]
    assert found("--error", "refused", "-s", "failed", "-q", "reports") == ["reports1"]
    assert found("--older-than", "1h") == []
    assert len(found("--older-than", "0")) == 12


@pytest.mark.usefixtures("many")
def test_a_search_goes_on_from_its_cursor(asyncmq: Operator) -> None:
    whole = [job["id"] for job in asyncmq("job", "list", "--json").json]
    seen: list[str] = []
    options: tuple[str, ...] = ("--key", "k0")
    while True:
        answer = asyncmq("job", "list", "--limit", "1", "--json", *options).json
        seen += [job["id"] for job in answer["jobs"]]
        if answer["after"] is None:
            break
        options = ("--key", "k0", "--after", answer["after"])
    assert seen == [id for id in whole if int(id[-1]) % 2 == 0]
    told = asyncmq("job", "list", "--limit", "1", "--key", "k0")
    assert [row[0] for row in told.rows] == seen[:1]
    assert "of 12 jobs: go on with --after " in told.err


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("cursor", ["x", "####", "WzFd"])
def test_a_cursor_that_is_none_is_refused(asyncmq: Operator, cursor: str) -> None:
    answer = asyncmq("job", "list", "--after", cursor)
    assert (answer.code, answer.out) == (1, "")
    assert (
        f"after: expected a cursor that a search of this store gave, got '{cursor}'" in answer.err
    )
    answer = asyncmq("job", "list", "--after", "x", "--offset", "3")
    assert (answer.code, answer.out) == (2, "")


LOG: tuple[dict[str, Any], ...] = (
    {"timestamp": "2026-11-29T12:00:00.5Z", "level": "info", "event": "red \x1b[31m", "order": 17},
    {
        "timestamp": "2026-11-29T12:00:01Z",
        "level": "error",
        "event": "two\nlines",
        "exception": "Traceback:\n  of it",
        "job_id": "told",
    },
)


@pytest.fixture
def told(in_store: InStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed job whose last run said something, and one whose run was silent; no journal."""
    monkeypatch.setenv("PATH", "/nowhere")

    async def fill(store: BaseBackend) -> None:
        await store.add("mail", [new("told"), new("silent"), new("waits")])
        claims = await store.claim("mail", 2, 60.0, "host/one")
        failures = [Failure("ValueError", "x", "Traceback:\n  it", LOG), Failure("ValueError", "x")]
        ends = [Refused(failure) for failure in failures]
        changes = [settle(c, e, Policy(), 0.5) for c, e in zip(claims, ends, strict=True)]
        await store.apply("mail", changes)

    in_store(fill)


@pytest.mark.usefixtures("told")
def test_what_a_failed_run_said_is_shown(asyncmq: Operator) -> None:
    lines = [
        "2026-11-29T12:00:00.5Z  info      red \\x1b[31m  order=17",
        "2026-11-29T12:00:01Z  error     two\\nlines",
        "    Traceback:",
        "      of it",
    ]
    assert asyncmq("job", "logs", "told").out.splitlines() == lines
    out = asyncmq("job", "show", "told").out
    assert out.splitlines()[-5:] == ["log", *(f"    {line}" for line in lines)]
    shown = asyncmq("job", "show", "told", "--json").json
    assert shown["log"] == [*LOG]
    assert shown["error"] == {"type": "ValueError", "message": "x", "traceback": "Traceback:\n  it"}
    (attempt,) = shown["attempts"]
    assert (attempt["number"], attempt["outcome"], attempt["worker"]) == (1, "fail", "host/one")
    assert (attempt["error"], attempt["log"]) == (shown["error"], shown["log"])
    assert attempt["seconds"] >= 0
    assert re.search(r"^    1  fail +\S+Z  0\.\d+ s  host/one  ValueError: x$", out, re.MULTILINE)
    (last,) = asyncmq("job", "logs", "told", "--lines", "1", "--json").out.splitlines()
    assert json.loads(last) == LOG[1]
    listed = asyncmq("job", "list", "--json").json
    assert [job["log"] for job in listed] == [None] * 3, "a page of them would be of megabytes"


@pytest.mark.usefixtures("told")
def test_why_there_are_no_lines_is_said(asyncmq: Operator) -> None:
    silent, waits = asyncmq("job", "logs", "silent"), asyncmq("job", "logs", "waits")
    assert (silent.code, silent.out, waits.code, waits.out) == (0, "", 0, "")
    assert "job silent is failed" in silent.err
    assert "on the host of worker host/one: journalctl JOB_ID=silent" in silent.err
    assert "job waits is waiting" in waits.err
    gone = asyncmq("job", "logs", "gone")
    assert (gone.code, gone.out) == (1, "")
    assert "job gone: there is none of this id" in gone.err


@pytest.mark.usefixtures("told")
def test_who_follows_a_job_that_has_ended_waits_for_nothing(asyncmq: Operator) -> None:
    assert asyncmq("job", "logs", "told", "--follow").out == asyncmq("job", "logs", "told").out


def state(asyncmq: Operator, id: str) -> str:
    return asyncmq("job", "show", id, "-q", "mail", "--json").json["state"]


@pytest.mark.usefixtures("jobs")
def test_list_shows_all_states_of_all_queues_in_order(asyncmq: Operator) -> None:
    rows = asyncmq("job", "list").rows
    assert [row[:4] for row in rows] == [
        ["waiting", "mail", "shop.add", "waiting"],
        ["parked", "mail", "shop.add", "waiting"],
        ["delayed", "mail", "shop.add", "delayed"],
        ["active", "mail", "shop.add", "active"],
        ["completed", "mail", "shop.add", "completed"],
        ["failed", "mail", "shop.add", "failed"],
        ["waiting", "reports", "shop.add", "waiting"],
        ["other", "reports", "with\\x20space", "waiting"],
    ]


@pytest.mark.usefixtures("jobs")
def test_list_takes_queue_state_limit_and_offset(asyncmq: Operator) -> None:
    def ids(*options: str) -> list[str]:
        return [
            f"{job['queue']}/{job['id']}" for job in asyncmq("job", "list", "--json", *options).json
        ]

    assert ids("--queue", "reports") == ["reports/waiting", "reports/other"]
    assert ids("--state", "failed") == ["mail/failed"]
    everything = ids()
    assert len(everything) == 8
    assert ids("--limit", "3") == everything[:3]
    assert ids("--offset", "5", "--limit", "2") == everything[5:7]
    assert ids("--offset", "8") == []
    slip = asyncmq("job", "list", "--queue", "report")
    assert (slip.code, len(slip.out.splitlines())) == (0, 1)
    assert slip.err == "asyncmq: queue report: it has no jobs (did you mean reports?)\n"
    assert asyncmq("job", "list", "--queue", "mail", "--state", "expired").err == ""


@pytest.mark.usefixtures("jobs")
def test_control_characters_of_job_data_are_escaped(asyncmq: Operator) -> None:
    listed = asyncmq("job", "list", "--state", "failed").out
    shown = asyncmq("job", "show", "failed").out
    for text in (listed, shown):
        assert r"ValueError: red \x1b[31m [bold]line\nnext" in text
        assert "\x1b" not in text
    assert "    Traceback:\n      it \\x1b[0m\n" in shown


@pytest.mark.usefixtures("jobs")
def test_show_as_json(asyncmq: Operator) -> None:
    failed = asyncmq("job", "show", "failed", "--json").json
    assert failed["error"] == {
        "type": "ValueError",
        "message": "red \x1b[31m [bold]line\nnext",
        "traceback": "Traceback:\n  it \x1b[0m",
    }
    assert (failed["attempt"], failed["worker"]) == (1, "host/one")
    completed = asyncmq("job", "show", "completed", "--json").json
    assert (completed["result"], completed["error"], completed["attempt"]) == ({"a": 1}, None, 1)
    active = asyncmq("job", "show", "active", "--json").json
    assert active["lease_ends"] > active["started"] >= active["created"]
    parked = asyncmq("job", "show", "parked", "--json").json
    assert (parked["parked"], parked["problem"]) == (True, "no worker there knows its task")
    assert active["problem"] is None


@pytest.mark.usefixtures("jobs")
def test_show_names_the_task_that_a_parked_job_may_mean(
    asyncmq: Operator, in_store: InStore
) -> None:
    info = b'{"queues": {"mail": {}}, "tasks": ["shop.thank", "shop.addd"]}'
    in_store(lambda store: store.beat("host/one", info, 60.0))
    out = asyncmq("job", "show", "parked").out
    assert "problem   no worker there knows its task (did you mean shop.addd?)" in out


def test_a_corrupt_payload_can_be_looked_at(asyncmq: Operator, in_store: InStore) -> None:
    in_store(lambda store: store.add("mail", [NewJob(id="bad", payload=b"\xff{")]))
    job = asyncmq("job", "show", "bad", "--json").json
    assert (job["id"], job["state"], job["task"], job["args"]) == ("bad", "waiting", None, None)
    assert asyncmq("job", "list").rows[0][:4] == ["bad", "mail", "-", "waiting"]


@pytest.mark.usefixtures("jobs")
def test_an_id_that_is_not_there_is_refused(asyncmq: Operator) -> None:
    nowhere = asyncmq("job", "show", "nosuch")
    assert (nowhere.code, nowhere.out) == (1, "")
    assert nowhere.err == "asyncmq: job nosuch: there is none of this id\n"
    elsewhere = asyncmq("job", "show", "failed", "--queue", "reports")
    assert (elsewhere.code, elsewhere.err) == (
        1,
        "asyncmq: job failed: queue reports has none of this id\n",
    )


@pytest.mark.usefixtures("jobs")
def test_an_id_of_two_queues_needs_the_queue(asyncmq: Operator) -> None:
    unclear = asyncmq("job", "remove", "waiting")
    assert unclear.code == 1
    assert "expected --queue, since mail and reports have one of this id" in unclear.err
    assert asyncmq("job", "remove", "waiting", "--queue", "reports").out == "waiting removed\n"
    assert state(asyncmq, "waiting") == "waiting"


@pytest.mark.usefixtures("jobs")
def test_retry_brings_ended_and_delayed_jobs_back(asyncmq: Operator) -> None:
    answer = asyncmq("job", "retry", "failed", "completed", "delayed")
    assert answer.code == 0
    assert answer.out == "failed retried\ncompleted retried\ndelayed retried\n"
    for id in ("failed", "completed", "delayed"):
        assert state(asyncmq, id) == "waiting"


@pytest.mark.usefixtures("jobs")
def test_what_a_state_forbids_is_refused_while_the_rest_is_done(asyncmq: Operator) -> None:
    answer = asyncmq("job", "retry", "active", "failed", "nosuch")
    assert (answer.code, answer.out) == (1, "failed retried\n")
    assert answer.err.splitlines() == [
        "asyncmq: job active: expected a job that has ended or is delayed, this one is active",
        "asyncmq: job nosuch: there is none of this id",
    ]
    assert state(asyncmq, "failed") == "waiting"
    assert asyncmq("job", "cancel", "completed").code == 1


@pytest.mark.usefixtures("jobs")
def test_cancel_and_remove(asyncmq: Operator) -> None:
    assert asyncmq("job", "cancel", "active", "delayed", "parked").code == 0
    for id in ("active", "delayed", "parked"):
        assert state(asyncmq, id) == "cancelled"
    assert asyncmq("job", "remove", "active").out == "active removed\n"
    assert asyncmq("job", "show", "active").code == 1


def test_bulk_retry_takes_every_job_of_the_state_and_no_other(
    asyncmq: Operator, in_store: InStore
) -> None:
    count = 2 * PAGE + 7

    async def fill(store: BaseBackend) -> None:
        await store.add("mail", [new(f"f{number}") for number in range(count)])
        claims = await store.claim("mail", count, 60.0, "host/one")
        refused = Refused(Failure("E", "boom"))
        await store.apply("mail", [settle(claim, refused, Policy(), 0.5) for claim in claims])
        await store.add("mail", [new("delayed", delay=3600.0)])

    in_store(fill)
    answer = asyncmq("job", "retry", "--queue", "mail", "--state", "failed", "--all")
    assert (answer.code, answer.out, answer.err) == (0, f"{count} jobs retried\n", "")
    queue = asyncmq("queue", "show", "mail", "--json").json
    assert (queue["waiting"], queue["failed"], queue["delayed"]) == (count, 0, 1)


def test_a_job_that_fails_again_meanwhile_is_not_retried_twice(
    asyncmq: Operator, in_store: InStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail_all(store: BaseBackend) -> None:
        for claim in await store.claim("mail", 100, 60.0, "host/one"):
            change = settle(claim, Refused(Failure("E", "boom")), Policy(), 0.5)
            await store.apply("mail", [change])

    async def fill(store: BaseBackend) -> None:
        await store.add("mail", [new(f"f{number}") for number in range(20)])
        await fail_all(store)

    def failing(store: type[BaseBackend]) -> Any:
        real_advance = store.advance

        async def advance(self: BaseBackend, *arguments: Any, **more: Any) -> Any:
            answers = await real_advance(self, *arguments, **more)
            await fail_all(self)
            return answers

        return advance

    in_store(fill)
    monkeypatch.setattr(operations, "STEP", 5)
    for store in (SQLiteBackend, RedisBackend):
        monkeypatch.setattr(store, "advance", failing(store))
    answer = asyncmq("job", "retry", "--queue", "mail", "--state", "failed", "--all")
    assert answer.out == "20 jobs retried\n"


@pytest.mark.usefixtures("jobs")
def test_bulk_work_that_destroys_needs_a_yes(asyncmq: Operator) -> None:
    options = ("-q", "mail", "-s", "delayed", "--all")
    answer = asyncmq("job", "cancel", *options)
    assert (answer.code, state(asyncmq, "delayed")) == (2, "delayed")
    assert asyncmq("job", "cancel", *options, "--yes").out == "1 job cancelled\n"
    assert asyncmq("job", "remove", "-q", "mail", "-s", "failed", "--all", "-y").code == 0
    assert asyncmq("job", "show", "failed").code == 1


@pytest.mark.usefixtures("jobs")
def test_bulk_work_that_no_job_allows_is_refused(asyncmq: Operator) -> None:
    answer = asyncmq("job", "retry", "-q", "mail", "-s", "active", "--all")
    assert (answer.code, answer.out) == (1, "0 jobs retried\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["retry"],
        ["retry", "--all"],
        ["retry", "--all", "--queue", "mail"],
        ["retry", "--all", "--queue", "mail", "--state", "failed", "id"],
        ["retry", "id", "--state", "failed"],
        ["list", "--limit", "0"],
        ["show"],
        ["show", "ä"],
    ],
)
def test_wrong_usage(run: Operator, arguments: list[str]) -> None:
    answer = run("--backend", "sqlite:////never/opened.db", "job", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1


def test_an_unknown_state_lists_the_known_ones(run: Operator) -> None:
    answer = run("--backend", "sqlite:////never/opened.db", "job", "list", "--state", "done")
    assert answer.code == 2
    for each in State:
        assert f"'{each}'" in answer.err


def test_show_tells_how_a_job_is_unique(asyncmq: Operator, in_store: InStore) -> None:
    options = CallOptions(job_id="j", unique="one", unique_while="waiting", on_conflict="replace")
    in_store(lambda store: add_one(store, "mail", pending("shop.add", [1], {}, options)))
    plain = pending("shop.add", [1], {}, CallOptions(job_id="plain"))
    in_store(lambda store: add_one(store, "mail", plain))
    shown = asyncmq("job", "show", "j", "--json").json
    assert (shown["unique"], shown["unique_while"], shown["on_conflict"]) == (
        "one",
        "waiting",
        "replace",
    )
    shown = asyncmq("job", "show", "plain", "--json").json
    assert (shown["unique"], shown["unique_while"], shown["on_conflict"]) == (None, None, None)
    assert re.search(r"on_conflict +replace", asyncmq("job", "show", "j").out)
