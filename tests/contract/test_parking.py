"""Jobs whose task nobody here knows: put aside once, still waiting, and brought back."""

from __future__ import annotations

import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.settle import cancel
from asyncmqd.domain.states import State
from tests.contract.jobs import (
    QUEUE,
    apply,
    fill,
    ids,
    ids_in,
    names,
    parked,
    record,
    state,
    succeeded,
    take,
)


async def put_aside(backend: BaseBackend, **tasks: str) -> None:
    """Add jobs (id=task) and park each for its task."""
    await fill(backend, *tasks)
    claims = await take(backend)
    changes = [parked(claim, tasks[claim.id]) for claim in claims]
    assert await apply(backend, *changes) == ["applied"] * len(changes)


async def test_a_parked_job_waits_but_is_not_claimed(backend: BaseBackend) -> None:
    await put_aside(backend, a="mod.f")
    assert await take(backend) == []
    aside = await record(backend, "a")
    assert (aside.state, aside.place, aside.failures) == (State.WAITING, "waiting:mod.f", 0)
    counts = (await backend.counts([QUEUE]))[QUEUE]
    assert (counts.waiting, counts.parked) == (1, 1)
    assert (await backend.outlook([QUEUE]))[QUEUE].waiting == 0
    assert await ids_in(backend, State.WAITING) == ["a"]


async def test_whoever_knows_the_task_brings_its_jobs_back_to_their_places(
    backend: BaseBackend,
) -> None:
    await put_aside(backend, a="mod.f", b="mod.g", c="mod.f")
    await fill(backend, "d")
    assert await backend.unpark(QUEUE, ["mod.f", "mod.unknown"]) == 2
    assert ids(await take(backend)) == ["a", "c", "d"]
    assert await backend.unpark(QUEUE, ["mod.f"]) == 0
    assert await backend.unpark(QUEUE, {"mod.g"}) == 1
    [b] = await take(backend)
    assert (b.id, b.token, b.attempt) == ("b", 2, 1)


async def test_no_task_brings_nothing_back(backend: BaseBackend) -> None:
    await put_aside(backend, a="mod.f")
    assert await backend.unpark(QUEUE, []) == 0
    assert await backend.unpark(QUEUE, ["mod"]) == 0
    assert await backend.unpark("reports", ["mod.f"]) == 0


async def test_jobs_are_brought_back_in_pages(backend: BaseBackend) -> None:
    await put_aside(backend, **dict.fromkeys(names(5), "mod.f"))
    assert await backend.unpark(QUEUE, ["mod.f"], 2) == 2
    assert ids(await take(backend)) == names(5)[:2]
    assert [await backend.unpark(QUEUE, ["mod.f"], 2) for _ in range(3)] == [2, 1, 0]


@pytest.mark.parametrize("task", ["a:b", "näme", "{x}", "*", "", " ", "'\"", "x" * 300])
async def test_task_names_may_be_anything(backend: BaseBackend, task: str) -> None:
    await put_aside(backend, a=task, b="mod.f")
    assert (await record(backend, "a")).place == f"waiting:{task}"
    assert await backend.unpark(QUEUE, [task]) == 1
    assert ids(await take(backend)) == ["a"]


async def test_a_parked_job_can_be_cancelled_removed_and_purged(backend: BaseBackend) -> None:
    await put_aside(backend, a="mod.f", b="mod.f", c="mod.g")
    assert await apply(backend, cancel(await record(backend, "a"))) == ["applied"]
    assert await backend.remove(QUEUE, ["b"]) == [True]
    assert (await backend.counts([QUEUE]))[QUEUE].parked == 1
    assert await backend.purge(QUEUE, State.WAITING) == 1
    assert await backend.unpark(QUEUE, ["mod.f", "mod.g"]) == 0
    assert await state(backend, "a") is State.CANCELLED


async def test_the_jobs_that_can_run_are_listed_before_those_put_aside(
    backend: BaseBackend,
) -> None:
    await put_aside(backend, a="mod.z", b="mod.f", c="mod.f")
    await fill(backend, "d")
    assert await ids_in(backend, State.WAITING) == ["d", "b", "c", "a"]
    assert ids(await backend.list(QUEUE, State.WAITING, 1, 2)) == ["b", "c"]


async def test_a_job_may_be_put_aside_again(backend: BaseBackend) -> None:
    await put_aside(backend, a="mod.f")
    for token in (2, 3):
        await backend.unpark(QUEUE, ["mod.f"])
        [claim] = await take(backend)
        assert claim.token == token
        assert await apply(backend, parked(claim, "mod.f")) == ["applied"]
        assert await apply(backend, succeeded(claim)) == ["already"]
