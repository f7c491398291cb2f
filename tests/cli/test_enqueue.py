"""`asyncmq enqueue`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.client.result_waits import served_queues
from tests.cli.conftest import Operator, ServingWorker
from tests.daemon.harness import until

InStore = Callable[[Callable[[BaseBackend], Any]], Any]


def test_prints_the_id_of_a_job_that_carries_every_option(asyncmq: Operator) -> None:
    answer = asyncmq(
        *("enqueue", "shop.add", "--queue", "mail", "--args", "[1, 2]", "--kwargs", '{"c": "é"}'),
        *("--delay", "5m", "--priority", "3", "--id", "a-1", "--retries", "2"),
        *("--timeout", "1.5", "--ttl", "2h"),
    )
    assert (answer.code, answer.out, answer.err) == (0, "a-1\n", "")
    job = asyncmq("job", "show", "a-1", "--json").json
    expected = {
        "queue": "mail",
        "task": "shop.add",
        "state": "delayed",
        "args": [1, 2],
        "kwargs": {"c": "é"},
        "priority": 3,
        "retries": 2,
        "timeout": 1.5,
        "ttl": 7200.0,
        "attempt": 1,
        "error": None,
    }
    assert {key: job[key] for key in expected} == expected
    assert job["due"] > job["created"]


def test_unknown_tasks_are_the_daemons_business_and_the_queue_is_default(asyncmq: Operator) -> None:
    id = asyncmq("enqueue", "nobody.knows").out.strip()
    job = asyncmq("job", "show", id, "--json").json
    assert (job["queue"], job["task"], job["state"]) == ("default", "nobody.knows", "waiting")
    assert (job["args"], job["kwargs"], job["priority"]) == ([], {}, 5)


def test_a_task_that_no_worker_of_the_queue_knows_is_told_of(
    asyncmq: Operator, in_store: InStore
) -> None:
    def serves(queue: str, tasks: list[str] | None) -> None:
        info = msgspec.json.encode({"queues": {queue: {}}, "tasks": tasks})
        in_store(lambda store: store.beat(f"{queue}{tasks}", info, 60.0))

    serves("mail", ["shop.add"])
    serves("reports", ["year.end"])
    answer = asyncmq("enqueue", "year.end", "--queue", "mail", "--id", "a")
    assert (answer.code, answer.out) == (0, "a\n")
    assert answer.err == "asyncmq: task year.end in queue mail: no worker there knows its task\n"
    answer = asyncmq("enqueue", "shop.ad", "--queue", "mail")
    assert answer.err.endswith("knows its task (did you mean shop.add?)\n")
    assert asyncmq("enqueue", "shop.add", "--queue", "mail").err == ""
    serves("mail", None)  # it has too many to tell
    assert asyncmq("enqueue", "year.end", "--queue", "mail").err == ""


def test_what_only_the_code_of_a_task_decides_has_to_be_given(
    asyncmq: Operator, in_store: InStore, store_url: str, tmp_path: Path
) -> None:
    fixed = {"cost": 7, "priority": 1, "ttl": 600.0, "on_conflict": "replace"}
    declared = {"bill": {"decides": ["key", "unique"], **fixed}, "embed": {"cost": 3}}
    info = msgspec.json.encode({"queues": {"mail": {}}, "declared": declared})
    in_store(lambda store: store.beat("a", info, 60.0))
    in_store(lambda store: store.beat("older release", b'{"queues": {"mail": {}}}', 60.0))
    refused = asyncmq("enqueue", "bill", "-q", "mail", "--unique", "n")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        "asyncmq: --key: expected one, for the code of task bill decides the key of its jobs, and"
        " it is not known here; give --key, or --config of its daemon\n"
    )
    file = tmp_path / "queues.toml"
    file.write_text(f'backend = "{store_url}"\ncontrol_socket = "{tmp_path}/s"\n')
    refused = asyncmq("--config", str(file), "enqueue", "bill", "-q", "mail")
    assert refused.code == 2
    assert "give --key and --unique, or: no daemon runs at" in refused.err
    id = asyncmq("enqueue", "bill", "-q", "mail", "--unique", "n", "--key", "k").out.strip()
    job = asyncmq("job", "show", id, "--json").json
    found = [job[name] for name in ("key", "unique", "cost", "priority", "ttl", "on_conflict")]
    assert found == ["k", "n", 7, 1, 600.0, "replace"]
    id = asyncmq("enqueue", "embed", "-q", "mail").out.strip()
    assert asyncmq("job", "show", id, "--json").json["cost"] == 3


def test_an_id_is_enqueued_once(asyncmq: Operator) -> None:
    assert asyncmq("enqueue", "shop.add", "--id", "a-1", "--args", "[1]").code == 0
    again = asyncmq("enqueue", "shop.add", "--id", "a-1", "--args", "[2]")
    assert (again.code, again.out) == (0, "a-1\n")
    assert again.err == "asyncmq: job a-1: queue default has it already, nothing was enqueued\n"
    assert asyncmq("job", "show", "a-1", "--json").json["args"] == [1]


def test_a_unique_name_is_enqueued_once_while_its_job_is_live(asyncmq: Operator) -> None:
    named = ("enqueue", "shop.add", "--unique", "report of May")
    first = asyncmq(*named).out.strip()
    again = asyncmq(*named, "--args", "[1]")
    assert (again.code, again.out) == (0, f"{first}\n")
    assert again.err == (
        f"asyncmq: job {first}: queue default has it already under this unique name,"
        " nothing was enqueued\n"
    )
    job = asyncmq("job", "show", first, "--json").json
    assert (job["unique"], job["holder"], job["args"]) == ("report of May", first, [])
    asyncmq("job", "cancel", first, "--yes")
    second = asyncmq(*named).out.strip()
    assert second != first
    refused = asyncmq("job", "retry", first)
    assert refused.code == 1
    assert refused.err == f"asyncmq: job {first}: its unique name is held by job {second}\n"
    many = asyncmq("job", "retry", "--all", "-q", "default", "-s", "cancelled")
    assert (many.code, many.out, many.err) == (1, "0 jobs retried\n", refused.err)
    bad = asyncmq("enqueue", "shop.add", "--unique", "a\tb")
    assert "'--unique': expected text of 1 to 1,000 printable characters" in bad.err


def test_a_key_is_shown_with_its_job(asyncmq: Operator) -> None:
    plain = asyncmq("enqueue", "shop.add").out.strip()
    assert "KEY" not in asyncmq("job", "list").out
    keyed = asyncmq("enqueue", "shop.add", "--key", "Kunde-é").out.strip()
    assert asyncmq("job", "show", keyed, "--json").json["key"] == "Kunde-é"
    assert asyncmq("job", "show", plain, "--json").json["key"] is None
    shown = asyncmq("job", "show", keyed).out
    assert ["key", "Kunde-é"] in [line.split(maxsplit=1) for line in shown.splitlines()]
    listed = {job["id"]: job["key"] for job in asyncmq("job", "list", "--json").json}
    assert listed == {plain: None, keyed: "Kunde-é"}
    headings, *rows = asyncmq("job", "list").out.splitlines()
    assert headings.split()[-2:] == ["KEY", "ERROR"]
    assert {row.split()[0]: "Kunde-é" in row for row in rows} == {plain: False, keyed: True}
    bad = asyncmq("enqueue", "shop.add", "--key", "x" * 129)
    assert bad.code == 2
    assert "'--key': expected text of 1 to 128 printable characters" in bad.err


def test_a_job_that_never_ran_takes_the_newest_arguments(asyncmq: Operator) -> None:
    named = ("enqueue", "shop.add", "--unique", "n", "--delay", "1h", "--args")
    first = asyncmq(*named, "[1]").out.strip()
    again = asyncmq(*named, "[2]", "--on-conflict", "push", "--push-for", "2h")
    assert (again.code, again.out) == (0, f"{first}\n")
    said = f"asyncmq: job {first}: it has these arguments now; queue default had it already\n"
    assert again.err == said
    job = asyncmq("job", "show", first, "--json").json
    assert (job["id"], job["args"]) == (first, [2])
    early = asyncmq("enqueue", "shop.add", "--unique", "n", "--on-conflict", "push")
    assert early.code == 2
    assert "--on-conflict: expected a delay beside 'push', got none" in early.err
    alone = asyncmq("enqueue", "shop.add", "--unique-for", "1h")
    assert (alone.code, "--unique-for: expected `unique` beside it" in alone.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--args", "[1, 2"],
            "--args: expected JSON, got Expecting ',' delimiter at line 1, column 6",
        ),
        (["--args", "[1,\n x]"], "got Expecting value at line 2, column 2"),
        (["--args", '{"a": 1}'], "--args: expected a JSON array"),
        (["x"], "extra argument(s) (x). Usage: asyncmq enqueue [OPTIONS] TASK"),
        (["--kwargs", "[1]"], "--kwargs: expected a JSON object"),
        (["--args", "[[NaN]]"], "--args[0][0]: expected a finite number, got nan"),
        (["--kwargs", '{"a": "\\ud800"}'], "--kwargs['a']: a lone surrogate"),
        (["--args", "[" * 100_000], "--args: expected JSON that can be read"),
        (["--delay", "soon"], "'--delay': expected seconds (a number or text like '5m', at "),
        (["--delay", "-1"], "'--delay'"),
        (["--timeout", "4000d"], "at most ten years), got '4000d'"),
        (["--priority", "256"], "'--priority': expected a whole number from 0 to 255, got 256"),
        (["--priority", "1.5"], "'--priority': expected a whole number from 0 to 255, got 1.5"),
        (["--retries", "-1"], "'--retries'"),
        (["--retries", "1000000000000"], "expected a whole number from 0 to 1000000, got 1000"),
        (["--delay", "5m", "--ttl", "60"], "--ttl: expected more than the delay of 300 s"),
        (["--queue", "No Good"], "'--queue'"),
        (["--id", "a b"], "'--id': expected 1 to 128 printable ASCII characters"),
        (["--nope"], "No such option: --nope"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    run: Operator, arguments: list[str], message: str
) -> None:
    answer = run("--backend", "sqlite:////never/opened.db", "enqueue", "t", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("asyncmq: ")
    assert answer.err.count("\n") == 1
    assert message in answer.err


def test_a_payload_over_the_limit_is_refused(asyncmq: Operator) -> None:
    answer = asyncmq("enqueue", "t", "--args", f'["{"x" * 300_000}"]')
    assert answer.code == 1
    assert "expected a payload of at most 262144 bytes" in answer.err
    assert asyncmq("job", "list", "--json").json == []


def test_wait_prints_the_result(asyncmq: Operator, worker: Callable[..., ServingWorker]) -> None:
    worker()
    answer = asyncmq("enqueue", "shop.add", "-q", "mail", "--args", "[20, 22]", "--wait")
    assert answer.code == 0
    assert answer.out.splitlines()[1:] == ["42"]


def test_looks_that_only_warn_may_fail(
    asyncmq: Operator, worker: Callable[..., ServingWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreachable(_: BaseBackend) -> Any:
        raise StoreError("it is restarted")

    monkeypatch.setattr("asyncmqd.client.result_waits.serving", unreachable)
    monkeypatch.setattr("asyncmqd.admin.workers.served_queues", unreachable)
    monkeypatch.setattr("asyncmqd.cli.enqueue_and_wait._SHORT_WAIT", 0.0)
    worker()
    answer = asyncmq(
        *("enqueue", "shop.add", "-q", "mail", "--args", "[20, 22]", "--id", "a", "--wait")
    )
    assert (answer.code, answer.out, answer.err) == (0, "a\n42\n", "")


def test_wait_fails_with_the_job(
    asyncmq: Operator,
    worker: Callable[..., ServingWorker],
    in_store: Callable[[Callable[[BaseBackend], Awaitable[set[str]]]], set[str]],
) -> None:
    worker()
    until(lambda: in_store(served_queues))  # else it might be told that nobody serves the queue
    answer = asyncmq("enqueue", "shop.fail", "-q", "mail", "--args", '["no\\nway"]', "--wait")
    id = answer.out.strip()
    assert answer.code == 1
    assert answer.err == f"asyncmq: job {id} is failed: ValueError: no\\nway\n"


def test_wait_ends_after_its_time(asyncmq: Operator) -> None:
    answer = asyncmq("enqueue", "t", "--wait", "--wait-timeout", "20ms")
    assert answer.code == 1
    assert "is waiting after 0.02 s: nobody serves the queue" in answer.err
