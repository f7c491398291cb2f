"""Large payloads, which a store may keep apart: whole wherever they are read, gone with the job.

`audit` looks behind the contract: no payload without its job, and no job without its payload.
"""

from __future__ import annotations

import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.selection import Sought
from asyncmqd.domain.settle import Retention, cancel, replay, update_progress
from asyncmqd.domain.states import State
from tests.added import are_new
from tests.contract.audit import audit
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LONG,
    QUEUE,
    WORKER,
    apply,
    back_to_waiting,
    crashed,
    failed,
    ids,
    job,
    names,
    parked,
    record,
    released,
    retried,
    succeeded,
    take,
)

SIZES = (0, 1, 999, 1_000, 1_001, 4_000, 4_096, 70_000, 200_000)  # bytes
LARGE = 200_000
NOTHING = Retention(keep_completed=0)


def content(id: str, size: int = LARGE) -> bytes:
    """So many bytes that no other job has."""
    return (id.encode() * (size // len(id) + 1))[:size]


def large(id: str, *, delay: float = 0.0) -> NewJob:
    return job(id, payload=content(id), delay=delay)


async def fill(backend: BaseBackend, *ids: str) -> None:
    assert are_new(await backend.add(QUEUE, [large(id) for id in ids])) == [True] * len(ids)


async def check(backend: BaseBackend, id: str) -> None:
    """The job's payload is whole, whichever way it is looked at."""
    found = await record(backend, id)
    assert found.payload == content(id)
    listed = {each.id: each.payload for each in await backend.list(QUEUE, found.state)}
    assert listed[id] == content(id)
    await audit(backend, QUEUE)


async def end(backend: BaseBackend, *ids: str) -> None:
    """Add large jobs and complete them."""
    await fill(backend, *ids)
    claims = await take(backend)
    assert await apply(backend, *map(succeeded, claims)) == ["applied"] * len(ids)


async def is_empty(backend: BaseBackend) -> None:
    """Nothing is left, behind the contract either."""
    assert await backend.queues() == []
    await audit(backend, QUEUE)


async def test_payloads_of_every_size_come_back_whole(
    backend: BaseBackend, open_store: Opener
) -> None:
    wanted = {f"j{size}": content("xyz", size) for size in SIZES}
    added = await backend.add(QUEUE, [job(id, payload=each) for id, each in wanted.items()])
    assert are_new(added) == [True] * len(SIZES)
    other = await open_store()
    assert {each.id: each.payload for each in await other.list(QUEUE, State.WAITING)} == wanted
    found = await other.get(QUEUE, list(wanted))
    assert [each and each.payload for each in found] == list(wanted.values())
    claims = await take(other)
    assert {each.id: each.payload for each in claims} == wanted
    assert ids(claims) == list(wanted)
    held = await backend.held(QUEUE, WORKER)
    assert {each.id: each.payload for each in held} == wanted


async def test_a_known_id_does_not_replace_the_payload(backend: BaseBackend) -> None:
    await fill(backend, "a")
    again = [job("a", payload=b"{}"), job("a", payload=b"x" * LARGE)]
    assert are_new(await backend.add(QUEUE, again)) == [False, False]
    twice = [large("b"), job("b", payload=b"x" * LARGE)]
    assert are_new(await backend.add(QUEUE, twice)) == [True, False]
    await check(backend, "a")
    await check(backend, "b")


async def test_queues_have_their_own_payloads_under_one_id(backend: BaseBackend) -> None:
    await fill(backend, "a")
    await backend.add("reports", [job("a", payload=b"y" * LARGE)])
    await check(backend, "a")
    assert await backend.remove("reports", ["a"]) == [True]
    await check(backend, "a")


async def test_no_move_changes_a_large_payload(backend: BaseBackend) -> None:
    await fill(backend, "a")
    await check(backend, "a")
    for decide in (
        lambda claim: retried(claim, 0.0),
        lambda claim: retried(claim, LONG),
        released,
        lambda claim: parked(claim, "mod.f"),
        lambda claim: crashed(claim, lapsed=False),
        lambda claim: succeeded(claim, b"1"),
        failed,
    ):
        [claim] = await take(backend)
        assert claim.payload == content("a")
        await apply(backend, update_progress(claim, b"50"))
        await check(backend, "a")
        assert await apply(backend, decide(claim)) == ["applied"]
        await check(backend, "a")
        await back_to_waiting(backend)
        await check(backend, "a")


async def test_a_lapsed_claim_has_its_large_payload(backend: BaseBackend) -> None:
    await fill(backend, "a")
    [claim] = await take(backend, lease=0.0)
    [lapsed] = (await backend.expired(QUEUE)).claims
    assert lapsed.payload == content("a")
    assert await apply(backend, crashed(claim)) == ["applied"]
    await check(backend, "a")


async def test_a_schedule_may_add_a_large_job(backend: BaseBackend) -> None:
    await backend.declare(QUEUE, {"nightly": b"{}"}, True)
    assert await backend.fire(QUEUE, "nightly", await backend.now() + 60, large("a"))
    await check(backend, "a")
    assert await backend.remove(QUEUE, ["a"]) == [True]
    await audit(backend, QUEUE)


@pytest.mark.parametrize("state", [State.WAITING, State.DELAYED, State.ACTIVE, State.COMPLETED])
async def test_a_removed_job_takes_its_large_payload_along(
    backend: BaseBackend, state: State
) -> None:
    await backend.add(QUEUE, [large("a", delay=LONG if state is State.DELAYED else 0.0)])
    if state in {State.ACTIVE, State.COMPLETED}:
        [claim] = await take(backend)
        if state is State.COMPLETED:
            await apply(backend, succeeded(claim))
    assert (await record(backend, "a")).state is state
    assert await backend.remove(QUEUE, ["a"]) == [True]
    await is_empty(backend)
    # The same name again, and nothing of the one before.
    await backend.add(QUEUE, [job("a", payload=b"{}")])
    [claim] = await take(backend)
    assert claim.payload == b"{}"
    await audit(backend, QUEUE)


async def test_a_purged_state_takes_its_large_payloads_along(backend: BaseBackend) -> None:
    await end(backend, *names(2, "ended"))
    await fill(backend, *names(3))
    assert await backend.purge(QUEUE, State.WAITING, 2) == 2
    await check(backend, "job2")
    assert await backend.purge(QUEUE, State.WAITING) == 1
    await check(backend, "ended0")
    assert await backend.purge(QUEUE, State.COMPLETED) == 2
    await is_empty(backend)


async def test_a_cancelled_job_keeps_its_large_payload_until_it_is_pruned(
    backend: BaseBackend,
) -> None:
    await fill(backend, "a", "b")
    assert await apply(backend, cancel(await record(backend, "a"))) == ["applied"]
    await check(backend, "a")
    assert await backend.prune(QUEUE, Retention(keep_bytes=LARGE - 1)) == 1
    await check(backend, "b")
    assert await backend.remove(QUEUE, ["b"]) == [True]
    await is_empty(backend)


async def test_large_jobs_over_the_count_are_pruned_with_their_payloads(
    backend: BaseBackend,
) -> None:
    await end(backend, *names(3))
    assert await backend.prune(QUEUE, Retention(keep_completed=1)) == 2
    await check(backend, "job2")
    assert await backend.prune(QUEUE, NOTHING) == 1
    await is_empty(backend)


async def test_large_jobs_over_their_time_are_pruned_with_their_payloads(
    backend: BaseBackend,
) -> None:
    await fill(backend, "a")
    [claim] = await take(backend)
    at_once = Retention(result_ttl=0.0)
    assert await apply(backend, succeeded(claim, b"1", at_once)) == ["applied"]
    assert await backend.prune(QUEUE, at_once) == 1
    await is_empty(backend)


async def test_large_payloads_count_among_the_bytes_that_are_kept(backend: BaseBackend) -> None:
    await end(backend, *names(3))
    assert await backend.prune(QUEUE, Retention(keep_bytes=3 * LARGE)) == 0
    assert await backend.prune(QUEUE, Retention(keep_bytes=3 * LARGE - 1)) == 1
    await check(backend, "job1")
    assert await apply(backend, replay(await record(backend, "job1"))) == ["applied"]
    assert await backend.prune(QUEUE, Retention(keep_bytes=LARGE)) == 0
    assert await backend.prune(QUEUE, Retention(keep_bytes=LARGE - 1)) == 1
    await check(backend, "job1")


async def test_readers_leave_a_payload_over_the_limit_where_it_is(
    backend: BaseBackend, open_store: Opener
) -> None:
    """Whoever put it there had another limit, or none."""
    await backend.add(QUEUE, [job("good", payload=b"x" * 2_000), job("huge", payload=b"x" * 2_001)])
    reader = await open_store()
    reader.payload_limit = 2_000
    found = [await reader.get(QUEUE, ["good", "huge"])]
    found += [await reader.list(QUEUE, State.WAITING)]
    found += [(await reader.search(QUEUE, State.WAITING, Sought())).records]
    assert [[len(each.payload) for each in page if each] for page in found] == [[2_000, 0]] * 3
    bare = await reader.list(QUEUE, State.WAITING, payloads=False)
    assert [(each.id, each.payload, each.priority) for each in bare] == [
        ("good", b"", 5),
        ("huge", b"", 5),
    ]
    assert all(each.created > 0 for each in bare)
