"""What operators ask of a store, without a command line: values in, structs out, clear errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import msgspec
import pytest

from asyncmqd.admin import (
    backfill,
    job_actions,
    jobs,
    operations,
    queues,
    schedules,
    search,
    store,
    workers,
)
from asyncmqd.admin.errors import AdminError, NotFound
from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import BaseBackend, WorkerRecord
from asyncmqd.domain import clock
from asyncmqd.domain.schedule import Repeatable
from asyncmqd.domain.selection import Selection
from asyncmqd.domain.states import State
from tests.cli.test_jobs import new

NOON = "2026-11-24T12:00:00+00:00"


@pytest.fixture
async def filled() -> BaseBackend:
    """`mail` has two jobs and two schedules, one of them spoilt; `web` has a job of the same id."""
    backend = InMemoryBackend(f"memory://{clock.new_id()}")
    await backend.add("mail", [new("a"), new("later", delay=3600.0)])
    await backend.add("web", [new("a")])
    await backend.declare("mail", {"spoilt": b"{"}, fresh=True)
    spec = msgspec.json.encode(Repeatable(task="shop.add", every=60.0))
    await backend.declare("mail", {"sound": spec}, fresh=True)
    return backend


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        (lambda s: jobs.show(s, "nosuch"), NotFound),
        (lambda s: jobs.show(s, "later", "web"), NotFound),
        (lambda s: jobs.show(s, "a"), AdminError),  # which of two?
        (lambda s: queues.show(s, "mial"), NotFound),
        (lambda s: queues.pause(s, "mial"), NotFound),
        (lambda s: schedules.run(s, "mail", "nosuch"), NotFound),
        (lambda s: schedules.run(s, "mail", "spoilt"), AdminError),
        (lambda s: schedules.preview(s, "nosuch"), NotFound),
        (lambda s: schedules.preview(s, "spoilt"), AdminError),
        (lambda s: backfill.plan(s, "nosuch", NOON, NOON), NotFound),
        (lambda s: backfill.plan(s, "spoilt", NOON, NOON), AdminError),
        (lambda s: schedules.edit(s, "mail", "nosuch", "pause"), NotFound),
    ],
)
async def test_what_cannot_be_done_is_said(
    filled: BaseBackend, ask: Callable[[BaseBackend], Awaitable[object]], kind: type[Exception]
) -> None:
    with pytest.raises(kind) as raised:
        await ask(filled)
    assert type(raised.value) is kind


async def test_a_schedule_that_goes_meanwhile_is_said_to_be_gone(
    filled: BaseBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object) -> bool:
        return False

    monkeypatch.setattr(filled, "edit_schedule", gone)
    with pytest.raises(NotFound, match="sound: queue mail has none"):
        await schedules.edit(filled, "mail", "sound", "pause", "ann")
    [noted] = await operations.list_operations(filled, "mail")
    assert noted.state == "cancelled"


async def test_what_is_done_to_schedules_is_noted(filled: BaseBackend) -> None:
    await schedules.edit(filled, "mail", "sound", "pause", "ann")
    filled.payload_limit = 10
    with pytest.raises(AdminError):
        await schedules.run(filled, "mail", "sound", "bob")
    with pytest.raises(NotFound):
        await schedules.edit(filled, "mail", "nosuch", "pause", "eve")
    noted = {each.verb: each for each in await operations.list_operations(filled)}
    assert noted.keys() == {"pause_schedule", "run_schedule"}
    paused, refused = noted["pause_schedule"], noted["run_schedule"]
    assert (paused.by, paused.schedule, paused.state) == ("ann", "sound", "done")
    assert (refused.by, refused.state) == ("bob", "cancelled")


async def test_all_answers_are_json(filled: BaseBackend) -> None:
    answers = [
        await jobs.page(filled),
        await jobs.show(filled, "a", "mail"),
        await queues.list_queues(filled),
        await queues.show(filled, "mail"),
        await schedules.list_schedules(filled),
        await schedules.preview(filled, "sound"),
        await backfill.plan(filled, "sound", NOON, NOON),
        await workers.list_workers(filled),
        await store.show(filled),
    ]
    assert all(msgspec.json.encode(answer) for answer in answers)


async def test_a_queue_that_a_configuration_names_is_known(filled: BaseBackend) -> None:
    await queues.pause(filled, "planned", lambda: ["planned"])
    assert (await queues.show(filled, "planned")).paused  # now by the store
    await queues.resume(filled, "planned")


async def test_each_job_has_an_outcome_of_its_own(filled: BaseBackend) -> None:
    outcomes = await job_actions.move(filled, "retry", ["later", "a", "nosuch"])
    assert outcomes["later"] is None
    assert outcomes["nosuch"] == "job nosuch: there is none of this id"
    assert "mail and web" in (outcomes["a"] or "")


class _Slow:
    """A store whose every call takes a while, as all do on a machine that is busy."""

    def __init__(self, store: BaseBackend, virtual: list[float]) -> None:
        self._store, self._virtual = store, virtual

    def __getattr__(self, name: str) -> object:
        self._virtual[0] += search.LONGEST_LOOK
        return getattr(self._store, name)


async def test_a_slow_store_is_not_said_to_have_no_job(
    filled: BaseBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is delayed, which is the second state that is searched."""
    passed = [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: passed[0])
    slow = cast("BaseBackend", _Slow(filled, passed))
    found = await search.search(
        slow, Selection(task="shop.add"), "mail", [State.ACTIVE, State.DELAYED]
    )
    assert ([job.id for job in found.jobs], found.searched) == (["later"], 1)


async def test_enqueues_at_once_ask_once_who_serves(
    filled: BaseBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = filled.workers

    async def counted() -> list[WorkerRecord]:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        return await look()

    monkeypatch.setattr(filled, "workers", counted)
    calls = (workers.probable_mistake(filled, "mail", "work") for _ in range(20))
    assert {*await asyncio.gather(*calls)} == {None}
    assert looks == 1
