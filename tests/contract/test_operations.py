"""What operators do to many jobs: one carrier at a time, and what moves is counted as it does."""

from __future__ import annotations

import pytest

from asyncmqd.backends.base import BaseBackend, OperationRecord
from asyncmqd.domain.settle import cancel, replay
from asyncmqd.domain.states import State
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LEASE,
    QUEUE,
    apply,
    failed,
    fill,
    ids_in,
    job,
    later,
    names,
    parked,
    record,
    state,
    take,
    take_one,
)

ORDER, ID = b'{"verb":"retry"}', "op"


async def begun(backend: BaseBackend, id: str = ID, carrier: str = "ann") -> OperationRecord:
    return await backend.begin_operation(QUEUE, id, ORDER, carrier, LEASE)


async def only(backend: BaseBackend) -> OperationRecord:
    [found] = await backend.operations([QUEUE])
    return found


async def step(backend: BaseBackend, token: int = 1, **what: object) -> object:
    return await backend.advance(QUEUE, ID, token, LEASE, **what)  # type: ignore[arg-type]


async def test_one_is_kept_as_it_was_begun(backend: BaseBackend, open_store: Opener) -> None:
    before = await backend.now()
    made = await begun(backend)
    assert await only(await open_store()) == made
    assert (made.id, made.queue, made.order, made.progress, made.moved) == (
        ID,
        QUEUE,
        ORDER,
        b"",
        0,
    )
    assert (made.token, made.carrier, made.ended, made.outcome) == (1, "ann", None, "")
    assert before <= made.begun <= await backend.now()
    assert made.until == pytest.approx(made.begun + LEASE, abs=0.01)
    await later(backend)
    again = await backend.begin_operation(QUEUE, ID, b"other", "bob", LEASE)
    assert again == made == await only(backend)


async def test_operations_are_listed_the_newest_first(backend: BaseBackend) -> None:
    for id in ("a", "b", "c"):
        await begun(backend, id)
        await later(backend)
    await backend.begin_operation("reports", "d", ORDER)
    found = await backend.operations(["reports", QUEUE, "nothing"])
    assert [each.id for each in found] == ["d", "c", "b", "a"]
    assert {each.id for each in await backend.operations(None)} == {"a", "b", "c", "d"}
    assert await backend.operations([]) == []
    assert await backend.queues() == []


async def test_a_heartbeat_names_the_queues_that_have_some(backend: BaseBackend) -> None:
    assert await backend.beat("w", b"{}", LEASE) == []
    await begun(backend)
    await backend.begin_operation("reports", "other", ORDER)
    assert await backend.beat("w", b"{}", LEASE) == [QUEUE, "reports"]
    assert await step(backend, ends=True) == []
    await backend.operations([QUEUE, "reports"])
    assert await backend.beat("w", b"{}", LEASE) == ["reports"]
    await begun(backend, "next")
    assert await backend.beat("w", b"{}", LEASE) == [QUEUE, "reports"]


async def test_one_that_nobody_carries_is_carried_by_the_first(backend: BaseBackend) -> None:
    made = await begun(backend, carrier="")
    assert (made.token, made.until) == (0, 0.0)
    carried = await backend.carry(QUEUE, ID, "bob", LEASE)
    assert carried is not None
    assert (carried.token, carried.carrier, carried == await only(backend)) == (1, "bob", True)
    assert await backend.carry(QUEUE, ID, "ann", LEASE) is None
    assert await backend.carry(QUEUE, "nothing", "ann", LEASE) is None


async def test_another_carries_it_when_the_lease_has_ended(backend: BaseBackend) -> None:
    await backend.begin_operation(QUEUE, ID, ORDER, "ann", 0.002)
    for _ in range(3):
        await later(backend)
    carried = await backend.carry(QUEUE, ID, "bob", LEASE)
    assert carried is not None
    assert carried.token == 2
    assert await step(backend, token=1) is None
    assert await step(backend, token=2) == []


async def test_the_carrier_itself_may_carry_it_again(backend: BaseBackend) -> None:
    await begun(backend)
    carried = await backend.carry(QUEUE, ID, "ann", LEASE)
    assert carried is not None
    assert carried.token == 2
    assert await backend.carry(QUEUE, ID, "bob", LEASE, "carl") is None
    assert (await backend.carry(QUEUE, ID, "bob", LEASE, "ann")) == await only(backend)


async def test_each_step_renews_the_lease(backend: BaseBackend) -> None:
    made = await begun(backend)
    await later(backend)
    await step(backend)
    assert (await only(backend)).until > made.until


async def test_a_lease_of_a_clock_that_was_set_back_is_none(backend: BaseBackend) -> None:
    await backend.begin_operation(QUEUE, ID, ORDER, "ann", 100 * LEASE)
    assert await backend.carry(QUEUE, ID, "bob", LEASE) is not None


