"""The domain's values as arguments of scripts, and replies as the domain's values."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from asyncmqd.backends.base import PAGE, Held, ScheduleRecord, WorkerRecord
from asyncmqd.backends.redis.scripts import Argument
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.history import Period
from asyncmqd.domain.job import Claim, NewJob, Record
from asyncmqd.domain.pause import Pause
from asyncmqd.domain.schedule_counts import REASONS, Tally
from asyncmqd.domain.selection import Mark
from asyncmqd.domain.shared_limits import DeclaredLimits
from asyncmqd.domain.states import TERMINAL, State, state_of

ANSWERS: tuple[Answer, ...] = ("applied", "already", "stale", "gone", "taken")
_ANSWERS = dict(zip(b"01234", ANSWERS, strict=True))  # by their digits
HEADER = 19  # bytes before the payload: 16 digits when it was added, 3 of priority
_DIGITS = 16  # of a date as text, in microseconds
_PRIORITIES = 1_000
_NOT_KEPT, _KEPT_BY_NUMBER = -2, -1

Item = TypeVar("Item")


class _Run(msgspec.Struct, array_like=True):
    """A job from its first claim on, see _runs.lua."""

    token: int = 0
    order: int = 0
    size: int = 0
    started: int = 0
    worker: str = ""
    failures: int = 0
    crashes: int = 0
    solo: int = 0


_NO_RUN = _Run()
_ARRAY = b"\xdd%b"  # how MessagePack begins an array of so many
_NAMELESS: tuple[Any, ...] = (b"", b"", b"", (), 1)  # unique name, its holder, key, parents, cost
_run = msgspec.msgpack.Decoder(_Run).decode
_runs = msgspec.msgpack.Decoder(list[_Run]).decode
ids = msgspec.msgpack.Decoder(list[str]).decode  # of claims, from turn.lua and active.lua
_period = msgspec.msgpack.Decoder(Period).decode
_integers = msgspec.json.Decoder(list[int]).decode
_pause = msgspec.json.Decoder(Pause).decode


def micros(seconds: float) -> int:
    """Microseconds: the unit of all times in the store."""
    return round(seconds * 1e6)


def seconds(micros: bytes | int) -> float:
    """The contract's unit."""
    return int(micros) / 1e6


