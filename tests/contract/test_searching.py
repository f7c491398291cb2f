"""Jobs that have something, found by bounded looks that go on from a mark."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.job import JobSpec, NewJob, Record
from asyncmqd.domain.selection import (
    HEAD,
    Mark,
    Searched,
    Selection,
    Sought,
    error_of,
    masked,
)
from asyncmqd.domain.states import State
from tests.contract.jobs import (
    LONG,
    QUEUE,
    apply,
    failed,
    fill,
    ids,
    ids_in,
    later,
    names,
    parked,
    take,
)

ANYTHING = Sought()


def of_task(id: str, task: str, *, key: str = "", delay: float = 0.0, size: int = 0) -> NewJob:
    payload = encode_spec(JobSpec(id=id, task=task, args=["x" * size]))
    return NewJob(id=id, payload=payload, key=key, delay=delay)


async def walked(
    backend: BaseBackend,
    state: State,
    sought: Sought = ANYTHING,
    *,
    most: int = 100,
    page: int = 2,
    newest_first: bool = False,
) -> list[str]:
    """All that is found by going on until the end; no look is longer than it may be."""
    found: list[Record] = []
    mark: Mark | None = None
    for _ in range(1_000):
        part = await backend.search(
            QUEUE, state, sought, mark, most, page, newest_first=newest_first
        )
        assert part.looked <= page
        assert len(part.records) <= most
        assert part.records == await backend.get(QUEUE, ids(part.records))
        found += part.records
        mark = part.after
        if mark is None:
            return ids(found)
    raise AssertionError("it never ends")


async def in_many_places(backend: BaseBackend) -> None:
    """Jobs that wait in five places."""
    await backend.add(QUEUE, [of_task(id, "mod.a") for id in ("p1", "p2", "p3")])
    claims = await take(backend)
    tasks = ("mod.b", "mod.c", "mod.b")
    await apply(backend, *(parked(each, task) for each, task in zip(claims, tasks, strict=True)))
    await backend.add(QUEUE, [of_task(id, "mod.a") for id in ("a", "b", "c")])
    await backend.add(QUEUE, [of_task(id, "mod.d", key=id) for id in ("k1", "k2", "k3")])


@pytest.mark.parametrize(
    ("page", "most"), [(1, 1), (1, 9), (2, 1), (3, 2), (4, 9), (50, 3), (50, 50)]
)
async def test_a_walk_meets_each_waiting_job_once_in_order(
    backend: BaseBackend, page: int, most: int
) -> None:
    await in_many_places(backend)
    listed = await ids_in(backend, State.WAITING)
    assert len(listed) == 9
    assert await walked(backend, State.WAITING, page=page, most=most) == listed
    by_key = Sought(key="k2")
    assert await walked(backend, State.WAITING, by_key, page=page, most=most) == ["k2"]


@pytest.mark.parametrize("page", [1, 2, 5, 100])
async def test_ended_jobs_are_walked_from_either_end(backend: BaseBackend, page: int) -> None:
    await fill(backend, *names(7))
    await apply(backend, *map(failed, await take(backend, 4)))
    await later(backend)
    await apply(backend, *map(failed, await take(backend, 3)))
    newest = await ids_in(backend, State.FAILED)
    assert await walked(backend, State.FAILED, page=page, newest_first=True) == newest
    assert await walked(backend, State.FAILED, page=page) == newest[::-1]


@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_walk_goes_on_from_a_job_that_is_gone(
    backend: BaseBackend, newest_first: bool
) -> None:
    await fill(backend, *names(6))
    await apply(backend, *map(failed, await take(backend)))
    order = await ids_in(backend, State.FAILED)
    order = order if newest_first else order[::-1]
    looked = await backend.search(QUEUE, State.FAILED, ANYTHING, None, 3, newest_first=newest_first)
    assert ids(looked.records) == order[:3]
    await backend.remove(QUEUE, order[1:4])
    left = await backend.search(
        QUEUE, State.FAILED, ANYTHING, looked.after, newest_first=newest_first
    )
    assert (ids(left.records), left.looked, left.after) == (order[4:], 2, None)


async def test_a_walk_goes_on_where_a_place_is_empty_by_now(backend: BaseBackend) -> None:
    await in_many_places(backend)
    listed = await ids_in(backend, State.WAITING)
    for stop in range(1, 9):
        part = await backend.search(QUEUE, State.WAITING, ANYTHING, None, 100, stop)
        assert ids(part.records) == listed[:stop]
        rest = await backend.search(QUEUE, State.WAITING, ANYTHING, part.after)
        assert ids(rest.records) == listed[stop:]
    part = await backend.search(QUEUE, State.WAITING, ANYTHING, None, 100, 7)
    assert listed[6:] == ["p1", "p3", "p2"]
    await backend.remove(QUEUE, ["p1", "p3"])
    assert ids((await backend.search(QUEUE, State.WAITING, ANYTHING, part.after)).records) == ["p2"]


async def test_jobs_of_one_moment_are_told_apart(backend: BaseBackend) -> None:
    await backend.add(QUEUE, [of_task(id, "mod.a", delay=LONG) for id in names(40)])
    listed = await ids_in(backend, State.DELAYED)
    assert await walked(backend, State.DELAYED, page=7) == listed
    part = await backend.search(QUEUE, State.DELAYED, ANYTHING, None, 20)
    await backend.remove(QUEUE, [ids(part.records)[-1]])
    rest = await backend.search(QUEUE, State.DELAYED, ANYTHING, part.after)
    assert ids(rest.records) == listed[20:]


async def test_what_is_sought(backend: BaseBackend) -> None:
    await backend.add(
        QUEUE,
        [
            of_task("a", "mod.send"),
            of_task("b", "mod.sender", key="k"),
            of_task("c", "mod.send", size=100_000),
            NewJob(id="d", payload=b'{"x":"' + b"x" * HEAD + b'","task":"mod.send"}'),
        ],
    )
    await later(backend)
    await later(backend)
    then = await backend.now()
    await later(backend)
    await backend.add(QUEUE, [of_task("e", "mod.other")])
    for selection, expected in (
        (Selection(task="mod.send"), ["a", "c"]),
        (Selection(task="mod.sender"), ["b"]),
        (Selection(key="k"), ["b"]),
        (Selection(key="other"), []),
        (Selection(), ["a", "c", "d", "e", "b"]),
    ):
        assert await walked(backend, State.WAITING, selection.sought(0.0)) == expected
    old = Sought(created_until=then)
    assert await walked(backend, State.WAITING, old) == ["a", "c", "d", "b"]
    both = Sought(created_until=then, head=b'"mod.send"')
    assert await walked(backend, State.WAITING, both) == ["a", "c"]


async def test_errors_are_sought(backend: BaseBackend) -> None:
    await fill(backend, *names(4))
    claims = await take(backend)
    texts = ("timed out", "refused", 'a "timed" one', "timed out")
    await apply(backend, *(failed(each, text) for each, text in zip(claims, texts, strict=True)))
    for error, expected in (
        ("timed", [0, 2, 3]),
        ("timed out", [0, 3]),
        ('"timed"', [2]),
        ("?", []),
    ):
        sought = Selection(error=error).sought(0.0)
        found = await walked(backend, State.FAILED, sought)
        assert found == [f"job{number}" for number in expected], error


async def test_errors_that_are_alike_are_sought(backend: BaseBackend) -> None:
    await fill(backend, *names(3))
    claims = await take(backend)
    texts = ("order 7: declined", "order 812: declined", "order 7: lost")
    await apply(backend, *(failed(each, text) for each, text in zip(claims, texts, strict=True)))
    [first] = await backend.get(QUEUE, ["job0"])
    assert first is not None
    selection = Selection(alike=masked(error_of(first)))
    assert str(selection.alike).endswith(": order 0: declined")
    part = await backend.search(QUEUE, State.FAILED, selection.sought(0.0))
    assert ids([each for each in part.records if selection.covers(each, 0.0)]) == ["job0", "job1"]
    other = Selection(alike="Other: order 0: declined")
    assert await walked(backend, State.FAILED, other.sought(0.0)) == []


@pytest.mark.parametrize("state", State)
async def test_there_is_nothing_in_an_unknown_queue(backend: BaseBackend, state: State) -> None:
    assert await backend.search("nothing", state, ANYTHING) == Searched([], 0, None)


async def test_a_mark_of_another_store_does_no_harm(backend: BaseBackend) -> None:
    await fill(backend, "a")
    for mark in (
        Mark("waiting", 1e300, "x"),
        Mark("waiting", 1e300, "9" * 40),
        Mark("?", -1.0, ""),
    ):
        with contextlib.suppress(ValueError):
            found = await backend.search(QUEUE, State.WAITING, ANYTHING, mark)
            assert found.looked <= 1


async def test_what_comes_behind_the_mark_is_seen(backend: BaseBackend) -> None:
    await fill(backend, *names(3))
    part = await backend.search(QUEUE, State.WAITING, ANYTHING, None, 2)
    await fill(backend, "new")
    rest = await backend.search(QUEUE, State.WAITING, ANYTHING, part.after)
    assert ids(rest.records) == ["job2", "new"]


def test_each_part_of_a_selection_counts() -> None:
    spec = encode_spec(JobSpec(id="a", task="mod.é"))
    error = b'{"type":"E","message":"timed out"}'
    record = Record(
        queue=QUEUE, id="a", place="failed", payload=spec, created=100.0, error=error, key="k"
    )
    alike = "E: timed out"
    right = {
        "task": "mod.é",
        "key": "k",
        "error": "E: timed",
        "older_than": 50.0,
        "alike": alike,
    }
    wrong = {
        "task": "mod.e",
        "key": "K",
        "error": "e: timed",
        "older_than": 51.0,
        "alike": "E: timed",
    }
    for size in range(6):
        for chosen in itertools.combinations(right, size):
            parts = {name: right[name] for name in chosen}
            assert Selection(**parts).covers(record, 150.0)
            for name in chosen:
                assert not Selection(**{**parts, name: wrong[name]}).covers(record, 150.0)
    assert Selection(**right).sought(150.0) == Sought(key="k", created_until=100.0, error=b"E")


def test_numbers_are_masked() -> None:
    for text, expected in {
        "order 812 of 9": "order 0 of 0",
        "<Socket at 0x7f3a>": "<Socket at 0>",
        "job 5b1c2d3e-aaaa-4bbb-8ccc-0123456789ab": "job 0",
        "deadbeef1": "0",
        "effaced facade": "effaced facade",
    }.items():
        assert masked(text) == expected