async def test_what_is_moved_is_counted_in_the_same_step(backend: BaseBackend) -> None:
    await fill(backend, *names(4))
    await apply(backend, *map(failed, await take(backend)))
    changes = [replay(await record(backend, id)) for id in names(4)]
    await begun(backend)
    assert await step(backend, changes=changes[:3], progress=b"half") == ["applied"] * 3
    assert await ids_in(backend, State.WAITING) == names(3)
    found = await only(backend)
    assert (found.moved, found.progress, found.ended) == (3, b"half", None)
    again = await step(backend, changes=changes[2:], progress=b"lost")
    assert again == ["stale", "applied"], "and one is to be looked at again"
    found = await only(backend)
    assert (found.moved, found.progress) == (4, b"half")
    assert await step(backend, progress=b"whole", ends=True) == []
    found = await only(backend)
    assert (found.moved, found.progress, found.outcome, found.ended_by) == (4, b"whole", "done", "")
    assert found.ended is not None
    assert found.ended >= found.begun


async def test_jobs_are_deleted_wherever_they_are(backend: BaseBackend) -> None:
    await backend.add(QUEUE, [job("parked")])
    await apply(backend, parked((await take(backend))[0], "mod.f"))
    await take_one(backend, "active")
    await backend.add(QUEUE, [job("waiting"), job("keyed", key="k"), job("later", delay=LEASE)])
    await begun(backend)
    ids = ["active", "nobody", "waiting", "keyed", "parked"]
    answers = await step(backend, removed=ids)
    assert answers == ["applied", "gone", "applied", "applied", "applied"]
    assert [await state(backend, id) for id in (*ids, "later")] == [None] * 5 + [State.DELAYED]
    assert (await only(backend)).moved == 4
    assert (await backend.counts([QUEUE]))[QUEUE].waiting == 0


async def test_who_is_no_carrier_any_more_changes_nothing(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a")
    await begun(backend)
    assert await backend.carry(QUEUE, ID, "bob", LEASE, "ann") is not None
    before = await only(backend)
    change = cancel(await record(backend, "a"))
    assert await step(backend, changes=[change], progress=b"x", ends=True) is None
    assert await step(backend, removed=["a"]) is None
    assert await backend.advance(QUEUE, "nothing", 1, LEASE, removed=["a"]) is None
    assert (await only(backend), await state(backend, "a")) == (before, State.ACTIVE)
    assert await backend.extend([], LEASE) == []
    assert claim.token == (await record(backend, "a")).token


async def test_a_cancelled_one_goes_no_further(backend: BaseBackend) -> None:
    await fill(backend, "a", "b")
    await begun(backend)
    assert await step(backend, removed=["a"], progress=b"x") == ["applied"]
    assert await backend.cancel_operation(QUEUE, ID, "bob")
    assert await step(backend, removed=["b"]) is None
    assert await backend.carry(QUEUE, ID, "ann", LEASE) is None
    found = await only(backend)
    assert (found.moved, found.outcome, found.ended_by) == (1, "cancelled", "bob")
    assert not await backend.cancel_operation(QUEUE, ID, "carl")
    assert not await backend.cancel_operation(QUEUE, "nothing", "carl")
    assert (await only(backend), await state(backend, "b")) == (found, State.WAITING)


async def test_records_of_ended_ones_are_not_kept_for_ever(
    backend: BaseBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory", "sqlite", "redis"):
        monkeypatch.setattr(f"asyncmqd.backends.{module}.operations.KEPT", 3)
    await begun(backend, "first")  # goes on for long
    for number in range(5):
        await later(backend)
        await backend.begin_operation(QUEUE, f"{number}", ORDER, "ann", LEASE)
        assert await backend.advance(QUEUE, f"{number}", 1, LEASE, ends=True) == []
    kept = [each.id for each in await backend.operations([QUEUE])]
    assert kept[:2] == ["4", "3"]
    assert kept[-1] == "first"
    assert len(kept) <= 4


async def test_an_end_of_jobs_is_told_to_who_waits(backend: BaseBackend) -> None:
    await fill(backend, "a", "b")
    waited = {QUEUE: ["a", "b"]}
    while await backend.wait_ended(waited, 0.0):
        pass
    await begun(backend)
    await step(backend, changes=[cancel(await record(backend, "a"))])
    assert await backend.wait_ended(waited, LEASE) == {QUEUE: {"a"}}
    await step(backend, removed=["b"])
    assert "b" in (await backend.wait_ended(waited, LEASE))[QUEUE]


async def test_who_waits_for_work_is_woken(backend: BaseBackend, open_store: Opener) -> None:
    await take_one(backend, "a")
    await apply(backend, failed((await backend.held(QUEUE, ""))[0]))
    other = await open_store()
    await other.wait([QUEUE], 0.0)
    assert await other.claim(QUEUE, 1, LEASE, "other") == []
    while await other.wait([QUEUE], 0.0):
        pass
    await begun(backend)
    await step(backend, changes=[replay(await record(backend, "a"))])
    assert await other.wait([QUEUE], LEASE) == {QUEUE}


async def test_nobody_is_no_former_carrier(backend: BaseBackend) -> None:
    """A step of an operation that nobody carries gives it a lease, and takes none from it."""
    await begun(backend, carrier="")
    assert await step(backend, token=0) == []
    assert await backend.carry(QUEUE, ID, "ann", LEASE) is None
    assert await backend.carry(QUEUE, ID, "ann", LEASE, "bob") is None
