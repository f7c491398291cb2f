"""Filing jobs, and the order in which they come out."""

from __future__ import annotations

import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.options import LOWEST_PRIORITY
from asyncmqd.domain.states import State
from tests.added import are_new
from tests.contract.jobs import (
    LONG,
    QUEUE,
    apply,
    fill,
    finish,
    ids,
    ids_in,
    job,
    names,
    record,
    succeeded,
    take,
)

ODD_IDS = [
    "a:b",
    "{a}",
    "{mail}:job",
    "*",
    "?[a-z]",
    "%s%d",
    "'\"`;--",
    "\\n\\0",
    "waiting",
    "#expiry",
    "0",
    "-1",
    "1e9",
    "..",
    "/etc/passwd",
    "~" * 128,
]
ODD_PAYLOADS = [
    b"",
    b"\x00",
    b"\xff\xfe\x00\r\n$-1\r\n",
    bytes(range(256)),
    "näïve ☃".encode(),
    b"'; DROP TABLE job; --",
    b"x" * 300_000,
]


async def test_jobs_come_out_in_the_order_in_which_they_were_added(backend: BaseBackend) -> None:
    await fill(backend, "c", "a", "b")
    await fill(backend, "0")
    assert ids(await take(backend)) == ["c", "a", "b", "0"]


async def test_lower_priority_numbers_come_first_and_fifo_holds_inside(
    backend: BaseBackend,
) -> None:
    order = [("late", LOWEST_PRIORITY), ("b", 5), ("first", 0), ("a", 5), ("second", 0)]
    await backend.add(QUEUE, [job(id, priority=priority) for id, priority in order])
    assert ids(await take(backend)) == ["first", "second", "b", "a", "late"]


async def test_an_id_is_added_once(backend: BaseBackend) -> None:
    first = job("a", priority=1, payload=b"first")
    second = job("a", priority=2, payload=b"second", delay=LONG)
    assert are_new(await backend.add(QUEUE, [first, second, job("b")])) == [True, False, True]
    assert are_new(await backend.add(QUEUE, [second])) == [False]
    kept = await record(backend, "a")
    assert (kept.state, kept.priority, kept.payload) == (State.WAITING, 1, b"first")


async def test_an_id_stays_taken_while_the_job_runs_and_after_it_ended(
    backend: BaseBackend,
) -> None:
    await fill(backend, "a")
    claims = await take(backend)
    assert are_new(await backend.add(QUEUE, [job("a")])) == [False]
    await apply(backend, succeeded(claims[0]))
    assert are_new(await backend.add(QUEUE, [job("a")])) == [False]
    assert await take(backend) == []


async def test_a_removed_id_may_be_added_again_as_a_new_job(backend: BaseBackend) -> None:
    await finish(backend, "a", result=b"1")
    await backend.remove(QUEUE, ["a"])
    await fill(backend, "a")
    again = await record(backend, "a")
    assert (again.state, again.token, again.result, again.failures) == (State.WAITING, 0, b"", 0)


async def test_a_new_job_has_no_history(backend: BaseBackend) -> None:
    before = await backend.now()
    await backend.add(QUEUE, [job("a", priority=7, payload=b"[1]")])
    new = await record(backend, "a")
    assert (new.queue, new.id, new.place, new.payload) == (QUEUE, "a", "waiting", b"[1]")
    assert (new.priority, new.token, new.failures, new.crashes) == (7, 0, 0, 0)
    assert (new.solo, new.worker, new.error, new.result, new.progress) == (False, "", b"", b"", b"")
    assert (new.due, new.started, new.finished) == (None, None, None)
    assert before - 0.01 <= new.created <= await backend.now() + 0.01


async def test_queues_do_not_share_jobs(backend: BaseBackend) -> None:
    await fill(backend, "a")
    await fill(backend, "a", "b", queue="reports")
    assert ids(await backend.claim("reports", 10, 60, "w")) == ["a", "b"]
    assert await ids_in(backend, State.WAITING) == ["a"]


@pytest.mark.parametrize("id", ODD_IDS)
async def test_ids_of_any_printable_characters(backend: BaseBackend, id: str) -> None:
    await fill(backend, "before", id, "after")
    claims = await take(backend)
    assert ids(claims) == ["before", id, "after"]
    assert await apply(backend, succeeded(claims[1], b"1")) == ["applied"]
    assert (await record(backend, id)).state is State.COMPLETED
    assert await backend.remove(QUEUE, [id]) == [True]


@pytest.mark.parametrize("payload", ODD_PAYLOADS, ids=lambda payload: f"{payload[:8]!r}")
async def test_payloads_are_kept_byte_by_byte(backend: BaseBackend, payload: bytes) -> None:
    backend.payload_limit = len(payload)
    await backend.add(QUEUE, [job("a", payload=payload)])
    assert (await record(backend, "a")).payload == payload
    [claim] = await take(backend)
    assert claim.payload == payload
    await apply(backend, succeeded(claim, b"\x00\xff" + payload))
    ended = await record(backend, "a")
    assert (ended.payload, ended.result) == (payload, b"\x00\xff" + payload)


async def test_of_a_payload_over_the_limit_a_claim_brings_what_shows_it_and_a_reader_nothing(
    backend: BaseBackend,
) -> None:
    backend.payload_limit = 1_000
    for id, size in (("at", 1_000), ("over", 1_001), ("far", 1_000_000)):
        await backend.add(QUEUE, [job(id, payload=b"x" * size)])
    claims = await backend.claim(QUEUE, 3, 0.0, "w")
    assert [len(claim.payload) for claim in claims] == [1_000, 1_001, 1_001]
    assert [claim.size for claim in claims] == [1_000, 1_001, 1_000_000]
    for others in ((await backend.expired(QUEUE)).claims, await backend.held(QUEUE, "w")):
        assert [len(claim.payload) for claim in others] == [1_000, 1_001, 1_001]
    read = await backend.list(QUEUE, State.ACTIVE)
    assert [len(record.payload) for record in read] == [1_000, 0, 0]


async def test_nothing_to_add_is_no_error(backend: BaseBackend) -> None:
    assert are_new(await backend.add(QUEUE, [])) == []
    assert await take(backend) == []


async def test_thousands_at_once_keep_their_order(backend: BaseBackend) -> None:
    many = names(2_000)
    await fill(backend, *many)
    claims = await take(backend, 2_000)
    assert ids(claims) == many
    assert await apply(backend, *map(succeeded, claims)) == ["applied"] * 2_000
    assert (await backend.counts([QUEUE]))[QUEUE].completed == 2_000
