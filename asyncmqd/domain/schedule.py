"""Schedules: which instants an `every` or a `cron` names. Pure; the store's clock is passed in.

An instant is a Unix time in seconds. Daemons need not agree on anything but the clock: `every`
names the multiples of its period since the epoch, and `cron` names wall-clock times of a zone.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice, pairwise, takewhile
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from asyncmqd.domain.codec import NotSerialisable, encode, encode_spec
from asyncmqd.domain.cron import read
from asyncmqd.domain.cron_instants import cron_instants
from asyncmqd.domain.job import JobSpec
from asyncmqd.domain.options import (
    ARGS,
    CATCH_UP,
    COST,
    DEFAULT_PRIORITY,
    ENABLED,
    END,
    EVERY,
    JITTER,
    JOB_ID,
    KEY,
    KWARGS,
    MISSED,
    NAME,
    OF_SCHEDULE,
    OVERLAP,
    PRIORITY,
    RETRIES,
    START,
    TASK,
    TIMEOUT,
    TTL,
    Kind,
    Option,
    keep_checked,
)
from asyncmqd.domain.typed_keywords import Missed, Overlap

FORGOTTEN = 600.0  # seconds without a declaration after which no living daemon has a schedule
_LOOK_BACK = 60.0  # seconds that are searched first for the latest instants of a cron
_MOST_COUNTED = 1_000  # instants of a cron that are counted at once
_MOST_COMPARED = 100  # instants of a cron between which the least interval is looked for
_SOME_DAY = 1_767_225_600.0  # 1 January 2026
_HALF_A_MILLISECOND = 0.0005  # instants are whole milliseconds


class UnknownZone(ValueError):
    """The name of a time zone that this host does not know. Another one may."""


def check_cron(expression: str) -> str:
    """The expression, with single blanks. Raises ValueError with the reason if it cannot be kept.

    Five fields (minute first), six (second first) or a word such as @daily. `R` (random) is
    refused: every daemon would have another one.
    """
    if not isinstance(expression, str):
        raise ValueError(f"expected a cron expression, got {type(expression).__name__}")
    read(expression)
    return " ".join(expression.split())


def check_timezone(name: str) -> str:
    """The name itself. Raises ValueError unless it is an IANA time zone that this host knows."""
    _zone(name)
    return name


def _zone(name: str) -> ZoneInfo:
    problem = f"expected a time zone like 'Europe/Lisbon', got {name!r}"
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        raise UnknownZone(problem) from None
    except (ValueError, TypeError, OSError):
        raise ValueError(problem) from None


def _of_text(read: Callable[[str], str]) -> Callable[[Any], str]:
    def checked(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError
        return read(value)

    return checked


def _of_json(option: Option) -> Kind:
    """Arguments that jobs can be enqueued with."""

    def checked(value: Any) -> Any:
        kept = option.kind.read(value)
        try:
            encode(kept, option.name)
        except NotSerialisable as error:
            raise ValueError(f"expected values that JSON can carry, got {error}") from None
        return kept

    return Kind(option.kind.expected, checked)


_CRON = Kind("a cron expression like '0 3 * * *'", _of_text(check_cron))
_TIMEZONE = Kind("a time zone like 'Europe/Lisbon'", _of_text(check_timezone))
_ARGS, _KWARGS = _of_json(ARGS), _of_json(KWARGS)


class Repeatable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A schedule: one `[[queues.NAME.repeatables]]`, whose keys its fields are."""

    task: Annotated[str, TASK.kind, "The registered name of the task to enqueue."]
    name: Annotated[
        str, NAME.kind, "Tells schedules of one queue apart; empty: the task's name."
    ] = ""
    every: Annotated[float | None, EVERY.kind, "The period. Set either `every` or `cron`."] = None
    cron: Annotated[
        str | None, _CRON, "Five fields, six with seconds first, or a word like `@daily`."
    ] = None
    timezone: Annotated[str, _TIMEZONE, "The IANA time zone in which `cron` is read."] = "UTC"
    args: Annotated[list[Any], _ARGS, "Positional arguments of each job."] = msgspec.field(
        default_factory=list
    )
    kwargs: Annotated[dict[str, Any], _KWARGS, "Keyword arguments of each job."] = msgspec.field(
        default_factory=dict
    )
    priority: Annotated[
        int | None, PRIORITY.kind, "Lower numbers run first. Unset: the task's priority."
    ] = None
    retries: Annotated[
        int | None,
        RETRIES.kind,
        "Runs after the first one. Unset: the task's number, then the queue's.",
    ] = None
    timeout: Annotated[
        float | None,
        TIMEOUT.kind,
        "The time limit of a run; 0: none. Unset: the task's limit, then the queue's.",
    ] = None
    ttl: Annotated[
        float | None,
        TTL.kind,
        "A job that did not start in this time expires. Unset: the task's ttl.",
    ] = None
    key: Annotated[
        str | None,
        KEY.kind,
        "Whose the jobs are: a customer's, say. Unset: the task's key.",
    ] = None
    cost: Annotated[
        int | None,
        COST.kind,
        "Tokens that a start of each job takes of every rate limit. Unset: the task's cost.",
    ] = None
    missed: Annotated[
        Missed,
        MISSED.kind,
        "What fires of the instants at which no daemon ran: none, the latest, or all (`skip`, "
        "`once`, `all`).",
    ] = "once"
    catch_up: Annotated[
        float, CATCH_UP.kind, "An instant that was missed for longer does not fire."
    ] = 3_600.0
    overlap: Annotated[
        Overlap,
        OVERLAP.kind,
        "What an instant does while the last job of the schedule has not ended: it enqueues "
        "another, nothing, one that waits until the last has ended, or one in the place of the "
        "last, which is cancelled (`allow`, `skip`, `queue`, `replace`).",
    ] = "allow"
    enabled: Annotated[bool, ENABLED.kind, "`false`: the schedule does not fire."] = True
    start: Annotated[str | None, START.kind, "No instant before this moment fires."] = None
    end: Annotated[str | None, END.kind, "No instant after this moment fires."] = None
    jitter: Annotated[
        float,
        JITTER.kind,
        "Each job becomes due up to so much after its instant: an amount that is always the same "
        "for an instant, in all daemons.",
    ] = 0.0

    @property
    def identity(self) -> str:
        """What tells this schedule from the others of its queue."""
        return self.name or self.task


