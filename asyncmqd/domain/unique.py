"""The names of unique jobs. Of the jobs of a queue that have one name, one at most is live.

A store compares the digest of a name, and nothing else of it; people see the label.
"""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import msgspec

from asyncmqd.domain.codec import NotSerialisable, encode
from asyncmqd.domain.foreign_types import written
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.options import ALONE, UNIQUE_TEXT, shown
from asyncmqd.domain.states import state_of
from asyncmqd.domain.tasks import UNKNOWN, TaskDef, TaskOptions, refuse_together
from asyncmqd.domain.typed_keywords import OnConflict, UniqueWhile

OF_NAMES = ("unique_for", "unique_while", "on_conflict", "push_for")  # options about a name
_LONGEST_LABEL = 200  # characters
_PUSHES = 10  # delays after the first enqueue, to which a job is pushed at most

_encoder = msgspec.json.Encoder(enc_hook=written, order="deterministic")


def name_taken(id: str, holder: str) -> str:
    """Why a job cannot run again now."""
    return f"job {id}: its unique name is held by job {holder}"


class UniqueName(msgspec.Struct, frozen=True, gc=False):
    """The name of one job."""

    label: str  # for people
    digest: str  # SHA-256, in hexadecimal


class Unique(msgspec.Struct, frozen=True, gc=False):
    """How one job is unique."""

    name: UniqueName
    until_claimed: bool  # it holds its name while it waits or is delayed, and no longer
    seconds: float  # after the enqueue, for which the name is taken in any case
    on_conflict: OnConflict
    push_for: float  # seconds after the first enqueue to which the job is pushed at most


class Asked(Protocol):
    """What a producer says of one job; None leaves it to the task."""

    @property
    def unique(self) -> bool | str | None:
        """Its name as text, True for task and arguments, False for none."""

    @property
    def unique_while(self) -> UniqueWhile | None:
        """See `TaskOptions`."""

    @property
    def unique_for(self) -> float | None:
        """See `TaskOptions`."""

    @property
    def on_conflict(self) -> OnConflict | None:
        """See `TaskOptions`."""

    @property
    def push_for(self) -> float | None:
        """See `TaskOptions`."""

    @property
    def delay(self) -> float | None:
        """Seconds before the job may run."""


def is_unique(asked: Asked, declared: TaskOptions) -> bool:
    """Whether jobs have names at all, whatever their arguments are.

    Raises ValueError for `unique_for` and the like of jobs of which nothing says `unique`.
    """
    if asked.unique is not None:
        return bool(asked.unique)
    if declared.unique is None:
        _refuse_alone(asked)
    return bool(declared.unique)


def of_call(
    task: TaskDef, args: tuple[Any, ...], kwargs: dict[str, Any], asked: Asked
) -> Unique | None:
    """How a job of `task` is unique, None if it is not.

    Raises NotSerialisable for a value that JSON cannot carry, and ValueError for a name that is
    none.
    """
    if not is_unique(asked, task.options):
        return None
    if asked.unique is None:
        name = _declared(task, args, kwargs)
    elif isinstance(asked.unique, str):
        name = _of_text(asked.unique)
    else:
        name = _of_arguments(task, args, kwargs)
    return None if name is None else _unique(name, asked, task.options)


def of_unknown(task: str, asked: Asked, told: TaskOptions = UNKNOWN) -> Unique | None:
    """The same for a task that this process does not have: only a text can be the name."""
    if not is_unique(asked, told):
        return None
    if not isinstance(asked.unique, str):
        raise ValueError(
            f"unique: expected text, got {asked.unique}:"
            f" the parameters of task {task} are not known here"
        )
    return _unique(_of_text(asked.unique), asked, told)


def _refuse_alone(asked: Asked) -> None:
    """Elsewhere such an option alone makes a job unique; here it would do nothing, unnoticed."""
    for option in OF_NAMES:
        if getattr(asked, option):
            raise ValueError(f"{option}: {ALONE}")


