"""What is wrong with a queue, or with a daemon: all of it, the worst first.

Pure functions: of the facts that a store tells, and of what a daemon knows of itself. `queue why`,
`asyncmqd status`, the status line of systemd and /readyz print what they find.
"""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from asyncmqd.admin.claim_obstacles import (
    LOG,
    OF_LIMITS,
    OF_PROCESSES,
    RELOAD,
    RESTART,
    START,
    Judge,
    Reason,
    first,
    lost,
    paused,
    task_unknown,
)
from asyncmqd.admin.facts import Facts, Process
from asyncmqd.admin.time_format import rfc3339
from asyncmqd.backends.base import ScheduleRecord
from asyncmqd.domain import clock
from asyncmqd.domain.job import Failure, Record
from asyncmqd.domain.safe_text import counted
from asyncmqd.domain.schedule import FORGOTTEN, decode_schedule, jitter_of, next_instant
from asyncmqd.domain.selection import error_of, masked
from asyncmqd.domain.settle import decode_failure
from asyncmqd.domain.states import State

LATE = 5.0  # seconds that a job may wait for a slot or a limit, before its daemon speaks of it
OVERDUE = 5.0  # seconds after which an instant that no daemon has fired is late
FAILING_FOR = 900.0  # seconds: of older failures nobody is told
LEAST_FAILURES = 3  # below that a queue is not failing


# ---------------------------------------------------------------------- of a queue


def of_queue(facts: Facts) -> list[Reason]:
    """All that is wrong with a queue, the worst first; empty if nothing is."""
    found = [paused(facts), first(facts, OF_PROCESSES)]
    if facts.claiming and facts.counts.waiting > facts.counts.parked:
        found += [judge(facts) for judge in OF_LIMITS]
    found += [judge(facts) for judge in _OTHERS]
    return [each for each in found if each is not None]


def _parked(facts: Facts) -> Reason | None:
    """Jobs wait for a daemon that knows their tasks."""
    tasks = facts.outlook.parked_tasks
    if not tasks:
        return None
    since = None if facts.parked is None else rfc3339(facts.parked.created)
    return msgspec.structs.replace(task_unknown(facts, tasks[0]), since=since)


def _some_lost(facts: Facts) -> Reason | None:
    return lost(facts, facts.active)


def _failing(facts: Facts) -> Reason | None:
    """At least half of what ended lately has failed, or is to be tried again."""
    failed = [each for each in (*facts.ended, *facts.delayed) if _failed_lately(facts, each)]
    if len(failed) < LEAST_FAILURES:
        return None
    succeeded = [_ended(each) for each in facts.ended if each.state is State.COMPLETED]
    begin = min(map(_ended, failed))
    others = sum(moment >= begin for moment in succeeded)
    if others > len(failed):
        return None
    newest = max(failed, key=_ended)
    last = max(succeeded, default=0.0)
    since = min((_ended(each) for each in failed if _ended(each) > last), default=begin)
    error, alike = _error(newest), Counter(map(_kind, failed))[_kind(newest)]
    runs = f"{len(failed)} of the last {len(failed) + others} runs failed"
    return Reason(
        name="failing",
        sentence=f"{runs}, {alike} of them with {error.type}: {error.message}",
        since=rfc3339(since),
        changes="its tasks succeed again; what has failed for good is run by `job retry`",
        command=f"asyncmq job show {shlex.quote(newest.id)} --queue {shlex.quote(facts.queue)}",
    )


def _failed_lately(facts: Facts, record: Record) -> bool:
    failed = record.state is State.FAILED or (record.state is State.DELAYED and record.failures)
    return bool(failed) and facts.now - _ended(record) < FAILING_FOR


def _ended(record: Record) -> float:
    """When it ended; of one that is tried again, when its last run began."""
    return record.finished or record.started or record.created


def _error(record: Record) -> Failure:
    return decode_failure(record.error) or Failure("Unknown", "its error was not kept")


def _kind(record: Record) -> str:
    """Equal for errors that differ by numbers only."""
    return masked(error_of(record))


def _schedule_late(facts: Facts) -> Reason | None:
    """An instant has passed, and no daemon has fired it."""
    found = ((overdue(each, facts.now), each) for each in facts.schedules)
    late = [(instant, each) for instant, each in found if instant is not None]
    if not late:
        return None
    instant, record = min(late, key=lambda each: each[0])
    more = f", and {counted(len(late) - 1, 'schedule')} more" if len(late) > 1 else ""
    return Reason(
        name="schedule_late",
        sentence=f"Schedule {record.name} is late: its instant {rfc3339(instant)} was not"
        f" fired; {_who_declares(facts, record)}{more}.",
        since=rfc3339(instant),
        changes=f"a daemon that has the schedule in [queues.{facts.queue}] reaches the store",
        command="asyncmqd status" if facts.now - record.seen <= FORGOTTEN else RELOAD,
    )


