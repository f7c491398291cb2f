"""What a hand in the store's own keys and tables can do: spoil its records, and stop nothing."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from asyncmqd.backends.factory import open_backend
from asyncmqd.cli.asyncmq import main
from asyncmqd.client.result_waits import served_queues
from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.heartbeat import Serving, serving_of
from asyncmqd.domain.job import JobSpec, NewJob
from asyncmqd.domain.schedule import Repeatable, decode_schedule
from asyncmqd.domain.settle import decode_failure
from asyncmqd.domain.states import State
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.scheduler import Scheduler
from tests.security.test_payloads import records_of, registry, run_dry

__all__ = ["registry"]

GARBAGE = [b"", b"x", b"\xff" * 40, b"9" * 400, b"-" * 18, b"0" * 16 + b"abc{}", b" " * 19 + b"[]"]
GOOD = [f"good-{number}" for number in range(20)]


async def _with_good_ones(backend, ids: list[str], size: int = 0) -> None:
    payload = encode_spec(JobSpec(id="a", task="good", args=["x" * size]))
    await backend.add("q", [NewJob(id=id, payload=payload) for id in [*ids, *GOOD]])


@pytest.fixture(params=["redis6", "valkey9"])
def redis(request, server):
    """A server and its address, empty."""
    running = server(request.param)
    running.flush()
    return running


async def test_jobs_overwritten_in_redis(redis, registry):
    backend = open_backend(redis.url)
    ids = [f"bad-{number}" for number in range(len(GARBAGE))]
    await _with_good_ones(backend, [*ids, "gone"])
    with redis.client() as client:
        for id, data in zip(ids, GARBAGE, strict=True):
            assert client.set(f"asyncmq:{{q}}:job:{id}", data, xx=True)
        assert client.delete("asyncmq:{q}:job:gone")
    await run_dry(backend, registry)
    assert {r.state for r in await records_of(backend, GOOD)} == {State.COMPLETED}
    assert {r.state for r in await records_of(backend, [*ids, "gone"])} == {State.FAILED}
    await backend.close()


VALUES = ["'text'", "''", "5", "-1.5", "x''", "x'ff'", "'[[['"]


@pytest.mark.parametrize("size", [10, 40_000], ids=["small", "large"])
async def test_jobs_of_another_type_in_redis(redis, registry, size):
    """A script fails at them in its middle, and Redis takes nothing back: all would be lost."""
    backend = open_backend(redis.url)
    await _with_good_ones(backend, ["hash", "list"], size)
    with redis.client() as client:
        client.delete("asyncmq:{q}:job:hash", "asyncmq:{q}:job:list")
        client.hset("asyncmq:{q}:job:hash", "field", "value")
        client.rpush("asyncmq:{q}:job:list", "value")
    await run_dry(backend, registry)
    assert {r.state for r in await records_of(backend, GOOD)} == {State.COMPLETED}
    counts = (await backend.counts(["q"]))["q"]
    assert (counts.failed, counts.waiting, counts.active) == (2, 0, 0)
    await backend.close()


async def test_large_jobs_overwritten_in_sqlite(tmp_path, registry):
    backend = open_backend(f"sqlite://{tmp_path}/jobs.db")
    ids = [f"bad-{number}" for number in range(len(VALUES))]
    await _with_good_ones(backend, [*ids, "gone"], 5_000)
    place = "job = (SELECT number FROM jobs WHERE id = ?)"
    with sqlite3.connect(tmp_path / "jobs.db") as connection:
        for id, value in zip(ids, VALUES, strict=True):
            connection.execute(f"UPDATE large_payloads SET payload = {value} WHERE {place}", (id,))
        connection.execute(f"DELETE FROM large_payloads WHERE {place}", ("gone",))
    connection.close()
    await run_dry(backend, registry)
    assert {r.state for r in await records_of(backend, GOOD)} == {State.COMPLETED}
    assert {r.state for r in await records_of(backend, [*ids, "gone"])} == {State.FAILED}
    assert await backend.remove("q", ids) == [True] * len(ids)
    await backend.close()


async def test_jobs_overwritten_in_sqlite(tmp_path, registry):
    backend = open_backend(f"sqlite://{tmp_path}/jobs.db")
    ids = [f"bad-{number}" for number in range(len(VALUES))]
    await _with_good_ones(backend, ids)
    with sqlite3.connect(tmp_path / "jobs.db") as connection:
        for id, value in zip(ids, VALUES, strict=True):
            connection.execute(f"UPDATE jobs SET payload = {value} WHERE id = ?", (id,))
    connection.close()
    await run_dry(backend, registry)
    assert {r.state for r in await records_of(backend, GOOD)} == {State.COMPLETED}
    assert {r.state for r in await records_of(backend, ids)} == {State.FAILED}
    await backend.close()


SPOILT = {
    "bytes": b"\xff\xfe",
    "deep": b'{"task":"good","every":1,"args":' + b"[" * 5_000,
    "never": b'{"task":"good"}',
    "at once": b'{"task":"good","every":0}',
    "cron": b'{"task":"good","cron":"every day"}',
    "zone": b'{"task":"good","cron":"* * * * *","timezone":"../../etc/passwd"}',
    "shape": b'{"task":["good"],"every":1}',
}


async def test_spoilt_schedules_are_replaced_by_what_the_configuration_says(open_store, registry):
    backend = await open_store()
    ours = [Repeatable(task="good", name=name, every=0.1) for name in SPOILT]
    await backend.declare("q", SPOILT, fresh=True)
    restored: set[str] = set()

    class Notes(Observer):
        def event(self, name: str, **fields: object) -> None:
            if name == "schedule.restored":
                restored.add(str(fields["schedule"]))

    async with ProcessContext(backend, registry=registry, observer=Notes([])) as context:
        scheduler = Scheduler("q", context, ours)
        scheduler.fresh = False  # as at its later looks: a start declares everything anew
        running = asyncio.create_task(scheduler.run())
        while (await backend.counts(["q"]))["q"].waiting < len(SPOILT):
            assert not running.done(), running
            await asyncio.sleep(0.02)
        running.cancel()
        await asyncio.wait([running])
    assert restored == set(SPOILT)
    kept = {decode_schedule(record.spec).name for record in await backend.schedules("q")}
    assert kept == set(SPOILT)


# What no decoder reads, each in a way of its own: not UTF-8, nested without end, of another shape.
UNREADABLE = [
    b'{"queues":{"\xff":{}},"host":"\xff","type":"\xff"}',
    b'{"queues":{"q":' + b"[" * 5_000,
    b'{"x":' + b"[" * 5_000,
    b"[]",
]


async def test_what_others_tell_of_themselves_may_be_anything(open_store):
    backend = await open_store()
    await backend.beat("sound", b'{"queues":{"served":{}}}', 60.0)
    for number, info in enumerate(UNREADABLE):
        await backend.beat(f"spoilt-{number}", info, 60.0)
    assert await served_queues(backend) == {"served"}
    assert [serving_of(info) for info in UNREADABLE] == [Serving()] * len(UNREADABLE)
    failures = [decode_failure(data) for data in UNREADABLE]
    assert {failure and failure.type for failure in failures} == {"Unreadable"}


NASTY = "\x1b]0;owned\x07\x1b[2J[red]\r\n\u202egnirts"
WORKERS = [
    b"\xff",
    b"[" * 5_000,
    b'{"queues":[1]}',
    b'{"queues":{"q":{"running":"all"}}}',
    b'{"host":"\\u001b[2J","pid":1,"queues":{}}',
]
LISTS = [
    ["job", "list", "--queue", "q"],
    ["job", "show", "good-1", "--queue", "q"],
    ["job", "show", "nasty", "--queue", "q"],
    ["queue", "list"],
    ["queue", "show", "q"],
    ["schedule", "list"],
    ["worker", "list"],
]


@pytest.fixture
def spoilt_store(tmp_path):
    """An SQLite store in which every kind of record is spoilt, beside sound ones."""
    url = f"sqlite://{tmp_path}/jobs.db"
    ids = [f"bad-{number}" for number in range(len(VALUES))]

    async def fill() -> None:
        backend = open_backend(url)
        await _with_good_ones(backend, ids)
        nasty = encode_spec(JobSpec(id="a", task=NASTY, args=[NASTY]))
        await backend.add("q", [NewJob(id="nasty", payload=nasty)])
        await backend.declare("q", SPOILT, fresh=True)
        for number, info in enumerate(WORKERS):
            await backend.beat(f"worker-{number}", info, 60.0)
        await backend.close()

    asyncio.run(fill())
    columns = ("payload", "error", "result", "progress")
    with sqlite3.connect(tmp_path / "jobs.db") as connection:
        for id, value in zip(ids, VALUES, strict=True):
            values = ", ".join(f"{column} = {value}" for column in columns)
            connection.execute(f"UPDATE jobs SET {values} WHERE id = ?", (id,))
    connection.close()
    return url


@pytest.mark.parametrize("json", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("command", LISTS, ids=" ".join)
def test_spoilt_records_hide_no_others_and_send_nothing_to_the_terminal(
    spoilt_store, command, json, capsys
):
    with pytest.raises(SystemExit) as ended:
        main(["--backend", spoilt_store, *command, *json])
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    assert all(char.isprintable() or char == "\n" for char in out), ascii(out)
    shown = {"job": "good-1", "queue": "q", "schedule": "never", "worker": "worker-3"}
    assert shown[command[0]] in out or command[2:3] == ["nasty"]


@pytest.mark.parametrize("verb", ["pause", "resume", "remove"])
def test_a_name_that_is_acted_on_does_not_reach_the_terminal_either(spoilt_store, verb, capsys):
    async def declare() -> None:
        backend = open_backend(spoilt_store)
        await backend.declare("q", {NASTY: b"x"}, fresh=True)
        await backend.close()

    asyncio.run(declare())
    with pytest.raises(SystemExit) as ended:
        main(["--backend", spoilt_store, "schedule", verb, "q", NASTY])
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    assert out.rstrip("\n").isprintable(), ascii(out)
