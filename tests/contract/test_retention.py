"""What is kept of ended jobs: by time, by number and by bytes, and what goes first."""

from __future__ import annotations

from asyncmqd.backends.base import PAGE, BaseBackend
from asyncmqd.domain.settle import Retention, replay
from asyncmqd.domain.states import State
from tests.contract.audit import audit
from tests.contract.jobs import (
    KEPT,
    QUEUE,
    apply,
    failed,
    fill,
    finish,
    ids_in,
    job,
    later,
    names,
    record,
    state,
    succeeded,
    take,
    take_one,
)

NOTHING = Retention(result_ttl=0.0, keep_failed=0.0)


def keep(count: int = 1_000, size: int = 1 << 30) -> Retention:
    return Retention(keep_completed=count, keep_bytes=size)


async def end(backend: BaseBackend, id: str, *, ttl: float | None = None, size: int = 100) -> None:
    """End a job that counts `size` bytes, kept for `ttl` seconds; None keeps it by number."""
    result = b"" if ttl is None else b"1"
    await backend.add(QUEUE, [job(id, payload=b"x" * (size - len(result)))])
    [claim] = await take(backend)
    retention = KEPT if ttl is None else Retention(result_ttl=ttl)
    await apply(backend, succeeded(claim, result, retention))
    await later(backend)  # so that ends have an order


async def completed(backend: BaseBackend) -> list[str]:
    """The completed jobs, oldest first."""
    return (await ids_in(backend, State.COMPLETED))[::-1]


async def test_nothing_within_the_limits_is_deleted(backend: BaseBackend) -> None:
    await finish(backend, "none")
    await finish(backend, "result", b"1")
    await apply(backend, failed(await take_one(backend, "failed")))
    assert await backend.prune(QUEUE, KEPT) == 0
    assert await completed(backend) == ["none", "result"]


async def test_live_jobs_are_never_pruned(backend: BaseBackend) -> None:
    await fill(backend, "active", "waiting")
    await take(backend, 1)
    await backend.add(QUEUE, [job("delayed", delay=100)])
    assert await backend.prune(QUEUE, keep(0, 0)) == 0
    assert (await backend.counts([QUEUE]))[QUEUE].waiting == 1


async def test_results_go_when_their_time_is_up(backend: BaseBackend) -> None:
    await end(backend, "short", ttl=0.0)
    await end(backend, "long", ttl=1_000.0)
    assert await backend.prune(QUEUE, KEPT) == 1
    assert await completed(backend) == ["long"]
    assert await state(backend, "short") is None


async def test_dead_letters_go_when_their_time_is_up(backend: BaseBackend) -> None:
    await apply(backend, failed(await take_one(backend, "short"), retention=NOTHING))
    await apply(backend, failed(await take_one(backend, "long"), retention=KEPT))
    assert await backend.prune(QUEUE, KEPT) == 1
    assert await ids_in(backend, State.FAILED) == ["long"]


async def test_the_newest_completed_jobs_are_kept(backend: BaseBackend) -> None:
    for id in names(5):
        await end(backend, id)
    assert await backend.prune(QUEUE, keep(count=2)) == 3
    assert await completed(backend) == names(5)[3:]


async def test_the_count_does_not_limit_what_is_kept_by_time(backend: BaseBackend) -> None:
    await end(backend, "result", ttl=1_000.0)
    await apply(backend, failed(await take_one(backend, "failed")))
    await end(backend, "none")
    assert await backend.prune(QUEUE, keep(count=0)) == 1
    assert await completed(backend) == ["result"]
    assert await state(backend, "failed") is State.FAILED


async def test_bytes_limit_all_and_counted_jobs_go_first(backend: BaseBackend) -> None:
    await end(backend, "a", ttl=2_000.0)
    await end(backend, "b", ttl=1_000.0)
    await end(backend, "c")
    await end(backend, "d")
    assert await backend.prune(QUEUE, keep(size=300)) == 1
    assert await completed(backend) == ["a", "b", "d"]
    assert await backend.prune(QUEUE, keep(size=299)) == 1
    assert await completed(backend) == ["a", "b"]


async def test_then_those_with_the_least_time_left_go(backend: BaseBackend) -> None:
    await end(backend, "a", ttl=2_000.0)
    await end(backend, "b", ttl=1_000.0)
    await end(backend, "c", ttl=3_000.0)
    assert await backend.prune(QUEUE, keep(size=200)) == 1
    assert await completed(backend) == ["a", "c"]
    assert await backend.prune(QUEUE, keep(size=100)) == 1
    assert await completed(backend) == ["c"]
    assert await backend.prune(QUEUE, keep(size=99)) == 1
    assert await completed(backend) == []