def overdue(record: ScheduleRecord, now: float) -> float | None:
    """The first instant that should have fired; None: there is none, or nobody can tell."""
    if record.paused or not record.seen:
        return None
    try:
        spec = decode_schedule(record.spec)
        instant = next_instant(spec, record.since)
        due = instant + (jitter_of(spec, record.queue, instant) if spec.jitter else 0.0)
    except (ValueError, OverflowError):  # a zone that this host does not know, say
        return None
    return instant if not math.isinf(instant) and due + OVERDUE < now else None


def _who_declares(facts: Facts, record: ScheduleRecord) -> str:
    living = {each.id for each in facts.processes}
    by = f" {record.by}" if record.by else ""
    seen = rfc3339(record.seen)
    if record.by and record.by not in living:
        return f"the daemon that declared it ({record.by}) is gone, last seen at {seen}"
    return f"a daemon{by} last declared it at {seen}"


_OTHERS: tuple[Judge, ...] = (_parked, _some_lost, _failing, _schedule_late)


# ---------------------------------------------------------------------- of a daemon


class Cause(Reason, frozen=True, kw_only=True):
    """Something that is wrong, and where."""

    queue: str | None = None  # None: with the daemon itself

    @property
    def line(self) -> str:
        """For a person: what, since when and until when, and what to do."""
        said = f"{self.queue}: {self.sentence}" if self.queue else self.sentence
        for word, moment in (("since", self.since), ("until", self.until)):
            if moment and moment not in said:
                said = f"{said.rstrip('.')}, {word} {moment}."
        return f"{said} [{self.command}]" if self.command else said


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """What a daemon knows of itself, without asking its store."""

    id: str = ""  # of its process, as the store lists it
    phase: str = "ready"  # or starting, draining
    left: str = ""  # of a drain: what is not done yet
    restarting: str = ""  # why it ends, to be started anew by the service manager
    restarting_since: float | None = None  # Unix time
    store_error: str = ""
    store_since: float | None = None  # Unix time
    refusal: str = ""  # of the last reload
    refused_since: float | None = None  # Unix time
    crashed: Sequence[str] = ()  # duties, with the error of each
    stuck: Sequence[str] = ()  # queues without progress
    absent: Sequence[int] = ()  # child processes that are being started, or started anew
    unreadable: Sequence[str] = ()  # schedules, with the reason of each
    held_back: Mapping[str, str] = {}  # queues that claim less than they have slots for, and why


def of_queues(queues: Sequence[Facts]) -> list[Cause]:
    """All that is wrong with the queues of a daemon, the worst first, for `of_daemon`."""
    return _of_queues(
        queues, lambda facts, name: name not in _KNOWN_BETTER and _is_unusual(facts, name)
    )


def of_store(queues: Sequence[Facts]) -> list[Cause]:
    """The same for one who knows of daemons only what they told the store."""
    found = _of_queues(
        queues,
        lambda facts, name: _has_work(facts) if name in _KNOWN_BETTER else _is_unusual(facts, name),
    )
    found = [each for each in found if each.name != "degraded"]  # of a queue: its daemon tells it
    found += _of_processes({each.id: each for facts in queues for each in facts.processes}.values())
    nobody = not any(facts.processes for facts in queues)
    if nobody and not any(each.name == "no_daemon" for each in found):
        changes = "a daemon with this store in its configuration starts"
        sentence = "No living daemon uses this store."
        found.append(Cause(name="no_daemon", sentence=sentence, changes=changes, command=START))
    return sorted(found, key=_rank)


def _of_processes(processes: Iterable[Process]) -> Iterator[Cause]:
    """What daemons say of themselves, in the words that each has for it when it is asked."""
    told = set()
    for each in processes:
        said = each.said
        if said.degraded and said.degraded not in told:  # others of the same store say the same
            told.add(said.degraded)
            yield _degraded(said.degraded, said.degraded_since)
        if said.restarting:
            yield _restart(each.id, said.restarting, said.restarting_since)


def _of_queues(queues: Sequence[Facts], tells: Callable[[Facts, str], bool]) -> list[Cause]:
    found = [
        (_rank(reason), -facts.waits, Cause(**msgspec.structs.asdict(reason), queue=facts.queue))
        for facts in queues
        for reason in of_queue(facts)
        if tells(facts, reason.name)
    ]
    return [cause for *_, cause in sorted(found, key=lambda each: each[:2])]


def _is_unusual(facts: Facts, name: str) -> bool:
    return name in _AT_ONCE or facts.waits >= LATE


def _has_work(facts: Facts) -> bool:
    counts = facts.counts
    return bool(counts.waiting or counts.delayed or counts.blocked or counts.active)


