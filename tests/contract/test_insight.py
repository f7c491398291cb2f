"""What only people ask for: attempts of a job, keys with most jobs, what became of daemons."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from asyncmqd.backends import memory, redis, sqlite
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain import attempts, marks
from asyncmqd.domain.attempts import Attempt, attempts_of
from asyncmqd.domain.change import Change
from asyncmqd.domain.in_line import InLine
from asyncmqd.domain.job import Claim, Failure
from asyncmqd.domain.key_backlog import BusyKey
from asyncmqd.domain.marks import KEPT, Mark, encode, id_of
from asyncmqd.domain.settle import replay
from asyncmqd.domain.shared_limits import KeyLimits, SharedLimits
from asyncmqd.domain.states import State
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LEASE,
    QUEUE,
    WORKER,
    apply,
    back_to_waiting,
    crashed,
    failed,
    fill,
    finish,
    job,
    later,
    parked,
    record,
    released,
    retried,
    take,
    take_one,
)


async def kept(backend: BaseBackend, id: str = "a") -> list[Attempt]:
    return attempts_of(await backend.attempts(QUEUE, id))


async def again(backend: BaseBackend) -> Claim:
    """Claim job "a" once more."""
    await back_to_waiting(backend)
    [claim] = await take(backend)
    return claim


async def test_a_job_that_succeeds_keeps_no_attempt(backend: BaseBackend) -> None:
    await finish(backend, "a")
    assert await backend.attempts(QUEUE, "a") == b""
    assert await backend.attempts(QUEUE, "nobody") == b""


async def test_each_attempt_is_kept_with_who_when_and_why(
    backend: BaseBackend, open_store: Opener
) -> None:
    claim = await take_one(backend, "a")
    for end in (retried(claim, 60.0), None):
        await later(backend)
        claim = claim if end else await again(backend)
        assert await apply(backend, end or failed(claim, "for good")) == ["applied"]
    first, second = await kept(await open_store())
    assert (first.told.edge, first.told.number, first.told.worker) == ("retry", 1, WORKER)
    assert first.told.failure == Failure("OSError", "x")
    assert first.told.delay == 60.0
    assert (second.told.edge, second.told.number) == ("fail", 2)
    assert second.told.failure == Failure("E", "for good")
    found = await record(backend, "a")
    assert first.started < first.ended <= second.started < second.ended
    assert second.started == pytest.approx(found.started, abs=0.001)
    assert second.ended == pytest.approx(found.finished, abs=0.001)


async def test_what_comes_back_without_a_failure_is_kept_too(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a")
    for end in (released, lambda claim: released(claim, 60.0), crashed):
        change = msgspec.structs.replace(end(claim), lapsed=False)
        assert await apply(backend, change) == ["applied"]
        claim = await again(backend)
    told = [each.told for each in await kept(backend)]
    assert [each.edge for each in told] == ["release", "snooze", "recover"]
    assert [each.failure and each.failure.type for each in told] == [None, None, "Crashed"]
    assert {each.number for each in told} == {1}


async def test_a_job_that_is_run_again_keeps_its_attempts(backend: BaseBackend) -> None:
    await apply(backend, failed(await take_one(backend, "a")))
    assert await apply(backend, replay(await record(backend, "a"))) == ["applied"]
    await apply(backend, failed(await again(backend)))
    assert [each.told.number for each in await kept(backend)] == [1, 1]


async def test_an_end_that_comes_twice_or_too_late_is_kept_once(backend: BaseBackend) -> None:
    end = failed(await take_one(backend, "a"))
    assert await apply(backend, end) == ["applied"]
    assert await apply(backend, end) == ["already"]
    assert len(await kept(backend)) == 1


def _long(claim: Claim, size: int) -> Change:
    change = retried(claim, 0.0)
    return msgspec.structs.replace(
        change, attempt=attempts.told_of(claim, "retry", Failure("E", "x" * size), 0.0)
    )


async def test_the_newest_attempts_are_kept(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a")
    for _ in range(attempts.MOST + 2):
        await apply(backend, retried(claim, 60.0))
        claim = await again(backend)
    assert [each.told.number for each in await kept(backend)] == [*range(3, attempts.MOST + 3)]
    await apply(backend, released(claim))
    assert [each.told.edge for each in await kept(backend)][-2:] == ["retry", "release"]
    await apply(backend, retried(await again(backend), 60.0))
    assert [each.told.number for each in await kept(backend)] == [*range(4, attempts.MOST + 4)]


async def test_no_error_goes_for_a_run_that_only_came_back(backend: BaseBackend) -> None:
    await apply(backend, retried(await take_one(backend, "a"), 60.0))
    for number in range(attempts.MOST):
        claim = await again(backend)
        await apply(backend, released(claim, 60.0 if number in {0, 3} else 0.0))
    found = [each.told.edge for each in await kept(backend)]
    # The one that was put off first is gone.
    assert found == ["retry", "release", "release", "snooze"] + ["release"] * (attempts.MOST - 4)


@pytest.mark.parametrize(
    ("sizes", "number"), [((30_000, 30_000), 2), ((30_000, 30_000, 20_000), 2), ((9, 90_000), 1)]
)
async def test_they_take_no_more_than_so_many_bytes(
    backend: BaseBackend, sizes: tuple[int, ...], number: int
) -> None:
    claim = await take_one(backend, "a")
    for size in sizes:
        await apply(backend, _long(claim, size))
        claim = await again(backend)
    found = await kept(backend)
    assert [len(each.told.failure.message) for each in found if each.told.failure] == [
        *sizes[-number:]
    ]


async def test_the_same_traceback_is_kept_once(backend: BaseBackend) -> None:
    frames = {"a": '  File "a.py", line 1, in f\n' * 50, "b": '  File "b.py", line 1, in f\n' * 50}
    told = [(where, f"{where} {number}") for number, where in enumerate("abaa")]
    claim = await take_one(backend, "a")
    for where, message in told:
        failure = Failure("E", message, f"Traceback:\n{frames[where]}E: {message}\n")
        line = attempts.told_of(claim, "retry", failure, 0.0)
        await apply(backend, msgspec.structs.replace(retried(claim, 0.0), attempt=line))
        claim = await again(backend)
    assert [each.told.failure and each.told.failure.traceback for each in await kept(backend)] == [
        f"Traceback:\n{frames[where]}E: {message}\n" for where, message in told
    ]
    assert len(await backend.attempts(QUEUE, "a")) < 3 * len(frames["a"])


def test_a_traceback_that_does_not_end_with_the_message_is_whole() -> None:
    claim = Claim(queue=QUEUE, id="a", token=1, payload=b"", worker=WORKER)
    failure = Failure("E", "a\tb", 'File "a.py", line 1\nE: a\tb\nand a note\n')
    told = attempts.told_of(claim, "fail", failure, 0.0)
    whole = attempts.joined(attempts.joined(b"", 1, 2, told), 3, 4, told)
    assert [each.told.failure for each in attempts_of(whole)] == [failure, failure]


async def test_attempts_go_with_their_job(backend: BaseBackend) -> None:
    await apply(backend, failed(await take_one(backend, "a")))
    await backend.remove(QUEUE, ["a"])
    await fill(backend, "a")
    assert await backend.attempts(QUEUE, "a") == b""


def test_lines_that_cannot_be_read_hide_no_others() -> None:
    good = attempts.joined(b"", 1, 2, b'{"edge":"fail","number":1}')
    spoilt = b"\n".join([b"", b"1 2", b"x y {}", b"1 2 {", b'1 2 {"edge":3}', b"\xff", good])
    assert [each.told.edge for each in attempts_of(spoilt)] == ["fail"]


def test_words_of_the_application_can_be_left_out() -> None:
    claim = Claim(queue=QUEUE, id="a", token=1, payload=b"", worker=WORKER)
    failure = Failure("E", "secret", "secret", ({"message": "secret"},))
    whole = attempts.joined(b"", 1, 2, attempts.told_of(claim, "fail", failure, 0.0))
    whole = attempts.joined(whole, 3, 4, attempts.told_of(claim, "release", None, 0.0))
    hidden = attempts.without_words(whole, "hidden")
    assert b"secret" not in hidden
    first, second = attempts_of(hidden)
    assert first == Attempt(
        1e-6,
        2e-6,
        msgspec.structs.replace(attempts_of(whole)[0].told, failure=Failure("E", "hidden")),
    )
    assert second == attempts_of(whole)[1]


# ---------------------------------------------------------------- keys


async def add(backend: BaseBackend, **jobs: int) -> None:
    for key, count in jobs.items():
        await backend.add(QUEUE, [job(f"{key}{number}", key=key) for number in range(count)])


async def test_keys_are_told_by_how_many_jobs_wait(backend: BaseBackend) -> None:
    assert (await backend.key_backlog(QUEUE, 50)) == ([], 0, 0)
    await backend.add(QUEUE, [job("plain")])
    await add(backend, small=1, large=3, middle=2)
    await backend.add(QUEUE, [job("first", priority=0, key="other")])
    await backend.claim(QUEUE, 2, LEASE, WORKER)  # "first", and the job without a key
    found = await backend.key_backlog(QUEUE, 2)
    assert found == ([BusyKey("large", 3, 0), BusyKey("middle", 2, 0)], 3, 3)


async def test_keys_that_limits_hold_back_are_told_with_their_permits(
    backend: BaseBackend,
) -> None:
    limits = SharedLimits(each_key=KeyLimits(concurrency=2))
    await backend.declare_limits(QUEUE, limits, "d1")
    await add(backend, a=5, b=1)
    await backend.add(QUEUE, [job("late", priority=9, key="a")])
    await take(backend)
    assert await backend.key_backlog(QUEUE, 50) == ([BusyKey("a", 4, 2)], 1, 1)


async def test_a_look_at_keys_is_bounded(
    backend: BaseBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for store in (memory, sqlite, redis):
        monkeypatch.setattr(f"{store.__name__}.insight.KEYS_LOOKED_AT", 2)
    await add(backend, a=1, b=2, c=3)
    assert await backend.key_backlog(QUEUE, 50) == ([BusyKey("b", 2, 0), BusyKey("a", 1, 0)], 2, 3)


# ---------------------------------------------------------------- places in line


async def line(backend: BaseBackend, id: str) -> InLine:
    found = await backend.in_line(QUEUE, id)
    assert found is not None
    return found


async def test_a_job_that_does_not_wait_stands_in_no_line(backend: BaseBackend) -> None:
    await backend.add(QUEUE, [job("runs", priority=0), job("later", delay=60.0), job("parks")])
    claims = await backend.claim(QUEUE, 2, LEASE, WORKER)
    await apply(backend, parked(claims[1], "shop.add"))
    for id in ("runs", "later", "parks", "nosuch"):
        assert await backend.in_line(QUEUE, id) is None


async def test_without_keys_all_stand_in_one_line(backend: BaseBackend) -> None:
    await backend.add(
        QUEUE, [job("a"), job("b"), job("first", priority=0), job("last", priority=9)]
    )
    assert await line(backend, "b") == InLine(2, 0, 0, 0, "first")
    assert await line(backend, "first") == InLine(0, 0, 0, 0, "first")
    assert await line(backend, "last") == InLine(3, 0, 0, 0, "first")


async def test_a_line_is_that_of_the_key_however_many_jobs_others_have(
    backend: BaseBackend,
) -> None:
    await add(backend, large=700, small=2)
    await backend.add(QUEUE, [job("plain0"), job("plain1")])
    assert await line(backend, "large699") == InLine(699, 1, 0, 4, "large0")
    assert await line(backend, "small1") == InLine(1, 2, 0, 702, "small0")
    assert await line(backend, "plain1") == InLine(1, 0, 0, 702, "plain0")


async def test_turns_that_come_first_are_those_that_claims_give(backend: BaseBackend) -> None:
    await add(backend, a=3, b=3, c=3)
    await backend.add(QUEUE, [job(f"d{number}") for number in range(3)])
    for _ in range(9):
        ids = [id for key in "abcd" if (id := await _first_of(backend, key))]
        turns = {id: (await line(backend, id)).turns for id in ids}
        assert sorted(turns.values(), key=str) == [*range(len(ids))]
        [claim] = await backend.claim(QUEUE, 1, LEASE, WORKER)
        assert turns[claim.id] == 0


async def _first_of(backend: BaseBackend, letter: str) -> str | None:
    waiting = await backend.list(QUEUE, State.WAITING, 0, 50)
    return min((each.id for each in waiting if each.id.startswith(letter)), default=None)


async def test_better_priorities_come_first_whatever_their_keys(backend: BaseBackend) -> None:
    await add(backend, a=2, b=1)
    better = [job("a-better", priority=1, key="a"), job("b-better", priority=2, key="b")]
    await backend.add(QUEUE, [*better, job("plain", priority=3), job("worse", priority=9)])
    assert await line(backend, "a1") == InLine(2, 0, 2, 4, "a-better")
    assert await line(backend, "b0") == InLine(1, 1, 2, 5, "b-better")
    assert await line(backend, "worse") == InLine(1, 0, 5, 5, "plain")
    assert await line(backend, "a-better") == InLine(0, 0, 0, 4, "a-better")


async def test_a_key_that_is_held_back_takes_no_turn(backend: BaseBackend) -> None:
    limits = SharedLimits(each_key=KeyLimits(concurrency=1))
    await backend.declare_limits(QUEUE, limits, "d1")
    await add(backend, a=3, b=1)
    await backend.claim(QUEUE, 1, LEASE, WORKER)
    assert await line(backend, "a2") == InLine(1, None, 0, 1, "a1")
    assert await line(backend, "b0") == InLine(0, 0, 0, 2, "b0")


# ---------------------------------------------------------------- marks


async def note(backend: BaseBackend, who: str, kind: str = "started") -> None:
    await backend.mark(f"{kind}:{who}", encode(Mark(kind, who)))


async def who(backend: BaseBackend) -> list[str]:
    return [each.mark.who for each in await backend.marks()]


async def test_marks_are_told_in_order_and_once(backend: BaseBackend, open_store: Opener) -> None:
    other = await open_store()
    assert await other.marks() == []
    await note(backend, "b")
    await later(backend)
    await note(other, "a")
    await note(other, "b")
    first, second = await backend.marks()
    assert (first.mark, second.mark) == (Mark("started", "b"), Mark("started", "a"))
    assert first.at < second.at <= await backend.now()


async def test_the_newest_marks_are_kept(backend: BaseBackend) -> None:
    await note(backend, "first")
    await later(backend)
    await asyncio.gather(*(note(backend, f"{number:03}") for number in range(KEPT)))
    assert sorted(await who(backend)) == [f"{number:03}" for number in range(KEPT)]


async def test_marks_of_which_there_are_most_go_first(
    backend: BaseBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for store in (marks, sqlite.insight, redis.insight):
        monkeypatch.setattr(store, "KEPT", 5)
    deploy, reload = Mark("started", "d/1", code="new"), Mark("reloaded", "d/0")
    lives = [Mark(kind, f"d/{life}", code="") for life in "abcd" for kind in ("started", "died")]
    for mark in (deploy, reload, *lives):
        await backend.mark(id_of(mark, 0), encode(mark))
        await later(backend)
    found = [each.mark for each in await backend.marks()]
    assert found == [deploy, reload, *lives[-3:]]


async def test_old_marks_are_forgotten(
    backend: BaseBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for store in (memory, sqlite, redis):
        monkeypatch.setattr(f"{store.__name__}.insight.KEPT_FOR", 0.0005)
    await note(backend, "old")
    await later(backend)
    await note(backend, "new")
    assert await who(backend) == ["new"]


async def test_a_mark_that_cannot_be_read_hides_no_others(backend: BaseBackend) -> None:
    await backend.mark("spoilt", b"\xff{")
    await note(backend, "a")
    assert await who(backend) == ["a"]
