"""Whoever can write to the store can enqueue nonsense: it ends as failed, and that is all."""

from __future__ import annotations

import asyncio
import ctypes
import random
import sqlite3
from collections.abc import Iterator

import psutil
import pytest
import redis
from hypothesis import example, given
from hypothesis import strategies as st

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.codec import (
    DEFAULT_PAYLOAD_LIMIT,
    MAX_DEPTH,
    CorruptPayload,
    PayloadTooLarge,
    decode_spec,
    encode_spec,
)
from asyncmqd.domain.job import JobSpec, NewJob, Record
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.settle import decode_failure
from asyncmqd.domain.states import State
from asyncmqd.domain.tasks import Registry, TaskDef, TaskOptions
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.worker import Worker
from tests.scale import scaled
from tests.security.conftest import corpus, count

MALFORMED = count(short=500, full=10_000)
GOOD_EVERY = 50
VALID = b'{"id":"a","task":"good","args":[1,"x",[null]],"kwargs":{"k":{"l":1.5}}}'
PIECES = [b"", b"\0", b"\xff", b'"', b"\\", b"[", b"]", b"{", b"}", b",", b":", b"NaN", b"1e999",
          b"9" * 5_000, b"[" * 5_000, b'"\\ud800"', b'"task":"os.system",', b"\n"]  # fmt: skip


def mutations(seed: int) -> Iterator[bytes]:
    """What a bug or a malicious hand makes of a good payload, without end, always the same."""
    rng = random.Random(seed)
    while True:
        data = VALID
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data) + 1)
            data = data[:at] + rng.choice(PIECES) + data[at + rng.choice([0, 1, 1, 8]) :]
        yield data if rng.random() < 0.9 else rng.randbytes(rng.randrange(1, 200))


def malformed(number: int) -> list[bytes]:
    """The corpus, then mutations that are no jobs."""
    found = [data for data in corpus("payloads").values() if data]
    for data in mutations(seed=number):
        if len(found) >= number:
            return found
        if data and not _is_job(data):
            found.append(data)
    raise AssertionError


def _is_job(data: bytes) -> bool:
    try:
        decode_spec(data)
    except CorruptPayload:
        return False
    return True


class Quiet(Observer):
    """Counts, and keeps nothing."""

    def event(self, name: str, **_: object) -> None:
        assert name not in {"queue.crashed", "store.lost"}


async def run_dry(backend: BaseBackend, registry: Registry) -> None:
    """Have a worker run all that waits in "q"; its own end, if it has one, is an error."""
    async with ProcessContext(backend, registry=registry, observer=Quiet([])) as context:
        worker = asyncio.create_task(Worker("q", context, QueueOptions(concurrency=20)).run())
        try:
            while (c := (await backend.counts(["q"]))["q"]).waiting > c.parked or c.active:
                assert not worker.done(), worker
                await asyncio.sleep(0.02)
        finally:
            worker.cancel()
            await asyncio.wait([worker])


async def records_of(backend: BaseBackend, ids: list[str]) -> list[Record]:
    found = [
        each
        for at in range(0, len(ids), 500)
        for each in await backend.get("q", ids[at : at + 500])
    ]
    return [record for record in found if record is not None]


@pytest.fixture
def registry() -> Registry:
    async def good(*_args: object, **_kwargs: object) -> str:
        return "good"

    registry = Registry()
    registry.add(TaskDef(good, "good", TaskOptions()))
    return registry


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("store_url", ["memory", "sqlite", "valkey9"], indirect=True)
async def test_f38_malformed_payloads_fail_with_their_bytes_kept(
    open_store, registry, seen, request
):
    """With the retention at its defaults, of which dead letters are kept for a week."""
    backend = await open_store()
    store = request.node.callspec.params["store_url"]
    bad = malformed(MALFORMED)
    jobs = [NewJob(id=f"bad-{number}", payload=data) for number, data in enumerate(bad)]
    goods = [f"good-{number}" for number in range(0, len(jobs), GOOD_EVERY)]
    payload = encode_spec(JobSpec(id="a", task="good"))
    for at, id in enumerate(goods):
        jobs.insert(at * (GOOD_EVERY + 1), NewJob(id=id, payload=payload))
    for at in range(0, len(jobs), 500):
        await backend.add("q", jobs[at : at + 500])
    began = asyncio.get_running_loop().time()
    await run_dry(backend, registry)
    took = asyncio.get_running_loop().time() - began

    dead = await records_of(backend, [f"bad-{number}" for number in range(len(bad))])
    assert [record.payload for record in dead] == bad
    assert {record.state for record in dead} == {State.FAILED}
    types = {getattr(decode_failure(record.error), "type", "") for record in dead}
    assert types <= {"CorruptPayload", "PayloadTooLarge"}
    done = await records_of(backend, goods)
    assert [(r.state, r.failures, r.crashes) for r in done] == [(State.COMPLETED, 0, 0)] * len(
        goods
    )
    seen(
        f"F38 malformed payloads, {store}: {len(bad)} failed with their bytes kept,"
        f" {len(goods)} good ones beside them completed, {took / len(jobs) * 1e3:.2f} ms each"
    )