_LONGEST_INSTANT = 9_999_999_999.0  # Unix seconds; one with as many digits as there will be


def check(repeatable: Repeatable) -> Repeatable:
    """The schedule, with periods in seconds and single blanks in `cron`.

    Every schedule comes this way, be it of a file, of code or of the store. Raises ValueError
    naming the key that is wrong.
    """
    repeatable = keys_kept(repeatable)
    if (repeatable.every is None) == (repeatable.cron is None):
        raise ValueError(f"{repeatable.identity}: expected either every or cron")
    if repeatable.every is None:
        cron = _named("cron", check_cron, repeatable.cron or "")
        _named("timezone", check_timezone, repeatable.timezone)
        repeatable = msgspec.structs.replace(repeatable, cron=cron)
    for key, problem in conflicts(repeatable):
        raise ValueError(f"{key}: {problem}")
    return repeatable


def _named(key: str, check: Callable[[str], str], value: str) -> str:
    try:
        return check(value)
    except ValueError as error:  # or UnknownZone, which says more
        raise type(error)(f"{key}: {error}") from None


def keys_kept(repeatable: Repeatable) -> Repeatable:
    """The schedule with each key as it is kept. Raises ValueError naming a key that is wrong."""
    repeatable = msgspec.structs.replace(repeatable)
    keep_checked(repeatable, OF_SCHEDULE)
    return repeatable


def conflicts(repeatable: Repeatable) -> Iterator[tuple[str, str]]:
    """Keys that are right alone and not together: each with "expected X, got Y"."""
    start, end = repeatable.start, repeatable.end
    if start is not None and end is not None:
        if _unix(start) >= _unix(end):
            yield "end", f"expected a moment after start, {start}, got {end}"
        elif math.isinf(next_instant(msgspec.structs.replace(repeatable, enabled=True), 0.0)):
            yield "end", "expected an instant between start and end, got none"
    if repeatable.jitter:
        least = _least_interval(repeatable)
        if repeatable.jitter >= least:
            got = f"{repeatable.jitter:g}"
            yield (
                "jitter",
                f"expected less than the {least:g} s from one instant to the next, got {got}",
            )


def _least_interval(repeatable: Repeatable) -> float:
    """Of a cron among many instants, from a day on that is the same for all who ask."""
    if repeatable.every is not None:
        return repeatable.every
    found = list(islice(_of_cron(repeatable, _SOME_DAY), _MOST_COMPARED))
    return min((after - before for before, after in pairwise(found)), default=math.inf)


def check_size(repeatable: Repeatable, payload_limit: int) -> Repeatable:
    """The schedule itself, if a store that takes so many bytes takes its jobs.

    Raises PayloadTooLarge, which is a ValueError, and NotSerialisable.
    """
    encode_spec(job_of(repeatable, _LONGEST_INSTANT), payload_limit)
    return repeatable


def job_of(repeatable: Repeatable, instant: float) -> JobSpec:
    """The job of an instant."""
    return JobSpec(
        id=_job_id(repeatable.identity, instant),
        task=repeatable.task,
        args=repeatable.args,
        kwargs=repeatable.kwargs,
        priority=DEFAULT_PRIORITY if repeatable.priority is None else repeatable.priority,
        retries=repeatable.retries,
        timeout=repeatable.timeout,
        ttl=repeatable.ttl,
        key=repeatable.key,
        cost=None if repeatable.cost == 1 else repeatable.cost,
        schedule=repeatable.identity,
        instant=datetime.fromtimestamp(instant, UTC),
    )


