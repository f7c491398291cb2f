"""Which jobs an operation means, and how its steps adapt to them."""

from __future__ import annotations

from typing import Any

import pytest

from asyncmqd.backends.memory import InMemoryBackend
from asyncmqd.client import operations
from asyncmqd.domain.job import NewJob, Record
from asyncmqd.domain.operation import Order, Progress, Verb, decide
from asyncmqd.domain.selection import Mark, Searched, Selection
from asyncmqd.domain.settle import Policy, Released, settle
from asyncmqd.domain.states import State

SINCE = 100.0


def record(**fields: float) -> Record:
    return Record(queue="q", id="a", place="failed", payload=b"{}", **{"created": 50.0, **fields})


@pytest.mark.parametrize("verb", ["retry", "cancel", "remove", "run_now"])
def test_what_came_later_is_not_meant(verb: Verb) -> None:
    order = Order(verb=verb, states=(State.FAILED,))
    assert order.covers(record(), SINCE)
    assert order.covers(record(created=SINCE, started=SINCE, finished=SINCE), SINCE)
    assert not order.covers(record(created=100.1), SINCE)
    assert not order.covers(record(finished=100.1), SINCE)
    claimed_since = order.covers(record(started=100.1), SINCE)
    assert claimed_since == (verb in {"cancel", "remove"})  # it may have run because of the other
    aged = Order(verb=verb, selection=Selection(older_than=60.0))
    assert aged.sought(SINCE).created_until == 40.0
    assert order.sought(SINCE).created_until == SINCE


def test_an_order_in_words() -> None:
    selection = Selection(task="t", older_than=60.0)
    order = Order(verb="retry", states=(State.FAILED, State.EXPIRED), selection=selection)
    assert order.words == "failed and expired, task t, older than 60 s"
    assert (Order(verb="cancel", ids=2).words, Order(verb="pause").words) == (
        "2 named",
        "the queue",
    )


def test_progress_goes_from_state_to_state() -> None:
    mark = Mark("failed", 1.0, "a")
    half = Progress().after(10, mark, ["x"])
    assert (half.part, half.mark, half.searched, half.left) == (0, mark, 10, 1)
    whole = half.after(5, None, ["y", "z", "w"])
    assert (whole.part, whole.mark, whole.searched, whole.left) == (1, None, 15, 4)
    assert whole.reasons == ("x", "y", "z")


def test_what_is_gone_or_cannot_be_moved_is_told() -> None:
    assert decide("cancel", "a", None) == "job a: it is gone"
    expected = "job a: expected a job that has not ended, this one is failed"
    assert decide("cancel", "a", record()) == expected
    assert "held by job b" in str(decide("retry", "a", record_held_by("b")))


def record_held_by(holder: str) -> Record:
    return Record(queue="q", id="a", place="failed", payload=b"", unique="n", holder=holder)


async def test_large_jobs_are_moved_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    store, sizes = InMemoryBackend(), list[int]()
    search = InMemoryBackend.search

    async def noted(self: InMemoryBackend, *args: object, **more: object) -> Searched:
        found: Searched = await search(self, *args, **more)  # type: ignore[arg-type]
        sizes.append(len(found.records))
        return found

    monkeypatch.setattr(InMemoryBackend, "search", noted)
    monkeypatch.setattr(operations, "LARGE", 1_000)
    payloads = [b"x" * 100] * 100 + [b""] * 100
    await store.add("q", [NewJob(id=f"{n}", payload=each) for n, each in enumerate(payloads)])
    order = Order(verb="cancel", states=(State.WAITING,))
    assert await operations.carry_on(store, await operations.begin(store, "q", order, "me"))
    assert sizes[:3] == [25, 12, 6]
    assert max(sizes[-3:]) > 25
    assert (await store.counts(["q"]))["q"].cancelled == 200


async def test_a_job_that_moved_on_after_the_search_and_is_still_meant_is_moved() -> None:
    """It was claimed and handed back between the two calls: it has another token."""
    store = InMemoryBackend()
    await store.add("mail", [NewJob(id="a", payload=b"{}")])

    class Meddling(operations._Carrier):
        async def _advance(self, changes: Any = (), **named: Any) -> Any:
            if changes and changes[0].token == 0:
                claims = await store.claim("mail", 1, 60.0, "w")
                await store.apply("mail", [settle(claims[0], Released(0.0), Policy(), 0.5)])
            return await super()._advance(changes, **named)

    order = Order(verb="cancel", states=(State.WAITING,))
    record = await operations.begin(store, "mail", order, "ann", 60.0)
    assert await Meddling(store, record, order, 60.0, lambda _looked, _moved: None).run()
    assert (await store.counts(["mail"]))["mail"].cancelled == 1
    [told] = await store.operations(["mail"])
    assert (told.moved, told.outcome) == (1, "done")