@pytest.mark.parametrize("name", corpus("payloads"))
def test_every_payload_of_the_corpus_is_refused(name):
    with pytest.raises(CorruptPayload):
        decode_spec(corpus("payloads")[name])


@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda at, piece, cut: VALID[:at] + piece + VALID[at + cut :],
            st.integers(0, len(VALID)),
            st.sampled_from(PIECES) | st.binary(max_size=5),
            st.integers(0, 9),
        ),
    )
)
@example(data=b'{"id":"a","task":"t","args":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}")
def test_a_payload_is_a_job_that_may_be_enqueued_or_it_is_corrupt(data):
    try:
        spec = decode_spec(data)
    except CorruptPayload:
        return
    assert decode_spec(encode_spec(spec)) == spec


# ---------------------------------------------------------------------- F39: size


@pytest.mark.parametrize("size", [1, DEFAULT_PAYLOAD_LIMIT - 1, DEFAULT_PAYLOAD_LIMIT])
async def test_f39_a_payload_at_the_limit_runs(open_store, registry, size):
    backend = await open_store()
    empty = len(encode_spec(JobSpec(id="a", task="good", args=[""])))
    payload = encode_spec(JobSpec(id="a", task="good", args=["x" * max(0, size - empty)]))
    assert len(payload) == max(size, empty)
    await backend.add("q", [NewJob(id="a", payload=payload)])
    await run_dry(backend, registry)
    (record,) = await records_of(backend, ["a"])
    assert record.state is State.COMPLETED


def test_f39_a_payload_over_the_limit_is_refused_at_enqueue():
    empty = len(encode_spec(JobSpec(id="a", task="good", args=[""])))
    for over in (1, 100 * 1024 * 1024):
        spec = JobSpec(id="a", task="good", args=["x" * (DEFAULT_PAYLOAD_LIMIT - empty + over)])
        with pytest.raises(PayloadTooLarge, match=f"at most {DEFAULT_PAYLOAD_LIMIT} bytes, got"):
            encode_spec(spec)


def _resident() -> int:
    """Bytes, without what was freed: the allocator keeps that at its own discretion."""
    ctypes.CDLL(None).malloc_trim(0)
    return psutil.Process().memory_info().rss


# More than 32 MiB, which glibc never keeps in a thread's heap: what was freed of 20 may stay there.
HUGE = scaled(40, 100) * 1024 * 1024


@pytest.mark.parametrize("store_url", ["sqlite", "valkey9"], indirect=True)
async def test_f39_a_payload_far_over_the_limit_is_never_loaded(
    open_store, registry, request, seen
):
    """Whoever put it there went past `add`; in the store in memory it is loaded by being there."""
    backend = await open_store()
    store = request.node.callspec.params["store_url"]
    await backend.add("q", [NewJob(id="huge", payload=b"x"), NewJob(id="good", payload=VALID)])
    put_there(backend, "huge")
    first = backend.claim("q", 1, 0.0, "dead")
    before = _resident()
    claims = [*await first, *(await backend.expired("q")).claims, *await backend.held("q", "dead")]
    assert [len(claim.payload) for claim in claims] == [DEFAULT_PAYLOAD_LIMIT + 1] * 3
    await run_dry(backend, registry)
    grown = (_resident() - before) / 1024**2
    assert grown < 15  # SQLite has 8 MB of pages at hand
    counts = (await backend.counts(["q"]))["q"]
    assert (counts.failed, counts.completed) == (1, 1)
    seen(
        f"F39 payload of {HUGE >> 20} MB in {store}: failed,"
        f" resident memory +{grown:.1f} MB (limit 15)"
    )


def put_there(backend: BaseBackend, id: str) -> None:
    """Put that in the place of a job's payload, by the store's own means."""
    scheme, _, path = backend.url.partition("://")
    if scheme == "unix":
        with redis.Redis(unix_socket_path=path.rpartition("@")[2]) as client:
            key = f"asyncmq:{{q}}:job:{id}"
            assert client.setrange(key, HUGE, b"x")
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE jobs SET payload = zeroblob(?) WHERE id = ?", (HUGE, id))
        connection.close()
