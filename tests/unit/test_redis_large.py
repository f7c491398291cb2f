"""Large payloads in Redis: past the scripts on their way in and out, and nothing left behind."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from asyncmqd.backends.base import StoreError
from asyncmqd.backends.redis import RedisBackend, large_payloads
from asyncmqd.backends.redis.large_payloads import PIECE
from asyncmqd.client.pending import CallOptions, add_all, pending
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.retry import Retry
from asyncmqd.domain.settle import Policy, Succeeded, settle
from asyncmqd.domain.tasks import Registry, TaskDef, TaskOptions
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.worker import Worker
from tests.added import are_new
from tests.eventually import eventually
from tests.scale import scaled
from tests.servers import KINDS, USUAL, RedisServer

QUEUE = "mail"
LEASE = 60.0
PREFIX = "asyncmq:{mail}:"


def job(id: str, size: int, **options: float) -> NewJob:
    return NewJob(id=id, payload=id[:1].encode() * size, **options)


@pytest.fixture(params=scaled(("redis6", USUAL), KINDS))
def server(request, tmp_path) -> Iterator[RedisServer]:
    with RedisServer(request.param, tmp_path) as running:
        yield running


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisBackend]:
    store = RedisBackend(server.url)
    yield store
    await store.close()


def parts(server: RedisServer) -> list[bytes]:
    with server.client() as client:
        return list(client.keys(f"{PREFIX}part:*"))


SIZES = (PIECE - 20, PIECE - 19, PIECE - 18, PIECE, PIECE + 1, 10 * PIECE, 2, 10 * PIECE)


async def test_each_size_comes_back_whole_whatever_was_claimed_before(server, store):
    jobs = [job(f"{letter}1", size) for letter, size in zip("abcdefgh", SIZES, strict=True)]
    assert are_new(await store.add(QUEUE, [*jobs, job("late", 2 * PIECE, delay=100)])) == [True] * 9
    assert parts(server) == []
    with server.client() as client:
        assert client.ttl(f"{PREFIX}job:h1") == -1
    for expected in jobs:
        [claim] = await store.claim(QUEUE, 1, LEASE, "w")
        assert (claim.id, claim.payload) == (expected.id, expected.payload)
    [late] = await store.get(QUEUE, ["late"])
    assert late is not None
    assert late.payload == b"l" * 2 * PIECE


async def test_a_claim_is_completed_by_what_was_asked_when_it_was_sent():
    """Two overlap: the other one, which comes back first, says that the queue has no large jobs."""

    async def fetch(*commands):
        return [b"x" * 2 * PIECE for _ in commands]

    pieces = large_payloads.Pieces(fetch)
    await pieces.complete(QUEUE, PREFIX, ["a"], [b"x" * 2 * PIECE], "", 9 * PIECE)
    asked = pieces.of(QUEUE)
    await pieces.complete(QUEUE, PREFIX, ["b"], [b"small"], pieces.of(QUEUE), 9 * PIECE)
    strings = [b"x" * PIECE]
    await pieces.complete(QUEUE, PREFIX, ["c"], strings, asked, 9 * PIECE)
    assert strings == [b"x" * 2 * PIECE]


async def test_a_queue_of_which_nothing_is_known_brings_beginnings(store, monkeypatch):
    """The first claim of a queue may share its reply with those of many others."""
    complete, sizes = store._pieces.complete, []

    async def measured(queue, base, ids, strings, piece, most):
        sizes.append(max(map(len, strings)))
        return await complete(queue, base, ids, strings, piece, most)

    monkeypatch.setattr(store._pieces, "complete", measured)
    await store.add(QUEUE, [job(f"{number}", 2 * PIECE) for number in range(2)])
    await store.add("other", [job("o", 5), job("p", 2 * PIECE)])
    claims = [await store.claim(queue, 1, LEASE, "w") for queue in (QUEUE, QUEUE, "other", "other")]
    assert [len(claim.payload) for [claim] in claims] == [2 * PIECE, 2 * PIECE, 5, 2 * PIECE]
    assert [size <= PIECE for size in sizes] == [True, True, True, False]


class Work:
    """A task that takes a payload, and fails once for every third job."""

    def __init__(self) -> None:
        self.runs: Counter[int] = Counter()

    async def __call__(self, text: str, number: int) -> None:
        self.runs[number] += 1
        if number % 3 == 0 and self.runs[number] == 1:
            raise Retry(after=0)


async def worked_off(store: RedisBackend, sizes: Sequence[int], concurrency: int) -> Work:
    """Run jobs of these sizes until none is left."""
    work, registry = Work(), Registry()
    registry.add(TaskDef(work.__call__, "work", TaskOptions(retries=3)))
    jobs = [
        pending("work", ["x" * size, number], {}, CallOptions())
        for number, size in enumerate(sizes)
    ]
    await add_all(store, QUEUE, jobs)
    async with ProcessContext(store, registry=registry) as context:
        running = asyncio.create_task(
            Worker(QUEUE, context, QueueOptions(concurrency=concurrency)).run()
        )

        async def done() -> bool:
            return (await store.counts([QUEUE]))[QUEUE].completed == len(sizes)

        await eventually(done)
        running.cancel()
        await asyncio.wait([running])
    return work


async def test_claims_that_overlap_on_a_queue_of_all_sizes(store):
    draw = random.Random(7)
    sizes = [2 * PIECE if draw.random() < 0.1 else 10 for _ in range(1_000)]
    work = await worked_off(store, sizes, concurrency=16)
    assert set(work.runs) == set(range(1_000))


async def test_a_claim_whose_second_part_fails_is_one_whose_reply_was_lost(store, monkeypatch):
    complete, claims = store._pieces.complete, itertools.count()

    async def fails_twice(queue, base, ids, strings, piece, most):
        if next(claims) in {2, 4}:
            raise StoreError("the connection is lost")
        return await complete(queue, base, ids, strings, piece, most)

    monkeypatch.setattr(store._pieces, "complete", fails_twice)
    work = await worked_off(store, [2 * PIECE] * 40, concurrency=4)
    assert {count for number, count in work.runs.items() if number % 3} == {1}
    assert {count for number, count in work.runs.items() if not number % 3} == {2}


async def test_many_at_once_and_small_ones_between(store):
    jobs = [job(f"j{number:03}", 2 * PIECE if number % 3 else 5) for number in range(60)]
    await store.add(QUEUE, jobs)
    taken = [claim for _ in range(6) for claim in await store.claim(QUEUE, 10, LEASE, "w")]
    assert [(claim.id, claim.payload) for claim in taken] == [(j.id, j.payload) for j in jobs]
    done = [settle(claim, Succeeded(), Policy(), 0) for claim in taken]
    assert await store.apply(QUEUE, done) == ["applied"] * 60
    usage = sum(len(each.payload) for each in jobs)
    [size] = await store._run(("GET", f"{PREFIX}bytes"))
    assert int(size) == usage, "the size of a job is that of all of its payload"


async def test_many_large_ones_come_in_replies_that_a_server_with_a_limit_sends(server, store):
    """Also to who asks what it holds, and to who takes over what has lapsed."""
    with server.client() as client:
        client.config_set("client-output-buffer-limit", "normal 8mb 0 0")
    size = 200_000
    await store.add(QUEUE, [job(f"{letter}{n}", size) for letter in "abcdef" for n in range(10)])
    other = RedisBackend(server.url)
    for claims in (
        await store.claim(QUEUE, 60, 0.001, "w"),
        await store.held(QUEUE, "w"),
        await other.held(QUEUE, "w"),
        (await other.expired(QUEUE)).claims,
    ):
        assert {claim.id for claim in claims} == {f"{x}{n}" for x in "abcdef" for n in range(10)}
        assert all(claim.payload == claim.id[:1].encode() * size for claim in claims)
    await other.close()


async def test_of_two_of_one_id_the_first_stays(server, store):
    first, second = job("a", 2 * PIECE), NewJob(id="a", payload=b"x" * 3 * PIECE)
    assert are_new(await store.add(QUEUE, [first, second])) == [True, False]
    assert are_new(await store.add(QUEUE, [second, job("b", 5)])) == [False, True]
    [kept] = await store.get(QUEUE, ["a"])
    assert kept is not None
    assert kept.payload == first.payload
    assert parts(server) == []


async def test_a_server_that_forgot_its_scripts_keeps_what_was_sent_ahead(server, store):
    await store.add(QUEUE, [job("a", 5)])
    with server.client() as client:
        client.script_flush()
    assert are_new(await store.add(QUEUE, [job("b", 2 * PIECE)])) == [True]
    assert parts(server) == []


async def test_without_its_payload_no_job_is_added(server, store, monkeypatch):
    """A server that is told to evict may take it."""
    monkeypatch.setattr(
        large_payloads, "_set", lambda key, _job: ("SET", f"{key}:elsewhere", b"", "PX", 1)
    )
    with pytest.raises(StoreError, match="sent ahead is gone"):
        await store.add(QUEUE, [job("a", 5), job("b", 2 * PIECE)])
    assert await store.get(QUEUE, ["a", "b"]) == [None, None]
    assert (await store.counts([QUEUE]))[QUEUE].waiting == 0


async def test_what_was_sent_ahead_does_not_stay(server, store, monkeypatch):
    """The connection may break between the two, and nobody asks again."""
    monkeypatch.setattr(large_payloads, "_KEPT", 1)
    _, commands = large_payloads.sent_ahead(PREFIX, [job("a", 2 * PIECE)])
    await store._run(*commands)

    async def gone() -> bool:
        return parts(server) == []

    await eventually(gone)
