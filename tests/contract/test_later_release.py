"""Jobs of a later release: what this one does not know in them comes through unharmed."""

from __future__ import annotations

import msgspec
import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.codec import decode_spec
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.settle import cancel, replay, update_progress
from tests.contract.jobs import (
    QUEUE,
    apply,
    back_to_waiting,
    crashed,
    failed,
    parked,
    record,
    released,
    retried,
    succeeded,
    take,
)

PAYLOAD = msgspec.json.encode(
    {"id": "a", "task": "mod.f", "tenant": "\u00e9", "trace": {"id": 7}, "args": [1], "hops": [{}]}
)


async def check(backend: BaseBackend) -> None:
    """The job's payload is byte for byte what the later release wrote, wherever it is read."""
    found = await record(backend, "a")
    assert found.payload == PAYLOAD
    assert [each.payload for each in await backend.list(QUEUE, found.state)] == [PAYLOAD]


async def test_unknown_fields_outlive_every_move(backend: BaseBackend) -> None:
    await backend.add(QUEUE, [NewJob(id="a", payload=PAYLOAD)])
    await check(backend)
    for decide in (
        lambda claim: retried(claim, 0.0),
        lambda claim: retried(claim, 1_000.0),
        released,
        lambda claim: parked(claim, "mod.f"),
        lambda claim: crashed(claim, lapsed=False),
        lambda claim: succeeded(claim, b"1"),
        failed,
    ):
        [claim] = await take(backend)
        assert claim.payload == PAYLOAD
        await apply(backend, update_progress(claim, b"50"))
        await check(backend)
        assert await apply(backend, decide(claim)) == ["applied"]
        await check(backend)
        await back_to_waiting(backend)
        await check(backend)


async def test_an_ended_and_replayed_job_is_whole(backend: BaseBackend) -> None:
    await backend.add(QUEUE, [NewJob(id="a", payload=PAYLOAD)])
    assert await apply(backend, cancel(await record(backend, "a"))) == ["applied"]
    assert await apply(backend, replay(await record(backend, "a"))) == ["applied"]
    [claim] = await take(backend)
    assert claim.payload == PAYLOAD


def test_this_release_reads_what_it_knows() -> None:
    spec = decode_spec(PAYLOAD)
    assert (spec.id, spec.task, spec.args, spec.priority) == ("a", "mod.f", [1], 5)


@pytest.mark.parametrize("fresh", [True, False])
async def test_a_schedule_of_a_later_release_stays_as_it_is(
    backend: BaseBackend, fresh: bool
) -> None:
    spec = b'{"task":"mod.f","cron":"0 3 * * *","jitter":30}'
    await backend.declare(QUEUE, {"nightly": spec}, fresh)
    await backend.edit_schedule(QUEUE, "nightly", "pause")
    await backend.edit_schedule(QUEUE, "nightly", "resume")
    await backend.declare(QUEUE, {"other": b"{}"}, fresh)
    [found, _] = await backend.schedules(QUEUE)
    assert found.spec == spec