def pages(ids: Sequence[str], items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Slices of at most a page, in which no id comes twice.

    No script may block the server for long, and each reads all its jobs before it writes one.
    """
    if len(set(ids)) == len(ids) <= PAGE:  # the usual case
        yield items
        return
    begin, seen = 0, set[str]()
    for at, id in enumerate(ids):
        if id in seen or len(seen) == PAGE:
            yield items[begin:at]
            begin, seen = at, set()
        seen.add(id)
    if seen:
        yield items[begin:]


def job_args(job: NewJob) -> tuple[Argument, ...]:
    """Of add.lua and fire.lua."""
    delay = micros(job.delay) if job.delay > 0 else 0
    return job.id, f"{job.priority:03}", delay, job.payload


def keys_arg(jobs: Sequence[NewJob]) -> bytes:
    """Of add_named.lua: whose these jobs are."""
    keys = [job.key for job in jobs]
    return msgspec.msgpack.encode(keys) if any(keys) else b""


def costs_arg(jobs: Sequence[NewJob]) -> bytes:
    """Of add_named.lua: what these jobs cost."""
    costs = [job.cost for job in jobs]
    return msgspec.msgpack.encode(costs) if any(cost != 1 for cost in costs) else b""


_id_of = attrgetter("id")
_LEFT = "error", "result", "progress", "attempt"
_NOTHING_LEFT = (None,) * len(_LEFT)
_COUNTED = "failures", "crashes", "solo"
# Of a change: what `_kind_args` depends on.
_KIND = "edge", "place", "outside", "unstarted", "lapsed", "delay", "keep", *_COUNTED


def steps(changes: Sequence[Change], limit: int) -> Iterator[tuple[Sequence[Change], int]]:
    """Calls of turn.lua, one after the other: the changes of each and how many jobs it takes.

    Mostly it is one. All changes come before the first job is taken.
    """
    if len(changes) < 2 and limit <= PAGE:
        if changes or limit:
            yield changes, limit
        return
    *earlier, last = [*pages([*map(_id_of, changes)], changes)] if changes else [()]
    for page in earlier:
        yield page, 0
    if last or limit:
        yield last, min(limit, PAGE)
    for at in range(PAGE, limit, PAGE):
        yield (), min(limit - at, PAGE)


def change_args(changes: Sequence[Change]) -> list[Argument]:
    """See _changes.lua: the kinds of change, as those of a batch are mostly of one; the jobs."""
    if not changes:
        return []
    numbers: dict[tuple[Any, ...], int] = {}  # of the kinds
    rows: list[Any] = []
    left: list[Argument] = []
    last: tuple[Any, ...] | None = None
    number = 0
    for change in changes:
        # As a plain tuple, written out: no other way to read ten fields costs a job so little.
        kind = (
            change.edge,
            change.place,
            change.outside,
            change.unstarted,
            change.lapsed,
            change.delay,
            change.keep,
            change.failures,
            change.crashes,
            change.solo,
        )
        if kind != last:
            last, number = kind, numbers.setdefault(kind, len(numbers) + 1)
        values = change.error, change.result, change.progress, change.attempt
        if values == _NOTHING_LEFT:
            rows += (number, change.id, change.token, 0)
        else:
            args = _left_args(values)
            rows += (number, change.id, change.token, len(args))
            left += args
    # In one piece: the server, too, would have to take each number and id for itself.
    return [_packed_kinds(tuple(numbers)), msgspec.msgpack.encode(rows), *left]


@functools.lru_cache(maxsize=64)  # most ends are alike
def _packed_kinds(kinds: tuple[tuple[Any, ...], ...]) -> bytes:
    firsts = [
        Change(queue="", id="", token=0, **dict(zip(_KIND, kind, strict=True))) for kind in kinds
    ]
    return msgspec.msgpack.encode([_whom_to_wake(firsts), *map(_kind_args, firsts)])


def _whom_to_wake(changes: Collection[Change]) -> str:
    if any(change.place for change in changes):
        return "all"  # a parked job needs one that knows its task, and nobody here knows who does
    return "one" if any(change.path.target is State.WAITING for change in changes) else "none"


def _kind_args(change: Change) -> tuple[Any, ...]:
    edge, kept = change.path, _NOT_KEPT
    if edge.target in TERMINAL:
        kept = _KEPT_BY_NUMBER if change.keep is None else micros(change.keep)
    return (
        edge.rank,
        edge.sources <= TERMINAL,
        State.WAITING in edge.sources,
        change.target,
        change.place is not None,
        3 if change.unstarted else 2 if change.takes_away else int(change.outside),
        change.lapsed,
        micros(change.delay),
        kept,
        change.failures,
        change.crashes,
        None if change.solo is None else int(change.solo),
        sorted(edge.sources),
    )


def _left_args(values: tuple[bytes | None, ...]) -> list[Argument]:
    found = zip(_LEFT, values, strict=True)
    return [arg for name, value in found if value is not None for arg in (name, value)]


def held_args(held: Sequence[Held]) -> list[Argument]:
    """Of extend.lua."""
    return [arg for each in held for arg in (each.id, each.token)]


def turn_args(
    limit: int,
    worker: str,
    piece: int | str,
    told: DeclaredLimits | None,
    sign_up: bytes,
    changes: Sequence[Change],
) -> list[Argument]:
    """Of turn.lua: what is one queue's own."""
    known = b"" if told is None else msgspec.msgpack.encode(told)
    return [limit, worker, piece, known, sign_up, *change_args(changes)]


def answers(digits: bytes) -> list[Answer]:
    """From turn.lua: of each change."""
    return [*map(_ANSWERS.__getitem__, digits)]


def claims(
    queue: str,
    now: int,
    ids: Sequence[str],
    runs: bytes,
    strings: Sequence[bytes],
    cut: Mapping[int, int] | None = None,
) -> list[Claim]:
    """From turn.lua and active.lua. `cut`: the whole lengths of strings that were cut, by place."""
    array = _ARRAY % len(ids).to_bytes(4) + runs
    payloads, created = _payloads(strings)
    found = [
        Claim(
            queue=queue,
            id=id,
            token=run.token,
            payload=payload,
            size=len(payload),
            failures=run.failures,
            crashes=run.crashes,
            solo=run.solo == 1,
            age=0.0 if added is None else (now - added) / 1e6,
            worker=run.worker,
        )
        for id, run, payload, added in zip(ids, _runs(array), payloads, created, strict=True)
    ]
    for at, size in (cut or {}).items():
        found[at] = msgspec.structs.replace(found[at], size=size - HEADER)
    return found


def _payloads(strings: Sequence[bytes]) -> tuple[Sequence[bytes], Sequence[int | None]]:
    """The payloads in the strings of several jobs, and when they were added, all at one time."""
    heads = [string[:HEADER] for string in strings]
    digits = b"".join(heads)
    # No head has more digits than that, so none has less.
    if digits.isdigit() and len(digits) == HEADER * len(heads):
        # One that begins with zeros, or is too large, is not of our time.
        with contextlib.suppress(ValueError):
            created = [each // _PRIORITIES for each in _integers(b"[%b]" % b",".join(heads))]
            return [string[HEADER:] for string in strings], created
    split = [*map(_split, strings)]
    return [payload for _, _, payload in split], [added for added, _, _ in split]


def _split(job: bytes | None) -> tuple[int | None, int, bytes]:
    """When a job was added, its priority and its payload, out of its string.

    What we did not write is all payload: one overwritten job must not stop its queue.
    """
    head = (job or b"")[:HEADER]
    if len(head) < HEADER or not head.isdigit():
        return None, 0, job or b""
    return int(head[:_DIGITS]), int(head[_DIGITS:]), (job or b"")[HEADER:]


def record(queue: str, row: Sequence[Any]) -> Record:
    """From get.lua and list.lua."""
    id, place, score, job, packed, fields, *named = row
    created, priority, payload = _split(job)
    run = _run(packed) if packed else _NO_RUN
    error, result, progress = (each or b"" for each in fields)
    place = State.WAITING if place == b"keyed" else place.decode()
    unique, holder, key, parents, cost = *named, *_NAMELESS[len(named) :]
    state = state_of(place)
    return Record(
        queue=queue,
        id=id.decode(),
        place=place,
        payload=payload,
        priority=priority,
        token=run.token,
        failures=run.failures,
        crashes=run.crashes,
        solo=run.solo == 1,
        created=seconds(created or 0),
        due=seconds(score) if state in {State.DELAYED, State.ACTIVE} else None,
        started=seconds(run.started) if run.started else None,
        finished=seconds(score) if state.terminal else None,
        worker=run.worker,
        error=error,
        result=result,
        progress=progress,
        unique=unique.decode(),
        holder=holder.decode(),
        key=key.decode(),
        cost=int(cost),
        waits_for=tuple(sorted(parent.decode() for parent in parents)),
    )


def mark(place: bytes, score: bytes, id: bytes) -> Mark:
    """From search.lua."""
    return Mark(place.decode(), float(score), id.decode())


def schedule(queue: str, row: Sequence[Any]) -> ScheduleRecord:
    """From schedules.lua."""
    name, spec, declared, seen, last, paused, by, former, former_by, *tally = row
    return ScheduleRecord(
        queue=queue,
        name=name.decode(),
        spec=spec,
        declared=float(declared),
        by=(by or b"").decode(),
        former=former or b"",
        former_by=(former_by or b"").decode(),
        seen=float(seen),
        last=float(last),
        paused=paused is not None,
        tally=_tally(*tally),
    )


def pause_note(by: str, reason: str) -> bytes:
    """For pause.lua."""
    return msgspec.json.encode(Pause(by=by, reason=reason))


def pause(value: bytes) -> Pause:
    """What pause.lua wrote; an older release wrote no more than a 1."""
    try:
        note = _pause(value[_DIGITS:])
        return msgspec.structs.replace(note, since=seconds(value[:_DIGITS]))
    except ValueError:
        return Pause()


limits = msgspec.msgpack.Decoder(DeclaredLimits).decode


def judged(packed: bytes, opens_in: int | None = None) -> tuple[DeclaredLimits, float | None]:
    """From turn.lua: the limits in force, and seconds until time alone lets more start."""
    return limits(packed), None if opens_in is None else seconds(opens_in)


def _tally(*row: Any) -> Tally:
    """A field that no instant has written yet is left out."""
    fired, job, before, replaced, skipped, reason, *counts = row
    known = {"fired": fired and float(fired), "job": job and job.decode()}
    known["before"] = before and before.decode()
    known["replaced"] = replaced and int(replaced)
    known |= {"skipped": skipped and float(skipped), "reason": reason and reason.decode()}
    counted: dict[str, int] = {
        each: int(count) for each, count in zip(REASONS, counts, strict=True) if count
    }
    return Tally(**{key: value for key, value in known.items() if value}, counts=counted)


def workers(reply: Sequence[Any]) -> list[WorkerRecord]:
    """From workers.lua: those that are not silent, by id."""
    now, *rest = reply
    return [
        WorkerRecord(
            id=id.decode(),
            info=value[48:],
            started=seconds(value[:16]),
            seen=seconds(value[16:32]),
        )
        for id, value in sorted(zip(rest[::2], rest[1::2], strict=True))
        if int(value[32:48]) > now
    ]


def period_arg(period: Period) -> bytes:
    """Of note.lua: what a process has counted, or nothing."""
    return msgspec.msgpack.encode(period) if period else b""


def periods(packed: Sequence[bytes]) -> list[Period]:
    """A list that note.lua keeps."""
    return [_period(each) for each in packed]
