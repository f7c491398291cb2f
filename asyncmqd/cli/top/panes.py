"""The tables of `asyncmq top`: their columns, their order, and which rows they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from asyncmqd.admin.overview import DaemonLine, JobLine, Overview, QueueLine
from asyncmqd.domain.states import State

PaneName = Literal["queues", "daemons", "jobs"]
Row = QueueLine | DaemonLine | JobLine
Key = tuple[str, ...]
"""What a row is known by, wherever it stands at the next look."""


class Column(msgspec.Struct, frozen=True):
    """A column of a table."""

    title: str
    width: int  # cells; of a flexible one its part of what is left, as a negative number
    text: Callable[[Any], str]
    value: Callable[[Any], Any] | None = None  # by which it can be sorted; the greatest come first
    left: bool = False  # where its text stands; that of flexible columns always does
    spare: int = 0  # where there is no room, those with the greatest number go first; 0: never


class Pane(msgspec.Struct, frozen=True):
    """A table."""

    name: PaneName
    title: str
    key: Callable[[Any], Key]
    filtered: Callable[[Any], str]  # the text in which a filter looks
    columns: tuple[Column, ...]
    by: str  # the title of the column that it is sorted by at first

    @property
    def sortable(self) -> list[str]:
        """The titles of the columns by which it can be sorted."""
        return [each.title for each in self.columns if each.value]


def number(value: int) -> str:
    """A number in at most six characters."""
    for size, unit in ((10_000_000_000, "G"), (10_000_000, "M"), (100_000, "k")):
        if value >= size:
            return f"{value // (size // (100 if unit == 'k' else 10))}{unit}"
    return str(value)


def span(seconds: float | None) -> str:
    """A duration in at most five characters."""
    if seconds is None:
        return "-"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{min(seconds // size, 9_999):.0f}{unit}"
    return f"{seconds:.0f}s"


def rate(value: float | None) -> str:
    """Jobs in a second."""
    if value is None:
        return "-"
    return number(round(value)) if value >= 10 else f"{value:.1f}"


def of_slots(active: int, slots: int) -> str:
    """How many are used."""
    return f"{number(active)}/{number(slots)}" if slots else number(active)


def _condition(queue: QueueLine) -> str:
    if queue.pause is not None:
        return "paused"
    return "" if queue.daemons else "unserved"


def _negative(text: str) -> tuple[int, ...]:
    """So that, the greatest first, texts come in the order of the alphabet."""
    return (*(-ord(char) for char in text), 1)


QUEUES = Pane(
    "queues",
    "QUEUES",
    lambda queue: (queue.name,),
    lambda queue: queue.name,
    (
        Column("NAME", -1, lambda queue: queue.name, lambda queue: _negative(queue.name)),
        Column("", 8, _condition, left=True),
        Column("WAITING", 7, lambda queue: number(queue.waiting), lambda queue: queue.waiting),
        Column(
            "DELAYED",
            7,
            lambda queue: number(queue.delayed),
            lambda queue: queue.delayed,
            spare=4,
        ),
        Column(
            "ACTIVE",
            9,
            lambda queue: of_slots(queue.active, queue.slots),
            lambda queue: queue.active,
            spare=1,
        ),
        Column(
            "FAILED", 6, lambda queue: number(queue.failed), lambda queue: queue.failed, spare=2
        ),
        Column("OLDEST", 6, lambda queue: span(queue.oldest), lambda queue: queue.oldest or 0.0),
        Column(
            "RATE/S", 6, lambda queue: rate(queue.rate), lambda queue: queue.rate or 0.0, spare=3
        ),
    ),
    "OLDEST",
)
DAEMONS = Pane(
    "daemons",
    "DAEMONS",
    lambda daemon: (daemon.id,),
    lambda daemon: f"{daemon.id} {daemon.host}",
    (
        Column("NAME", -3, lambda daemon: daemon.id, lambda daemon: _negative(daemon.id)),
        Column(
            "HOST", -2, lambda daemon: daemon.host, lambda daemon: _negative(daemon.host), spare=2
        ),
        Column(
            "ACTIVE",
            9,
            lambda daemon: of_slots(daemon.running, daemon.slots),
            lambda daemon: daemon.running,
        ),
        Column("UP", 5, lambda daemon: span(daemon.up), lambda daemon: daemon.up, spare=1),
        Column("SEEN", 5, lambda daemon: span(daemon.silent), lambda daemon: daemon.silent),
        Column("", -2, lambda daemon: daemon.degraded or ",".join(daemon.queues), spare=3),
    ),
    "NAME",
)
_TIMES = {State.DELAYED: "IN", State.ACTIVE: "RUNS", State.WAITING: "WAITS", State.BLOCKED: "WAITS"}

_NEAREST_FIRST = {each for each in State if each.terminal or each is State.DELAYED}


def _jobs(state: State) -> Pane:
    failed = (Column("ERROR", -2, lambda job: job.error or "", spare=2),)
    time = _TIMES.get(state, "AGO")
    sign = -1 if state in _NEAREST_FIRST else 1
    return Pane(
        "jobs",
        f"{state} JOBS".upper(),
        lambda job: (job.id, job.queue),
        lambda job: f"{job.id} {job.queue} {job.task} {job.key} {job.error}",
        (
            Column("ID", 22, lambda job: job.id, lambda job: _negative(job.id), left=True),
            Column("QUEUE", -1, lambda job: job.queue, lambda job: _negative(job.queue), spare=1),
            Column("TASK", -2, lambda job: job.task or "", lambda job: _negative(job.task or "")),
            *(failed if state in {State.FAILED, State.DELAYED} else ()),
            Column("TRY", 3, lambda job: number(job.attempt), lambda job: job.attempt, spare=3),
            Column(time, 5, lambda job: span(job.seconds), lambda job: sign * job.seconds),
        ),
        time,
    )


JOBS: Mapping[State, Pane] = {state: _jobs(state) for state in State}
ORDER: tuple[PaneName, ...] = ("queues", "daemons", "jobs")


class Order(msgspec.Struct, frozen=True):
    """By which column a pane is sorted, if not as at first."""

    by: str = ""
    reverse: bool = False


def pane(name: PaneName, state: State) -> Pane:
    """The pane of that name; of jobs in that state."""
    return JOBS[state] if name == "jobs" else QUEUES if name == "queues" else DAEMONS


def rows(overview: Overview, pane: Pane, order: Order, filter: str) -> list[Row]:
    """The rows that a pane shows, in order."""
    listed: Sequence[Any] = getattr(overview, pane.name)
    found = [each for each in listed if filter.lower() in pane.filtered(each).lower()]
    title = order.by if order.by in pane.sortable else pane.by
    value = next(each.value for each in pane.columns if each.title == title and each.value)
    found.sort(key=pane.key)
    found.sort(key=value, reverse=not order.reverse)
    return found