class Noticed:
    """Since when each cause is there that does not know it: since somebody first looked."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str | None, str], str | None] = {}

    def dated(self, causes: Iterable[Cause]) -> list[Cause]:
        """These are all causes of now: who comes back begins anew."""
        found = [
            each if each.since or each.name not in _UNDATED else self._dated(each)
            for each in causes
        ]
        self._since = {_identity(each): each.since for each in found}
        return found

    def _dated(self, cause: Cause) -> Cause:
        since = self._since.get(_identity(cause)) or rfc3339(clock.wall())
        return msgspec.structs.replace(cause, since=since)


def _identity(cause: Cause) -> tuple[str, str | None, str]:
    return cause.name, cause.queue, cause.sentence


def of_daemon(
    own: Own, of_queues: Sequence[Cause] = (), noticed: Noticed | None = None
) -> list[Cause]:
    """All that is wrong with a daemon and its queues, the worst first; empty if nothing is."""
    itself = (noticed or Noticed()).dated(_of_itself(own))
    said = {(each.queue, each.sentence) for each in itself}  # the store has heard it from it, too
    others = [each for each in of_queues if (each.queue, each.sentence) not in said]
    return sorted([*itself, *others], key=_rank)


def _of_itself(own: Own) -> Iterator[Cause]:
    if own.store_error:
        yield _degraded(own.store_error, own.store_since)
    yield from _of_phase(own)
    for queue in own.stuck:
        sentence = "its worker makes no progress"
        yield Cause(name="stuck", sentence=sentence, queue=queue, command=RESTART)
    for each in own.crashed:
        yield Cause(name="crashed", sentence=f"crashed: {each}", command=LOG)
    if own.absent and own.phase == "ready":
        yield Cause(
            name="process_down",
            sentence=f"process {', '.join(map(str, own.absent))} is being started anew",
            changes="it has imported the application",
            command=LOG,
        )
    for queue, why in own.held_back.items():
        sentence = f"held back: {queue}: {why}"
        changes = "the host gives threads and processes again"
        yield Cause(name="held_back", sentence=sentence, changes=changes, command=LOG)
    for each in own.unreadable:
        yield Cause(name="schedule_unreadable", sentence=f"schedule {each}", command=RELOAD)
    if own.refusal:
        yield Cause(
            name="reload_refused",
            sentence=own.refusal,
            since=rfc3339(own.refused_since),
            changes="the files are right, and somebody reloads",
            command="asyncmqd check",
        )


def _of_phase(own: Own) -> Iterator[Cause]:
    if own.restarting:
        yield _restart(own.id, own.restarting, own.restarting_since)
    elif own.phase == "draining":
        yield Cause(name="draining", sentence=own.left, changes="it ends")
    elif own.phase == "starting" and not own.store_error:
        yield Cause(name="starting", sentence="starting", changes="the application is imported")


def _degraded(error: str, since: float | None) -> Cause:
    return Cause(
        name="degraded",
        sentence=f"degraded: {error}",
        since=rfc3339(since),
        changes="the store answers, and keeps jobs safe",
        command="asyncmq store info",
    )


def _restart(id: str, reason: str, since: float | None) -> Cause:
    return Cause(
        name="restarting",
        sentence=f"{id} is restarting: {reason}",
        since=rfc3339(since),
        changes="its running jobs have ended, and the service manager starts it anew",
        command=LOG,
    )


_AT_ONCE = frozenset(
    {
        "paused",
        "isolation",
        "parked",
        "worker_lost",
        "failing",
        "schedule_late",
    }
)
"""What is never usual. Of slots and limits the daemon speaks once a job has waited for `LATE`."""

_UNDATED = frozenset({"stuck", "crashed", "process_down", "held_back", "schedule_unreadable"})
_KNOWN_BETTER = frozenset({"no_daemon", "daemons_silent", "degraded", "stopping", "held_back"})
"""What heartbeats say, some seconds late, of the very daemon that asks."""

_ORDER = {
    name: rank
    for rank, name in enumerate(
        (
            "degraded",
            "restarting",
            "draining",
            "starting",
            "stopping",
            "no_daemon",
            "daemons_silent",
            "stuck",
            "crashed",
            "process_down",
            "held_back",
            "paused",
            "",  # the limits that have no place of their own
            "slots_busy",
            "daemon_slots_busy",
            "isolation",
            "parked",
            "worker_lost",
            "failing",
            "schedule_late",
            "schedule_unreadable",
            "reload_refused",
            "key_limits",  # which do what they are for
        )
    )
}
"""The names of causes, the worst first."""


def _rank(cause: Reason) -> int:
    return _ORDER.get(cause.name, _ORDER[""])