def _unique(name: UniqueName, asked: Asked, declared: TaskOptions) -> Unique:
    on_conflict = asked.on_conflict or declared.on_conflict
    until = asked.unique_while or declared.unique_while
    delay = asked.delay or 0.0
    push_for = declared.push_for if asked.push_for is None else asked.push_for
    refuse_together(on_conflict, until, asked.push_for)
    if on_conflict == "push" and not delay:
        raise ValueError("on_conflict: expected a delay beside 'push', got none")
    if on_conflict == "push" and push_for is not None and push_for < delay:
        raise ValueError(f"push_for: expected at least the delay of {delay:g} s, got {push_for:g}")
    return Unique(
        name,
        until == "waiting",
        declared.unique_for if asked.unique_for is None else asked.unique_for,
        on_conflict,
        _PUSHES * delay if push_for is None else push_for,
    )


def _of_text(text: str) -> UniqueName:
    """The name that a producer gave: all tasks of the queue share such names."""
    return _name(text, "unique", "text", text)


def _declared(task: TaskDef, args: tuple[Any, ...], kwargs: dict[str, Any]) -> UniqueName | None:
    declared: Any = task.options.unique
    if declared is True:
        return _of_arguments(task, args, kwargs)
    value = task.rules["unique"].value(args, kwargs)
    if value is None:
        return None
    if isinstance(declared, str):
        where = f"task {task.name}: unique: {task.rules['unique'].source}"
        return _name(f"{declared}={shown(value)}", where, "parameter", task.name, declared, value)
    try:
        return _name(UNIQUE_TEXT.check(value), "unique", "function", task.name, value)
    except ValueError as error:
        raise ValueError(f"task {task.name}: {error} from its function") from None


def _of_arguments(task: TaskDef, args: tuple[Any, ...], kwargs: dict[str, Any]) -> UniqueName:
    where = f"task {task.name}: unique: arguments"
    return _name("its arguments", where, "arguments", task.name, task.bound(args, kwargs))


def _name(label: str, where: str, *parts: Any) -> UniqueName:
    """The name that these parts make: the same in every process, whatever the order of keys."""
    encode(parts[-1], where)  # which says where a value stands that cannot be carried
    try:
        canonical = _encoder.encode(parts)
    except (TypeError, ValueError) as error:  # a set of what cannot be sorted
        raise NotSerialisable(f"{where}: {error}") from None
    return UniqueName(label[:_LONGEST_LABEL], hashlib.sha256(canonical).hexdigest())


# ---------------------------------------------------------------------- what a newcomer may change


def is_replaceable(place: str, started: float | None) -> bool:
    """Whether a job may get the payload and the options of another: no run has seen its own."""
    return not state_of(place).terminal and started is None


def gets_successor(place: str, started: float | None, on_conflict: OnConflict) -> bool:
    """Whether a job that may not be replaced has another come after it, which may be."""
    is_live = not state_of(place).terminal
    return on_conflict == "again" and is_live and not is_replaceable(place, started)


def pushed_to(now: float, delay: float, created: float, push_for: float) -> float | None:
    """When a delayed job becomes due that is pushed; all in the same unit.

    None: at once, so that it waits from now on, behind the others of its priority.
    """
    due = min(now + delay, created + push_for)
    return due if due > now else None


def due_unblocked(now: float, due: float, created: float) -> float:
    """When a job becomes due that is blocked no more; all in the same unit.

    No later than its delay from now: if the clock was set back since its enqueue, nobody knows how
    much of the delay has passed, and one without a delay waits for nothing.
    """
    return min(due, now + max(0.0, due - created))


def is_pushed(holder: NewJob, job: NewJob) -> bool:
    """Whether the second of two jobs of one name moves the first, and puts it behind others."""
    return job.on_conflict == "push" and holder.delay > 0


def merged(holder: NewJob, job: NewJob) -> NewJob:
    """What is to be added of two jobs of one name that come in one call."""
    delay = holder.delay
    if is_pushed(holder, job):
        delay = pushed_to(0.0, job.delay, 0.0, job.push_for) or 0.0
    return msgspec.structs.replace(
        holder,
        payload=job.payload,
        priority=job.priority,
        delay=delay,
        cost=job.cost,
    )
