"""`asyncmq queue`."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import PAGE, BaseBackend
from asyncmqd.backends.redis import RedisBackend
from asyncmqd.backends.sqlite import SQLiteBackend
from asyncmqd.domain.heartbeat import Load, Serving
from asyncmqd.domain.pause import Pause
from asyncmqd.domain.schedule import Repeatable
from asyncmqd.domain.shared_limits import KeyLimits, SharedLimits
from tests.cli.conftest import Operator
from tests.cli.test_jobs import new

InStore = Callable[[Callable[[BaseBackend], Any]], Any]

STATES = ["waiting", "delayed", "blocked", "active", "completed", "failed", "expired", "cancelled"]


@pytest.fixture
def queues(in_store: InStore) -> None:
    """`mail` with a running job, a waiting one, a delayed one and a schedule; `idle` is served."""

    async def fill(store: BaseBackend) -> None:
        await store.add("mail", [new("active")])
        await store.claim("mail", 1, 60.0, "host/one")
        await store.add("mail", [new("waiting"), new("delayed", delay=3600.0)])
        spec = msgspec.json.encode(Repeatable(task="shop.add", every=60.0))
        await store.declare("mail", {"shop.add": spec}, fresh=True)
        serving = {name: {"concurrency": 20, "running": 3} for name in ("mail", "idle")}
        info = msgspec.json.encode({"host": "h", "pid": 7, "queues": serving})
        await store.beat("host/one", info, 60.0)

    in_store(fill)


@pytest.mark.usefixtures("queues")
def test_list_counts_jobs_and_shows_served_queues_without_any(asyncmq: Operator) -> None:
    assert asyncmq("queue", "list").rows == [
        ["idle", "0", "0", "0", "0", "0", "0", "0", "0", "1", "yes"],
        ["mail", "1", "1", "0", "1", "0", "0", "0", "0", "1", "yes"],
    ]
    mail = asyncmq("queue", "list", "--json").json[1]
    assert [mail[state] for state in STATES] == [1, 1, 0, 1, 0, 0, 0, 0]
    assert (mail["name"], mail["paused"], mail["parked"], mail["workers"]) == ("mail", False, 0, 1)


def test_list_of_an_empty_store(asyncmq: Operator) -> None:
    assert asyncmq("queue", "list", "--json").json == []
    assert asyncmq("queue", "list").rows == []


@pytest.mark.usefixtures("queues")
def test_show_tells_what_comes_next(asyncmq: Operator) -> None:
    queue = asyncmq("queue", "show", "mail", "--json").json
    assert [queue[state] for state in STATES] == [1, 1, 0, 1, 0, 0, 0, 0]
    assert (queue["head"]["id"], queue["head"]["task"]) == ("waiting", "shop.add")
    assert 0 <= queue["head"]["age"] < 60
    assert queue["next_due"] > queue["head"]["created"]
    assert queue["next_lease_end"] > queue["head"]["created"]
    assert (queue["concurrency"], queue["running"], queue["workers"]) == (20, 3, ["host/one"])
    assert [schedule["name"] for schedule in queue["schedules"]] == ["shop.add"]


@pytest.mark.usefixtures("queues")
def test_show_for_people(asyncmq: Operator) -> None:
    fields, _, schedules = asyncmq("queue", "show", "mail").out.partition("\n\n")
    found = dict(line.split(maxsplit=1) for line in fields.splitlines())
    assert (found["name"], found["waiting"], found["paused"]) == ("mail", "1", "no")
    assert found["running"] == "3 of 20"
    assert schedules.splitlines()[1].endswith("every 60 s")


LIMITS = SharedLimits(concurrency=3, rate_limit=600.0, rate_interval=3_600.0, burst=10.0)


@pytest.mark.usefixtures("queues")
def test_show_tells_the_limits_over_all_daemons(asyncmq: Operator, in_store: InStore) -> None:
    assert asyncmq("queue", "show", "mail", "--json").json["limits"] is None
    in_store(lambda store: store.declare_limits("mail", LIMITS, "web1/a"))
    in_store(lambda store: store.claim("mail", 1, 60.0, "host/one"))
    shown = asyncmq("queue", "show", "mail").out
    assert "running in all daemons  2 of 3" in shown
    assert "600 in 3600 s, 10 at once; 9 now" in shown
    assert re.search(r"limits declared +by web1/a at \S+Z", shown)
    in_store(lambda store: store.declare_limits("mail", SharedLimits(rate_limit=0.0), "web1/a"))
    shown = asyncmq("queue", "show", "mail").out
    assert re.search(r"running in all daemons +no limit", shown)
    assert re.search(r"starts in all daemons +none", shown)


@pytest.mark.usefixtures("queues")
def test_show_tells_the_limits_of_keys(asyncmq: Operator, in_store: InStore) -> None:
    each_key = KeyLimits(concurrency=2, rate_limit=600.0, rate_interval=60.0, burst=10.0)
    limits = SharedLimits(each_key=each_key, keys={"t7": KeyLimits(concurrency=0, weight=2.0)})
    in_store(lambda store: store.declare_limits("mail", limits, "web1/a"))
    in_store(lambda store: store.add("mail", [msgspec.structs.replace(new("k"), key="t7")]))
    in_store(lambda store: store.claim("mail", 5, 60.0, "host/one"))
    shown = asyncmq("queue", "show", "mail").out
    assert re.search(r"limits of each key +2 running; 600 in 60 s, 10 at once\n", shown)
    assert re.search(r"limits of key t7 +0 running; weight 2\n", shown)
    assert re.search(r"keys that are used up +1\n", shown)
    found = asyncmq("queue", "show", "mail", "--json").json["limits"]
    assert (found["each_key"]["concurrency"], found["closed_keys"]) == (2, 1)


@pytest.mark.parametrize("name", ["E mails", "{mail}", "a\nb"])
def test_a_queue_of_a_bad_name_can_be_looked_at_and_purged_but_not_added_to(
    asyncmq: Operator, in_store: InStore, name: str
) -> None:
    """Earlier releases stored such names; nobody makes new ones."""
    in_store(lambda store: store.add(name, [new("a")]))
    assert [queue["name"] for queue in asyncmq("queue", "list", "--json").json] == [name]
    assert asyncmq("queue", "show", name, "--json").json["waiting"] == 1
    assert asyncmq("job", "list", "--queue", name, "--json").json[0]["id"] == "a"
    assert asyncmq("schedule", "list", name, "--json").json == []
    for refused in (["enqueue", "t", "--queue", name], ["worker", "start", name]):
        answer = asyncmq(*refused)
        assert answer.code == 2
        assert "expected a queue name of a-z, 0-9, _ and -" in answer.err
    assert asyncmq("queue", "purge", name, "--state", "waiting", "--yes").out == "1 job removed\n"
    answer = asyncmq("queue", "show", f"{name}!")
    assert answer.code == 2
    assert "expected a queue name of a-z, 0-9, _ and -" in answer.err


@pytest.mark.usefixtures("queues")
def test_a_queue_that_is_only_served_is_empty(asyncmq: Operator) -> None:
    queue = asyncmq("queue", "show", "idle", "--json").json
    assert [queue[state] for state in STATES] == [0] * len(STATES)
    assert (queue["head"], queue["next_due"], queue["schedules"]) == (None, None, [])


@pytest.mark.usefixtures("queues")
@pytest.mark.parametrize("command", [["show"], ["purge", "--state", "failed", "--yes"]])
def test_a_queue_that_nobody_knows_is_not_taken_for_an_empty_one(
    asyncmq: Operator, command: list[str]
) -> None:
    answer = asyncmq("queue", *command, "mial")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.endswith("got 'mial' (did you mean mail?)\n")


@pytest.mark.usefixtures("queues")
def test_pause_stops_claiming_and_resume_allows_it(asyncmq: Operator, in_store: InStore) -> None:
    def claim(store: BaseBackend) -> Any:
        return store.claim("mail", 1, 60.0, "host/two")

    assert asyncmq("queue", "pause", "mail").out == "mail paused\n"
    assert asyncmq("queue", "list").rows[1][10:12] == ["PAUSED", "since"]
    assert asyncmq("queue", "show", "mail", "--json").json["paused"] is True
    assert in_store(claim) == []
    assert asyncmq("queue", "resume", "mail").out == "mail resumed\n"
    assert [each.id for each in in_store(claim)] == ["waiting"]


@pytest.mark.usefixtures("queues")
def test_a_pause_says_who_made_it_when_and_why(asyncmq: Operator) -> None:
    reason = "provider is down: ticket 7"
    assert asyncmq("queue", "pause", "mail", "--reason", reason).code == 0
    user = pwd.getpwuid(os.getuid()).pw_name
    for line in (asyncmq("queue", "list").out, asyncmq("queue", "show", "mail").out):
        assert re.search(rf"since [-0-9T:.]+Z by {user}.*: {reason}\n", line)
    for found in (
        asyncmq("queue", "show", "mail", "--json").json,
        asyncmq("queue", "list", "--json").json[1],
    ):
        assert found["pause"]["by"].startswith(user)
        assert found["pause"]["reason"] == reason
    assert asyncmq("queue", "resume", "mail").code == 0
    assert asyncmq("queue", "show", "mail", "--json").json["pause"] is None


@pytest.mark.usefixtures("queues")
def test_a_pause_of_an_older_release_says_no_more(asyncmq: Operator, in_store: InStore) -> None:
    in_store(pause_as_older_release)
    assert asyncmq("queue", "list").rows[1][-1] == "PAUSED"
    found = asyncmq("queue", "show", "mail", "--json").json
    assert (found["paused"], found["pause"]) == (True, {"since": None, "by": None, "reason": None})
    assert "paused          yes\n" in asyncmq("queue", "show", "mail").out


async def pause_as_older_release(store: BaseBackend) -> None:
    if isinstance(store, RedisBackend):
        await store._run(("SET", "asyncmq:{mail}:paused", 1))
    elif isinstance(store, InMemoryBackend):  # of which there is no older one
        store._store.queues["mail"].pause = Pause()
    else:
        assert isinstance(store, SQLiteBackend)
        insert = "INSERT INTO paused (queue) VALUES ('mail')"
        await store._write(lambda tx: tx.execute(insert))


def test_a_queue_that_nobody_knows_is_not_paused(asyncmq: Operator, in_store: InStore) -> None:
    in_store(lambda store: store.add("mail", [new("waiting")]))
    for command in ("pause", "resume"):
        answer = asyncmq("queue", command, "mial")
        assert (answer.code, answer.out) == (1, "")
        assert answer.err == (
            "asyncmq: queue: expected one that has jobs, schedules or workers, or that the"
            " configuration names, got 'mial' (did you mean mail?)\n"
        )
    assert not in_store(lambda store: store.counts(["mial"]))["mial"].paused
    assert asyncmq("queue", "pause", "mial", "--new").out == "mial paused\n"
    assert asyncmq("queue", "resume", "mial").out == "mial resumed\n"


def test_a_queue_of_the_configuration_is_known(
    asyncmq: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queues.toml").write_text("[queues.mail]\n")
    monkeypatch.setenv("ASYNCMQD_CONFIG", str(tmp_path / "queues.toml"))
    assert asyncmq("queue", "pause", "mail").out == "mail paused\n"


def test_a_queue_without_workers_says_so(asyncmq: Operator, in_store: InStore) -> None:
    assert asyncmq("enqueue", "shop.thank", "--queue", "mail").err == ""
    waits = asyncmq("enqueue", "shop.thank", "--queue", "mail", "--wait-timeout", "1.1")
    assert waits.err.startswith("asyncmq: queue mail: nobody serves it now\nasyncmq: job ")
    assert " ".join(asyncmq("queue", "list").rows[0]).endswith("nobody serves it")
    assert "nobody serves it" in asyncmq("queue", "show", "mail").out

    info = b'{"queues":{"mail":{"concurrency":1,"running":0}}}'
    in_store(lambda store: store.beat("host/1", info, 60.0))
    assert asyncmq("enqueue", "shop.thank", "--queue", "mail").err == ""
    near = asyncmq("enqueue", "shop.thank", "--queue", "mial").err
    assert near == "asyncmq: queue mial: nobody serves it now (did you mean mail?)\n"
    assert asyncmq("queue", "list").rows[0][-1] == "yes"
    other = asyncmq("enqueue", "shop.thank").err
    assert other == "asyncmq: queue default: nobody serves it now (served: mail)\n"


def test_purge_deletes_one_state_beyond_a_page(asyncmq: Operator, in_store: InStore) -> None:
    count = PAGE + 3

    async def fill(store: BaseBackend) -> None:
        await store.add("mail", [new(f"w{number}") for number in range(count)])
        await store.add("mail", [new("delayed", delay=3600.0)])

    in_store(fill)
    answer = asyncmq("queue", "purge", "mail", "--state", "waiting", "--yes")
    assert (answer.code, answer.out, answer.err) == (0, f"{count} jobs removed\n", "")
    mail = asyncmq("queue", "show", "mail", "--json").json
    assert (mail["waiting"], mail["delayed"]) == (0, 1)


@pytest.mark.usefixtures("queues")
def test_purge_without_a_terminal_needs_a_yes(asyncmq: Operator) -> None:
    answer = asyncmq("queue", "purge", "mail", "--state", "waiting")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "asyncmq: expected --yes, since there is no terminal to ask on\n"
    assert asyncmq("queue", "show", "mail", "--json").json["waiting"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["purge", "mail"], "Missing option '--state'"),
        (["purge", "mail", "--state", "done"], "'done' is not one of 'waiting', 'delayed'"),
        (["pause", "mail", "--reason", "x\ny"], "expected one line of text"),
        (["pause", "Mail"], "expected a queue name of a-z, 0-9, _ and -"),
        (["show"], "Missing argument 'QUEUE'. Usage: asyncmq queue show [OPTIONS] QUEUE\n"),
        (["nope"], "No such command 'nope'"),
    ],
)
def test_wrong_usage(run: Operator, arguments: list[str], message: str) -> None:
    answer = run("--backend", "sqlite:////never/opened.db", "queue", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1
    assert message in answer.err


def test_show_tells_what_the_queue_has_of_the_slots_of_its_daemon(
    asyncmq: Operator, in_store: InStore
) -> None:
    async def serve(store: BaseBackend) -> None:
        loads = {
            "mail": Load(concurrency=9, running=4, weight=3, max_concurrency=12),
            "web": Load(concurrency=9, running=1, weight=1, max_concurrency=12),
        }
        await store.beat("web1/a", msgspec.json.encode(Serving(queues=loads)), 60.0)
        free = Serving(queues={"mail": Load(concurrency=9)})
        await store.beat("web2/b", msgspec.json.encode(free), 60.0)

    in_store(serve)
    lines = asyncmq("queue", "show", "mail").out.splitlines()
    told = [line for line in lines if line.startswith("slots of daemon")]
    assert [line.split(maxsplit=3)[3] for line in told] == [
        "5 of 12 used by all queues, weight 3 of 4 (web1/a)"
    ]