def jitter_of(repeatable: Repeatable, queue: str, instant: float) -> float:
    """Seconds from an instant until its job is due: below `jitter`, and alike for all daemons."""
    text = f"{queue}/{repeatable.identity}@{round(instant * 1000)}"
    share = int.from_bytes(sha256(text.encode()).digest()[:8]) / 2**64
    return repeatable.jitter * share


def _job_id(key: str, instant: float) -> str:
    """An id that all daemons make alike; names may hold what ids may not."""
    id = f"{key}@{round(instant * 1000)}"
    if JOB_ID.fullmatch(id):
        return id
    return f"{sha256(key.encode()).hexdigest()[:32]}@{round(instant * 1000)}"


def decode_schedule(spec: bytes) -> Repeatable:
    """The schedule that a store keeps. Raises ValueError for anything that `check` would refuse.

    UnknownZone, which is one, says that it may be sound where it comes from.
    """
    try:
        return check(msgspec.json.decode(spec, type=Repeatable))
    except RecursionError:
        raise ValueError("expected a schedule, got endless nesting") from None


def next_instant(repeatable: Repeatable, after: float) -> float:
    """The first instant later than `after`; infinity if there is none."""
    return next(instants(repeatable, after), math.inf)


def upcoming(repeatable: Repeatable, after: float, count: int) -> list[float]:
    """The first `count` instants later than `after`; fewer if there are no more."""
    return list(islice(instants(repeatable, after), count))


def instants(repeatable: Repeatable, after: float) -> Iterator[float]:
    """The instants later than `after`, in order; a schedule that is not enabled has none."""
    after, until = _between(repeatable, after, math.inf)
    if after < until:
        named = _of_cron if repeatable.every is None else _multiples
        yield from takewhile(lambda each: each <= until, named(repeatable, after))


def _between(repeatable: Repeatable, after: float, until: float) -> tuple[float, float]:
    """These bounds, made narrower by what the schedule says: after the first, up to the second."""
    if not repeatable.enabled:
        return math.inf, -math.inf
    if repeatable.start is not None:
        after = max(after, _unix(repeatable.start) - _HALF_A_MILLISECOND)
    if repeatable.end is not None:
        until = min(until, _unix(repeatable.end))
    return after, until


def _unix(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _of_cron(repeatable: Repeatable, after: float) -> Iterator[float]:
    return cron_instants(repeatable.cron or "", _zone(repeatable.timezone), after)


def _multiples(repeatable: Repeatable, after: float) -> Iterator[float]:
    assert repeatable.every is not None
    while True:
        after = _multiple(repeatable.every, _number(repeatable.every, after) + 1)
        yield after


def local_time(repeatable: Repeatable, instant: float) -> str:
    """The instant on the clock of the schedule's time zone: ISO 8601, with the offset from UTC."""
    moment = datetime.fromtimestamp(instant, _zone(repeatable.timezone))
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")


def latest_instants(repeatable: Repeatable, after: float, now: float, most: int) -> list[float]:
    """The latest instants in (after, now], at most so many, in order."""
    after, now = _between(repeatable, after, now)
    if now <= after:
        return []
    if repeatable.every is not None:
        last = _number(repeatable.every, now)
        first = max(_number(repeatable.every, after), last - most) + 1
        return [_multiple(repeatable.every, number) for number in range(first, last + 1)]
    back = _LOOK_BACK  # so that not every instant of a long downtime is looked at
    while True:
        start = max(after, now - back)
        found = deque(takewhile(lambda each: each <= now, instants(repeatable, start)), most)
        if len(found) == most or start == after:
            return list(found)
        back *= 4


def count_instants(repeatable: Repeatable, after: float, until: float) -> int:
    """How many instants are in (after, until]; of a cron at most a thousand are counted."""
    after, until = _between(repeatable, after, until)
    if until <= after:
        return 0
    if repeatable.every is not None:
        return _number(repeatable.every, until) - _number(repeatable.every, after)
    found = takewhile(lambda each: each <= until, instants(repeatable, after))
    return sum(1 for _ in islice(found, _MOST_COUNTED))


def _number(period: float, moment: float) -> int:
    """Which multiple of the period, in whole milliseconds, is the latest up to that moment."""
    number = math.floor(moment / period + 1e-9)
    if _multiple(period, number + 1) <= moment:
        return number + 1
    return number if _multiple(period, number) <= moment else number - 1


def _multiple(period: float, count: int) -> float:
    return round(count * period, 3)  # stores keep milliseconds
