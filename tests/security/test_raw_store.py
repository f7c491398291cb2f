"""What a hand in the store's own keys and tables can do: spoil its records, and stop nothing."""

from __future__ import annotations

import sqlite3

import pytest

from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.job import JobSpec, NewJob
from asyncmqd.domain.states import State
from tests.security.test_payloads import records_of, registry, run_dry

__all__ = ["registry"]

GARBAGE = [b"", b"x", b"\xff" * 40, b"9" * 400, b"-" * 18, b"0" * 16 + b"abc{}", b" " * 19 + b"[]"]
GOOD = [f"good-{number}" for number in range(20)]


async def _with_good_ones(backend, ids: list[str]) -> None:
    payload = encode_spec(JobSpec(id="a", task="good"))
    await backend.add("q", [NewJob(id=id, payload=payload) for id in [*ids, *GOOD]])


@pytest.fixture(params=["redis6", "valkey9"])
def redis(request, server):
    """A server and its address, empty."""
    running = server(request.param)
    running.flush()
    return running


async def test_jobs_overwritten_in_redis(redis, registry):
    from asyncmqd.backends.factory import open_backend

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


VALUES = ["'text'", "''", "5", "-1.5", "x''", "x'ff'", '\'{"id":"a","task":"good"}\'']


async def test_jobs_overwritten_in_sqlite(tmp_path, registry):
    from asyncmqd.backends.factory import open_backend

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