async def test_bytes_are_payload_result_error_and_attempts(backend: BaseBackend) -> None:
    await backend.add(QUEUE, [job("a", payload=b"x" * 1_000)])
    [claim] = await take(backend)
    await apply(backend, failed(claim, "y" * 2_000))
    size = 1_000 + len((await record(backend, "a")).error) + len(await backend.attempts(QUEUE, "a"))
    assert await backend.prune(QUEUE, keep(size=size)) == 0
    assert await backend.prune(QUEUE, keep(size=size - 1)) == 1
    await audit(backend, QUEUE)  # no bytes are left of it


async def test_the_bytes_of_removed_and_replayed_jobs_do_not_count(backend: BaseBackend) -> None:
    for id in ("removed", "replayed", "kept", "purged"):
        await end(backend, id, ttl=1_000.0)
    await backend.remove(QUEUE, ["removed"])
    await apply(backend, replay(await record(backend, "replayed")))
    assert await backend.prune(QUEUE, keep(size=200)) == 0
    assert await completed(backend) == ["kept", "purged"]
    [claim] = await take(backend)
    await apply(backend, succeeded(claim, b"1"))
    assert await backend.prune(QUEUE, keep(size=300)) == 0
    assert await backend.purge(QUEUE, State.COMPLETED) == 3
    await end(backend, "new", ttl=1_000.0)
    assert await backend.prune(QUEUE, keep(size=100)) == 0
    assert await backend.prune(QUEUE, keep(size=99)) == 1


async def test_the_bytes_of_a_result_go_with_it(backend: BaseBackend) -> None:
    await backend.add(QUEUE, [job("a", payload=b"x" * 100)])
    [claim] = await take(backend)
    await apply(backend, succeeded(claim, b"y" * 1_000))
    await apply(backend, replay(await record(backend, "a")))
    [claim] = await take(backend)
    await apply(backend, succeeded(claim))
    assert await backend.prune(QUEUE, keep(size=100)) == 0
    assert await backend.prune(QUEUE, keep(size=99)) == 1


async def test_jobs_that_ended_in_one_call_go_in_its_order(backend: BaseBackend) -> None:
    many = names(12)  # more than nine, so that the order of the ids is another one
    await fill(backend, *many)
    await apply(backend, *map(succeeded, await take(backend)))
    assert await completed(backend) == many
    assert await backend.prune(QUEUE, keep(count=5)) == 7
    assert await completed(backend) == many[7:]


async def test_a_replayed_job_is_not_deleted_by_its_former_end(backend: BaseBackend) -> None:
    await end(backend, "by time", ttl=0.0)
    await end(backend, "by count")
    for id in ("by time", "by count"):
        await apply(backend, replay(await record(backend, id)))
    assert await backend.prune(QUEUE, keep(count=0, size=0)) == 0
    assert len(await take(backend)) == 2


async def test_jobs_that_ended_twice_count_once(backend: BaseBackend) -> None:
    await end(backend, "a")
    await end(backend, "b")
    await apply(backend, replay(await record(backend, "a")))
    [again] = await take(backend)
    await apply(backend, succeeded(again))
    assert await backend.prune(QUEUE, keep(count=2, size=200)) == 0
    assert await backend.prune(QUEUE, keep(count=1)) == 1
    assert await completed(backend) == ["a"]


async def test_pruning_is_paged(backend: BaseBackend) -> None:
    await fill(backend, *names(5))
    await apply(backend, *map(succeeded, await take(backend)))
    assert [await backend.prune(QUEUE, keep(count=1), 3) for _ in range(3)] == [3, 1, 0]


async def test_one_call_prunes_at_most_a_page(backend: BaseBackend) -> None:
    await fill(backend, *names(PAGE + 3))
    await apply(backend, *map(succeeded, await take(backend, PAGE + 3)))
    assert [await backend.prune(QUEUE, keep(count=0)) for _ in range(3)] == [PAGE, 3, 0]
    assert await backend.queues() == []


async def test_queues_are_pruned_apart(backend: BaseBackend) -> None:
    await end(backend, "a")
    await fill(backend, "a", queue="reports")
    [claim] = await backend.claim("reports", 1, 60, "w")
    await backend.apply("reports", [succeeded(claim)])
    assert await backend.prune("reports", keep(count=0)) == 1
    assert await completed(backend) == ["a"]
