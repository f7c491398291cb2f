"""What a store knows beside jobs: pauses, schedules, and the processes that live."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from asyncmqd.domain.job import NewJob
from asyncmqd.domain.schedule_counts import Fired, Passed, Tally
from asyncmqd.domain.settle import ORPHAN_RETENTION
from asyncmqd.domain.typed_keywords import Overlap


class ScheduleRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as the store has it."""

    queue: str
    name: str
    spec: bytes  # an encoded Repeatable
    declared: float  # when this spec was declared
    by: str = ""  # the process that did; empty: an older release, which did not say
    former: bytes = b""  # the spec that this one replaced, if it did
    former_by: str = ""  # the process that had declared that
    seen: float  # when a living daemon last declared it; 0: the last to do so took it back
    last: float  # the latest instant that is done: it fired or was skipped; instants only go up
    paused: bool = False
    tally: Tally = Tally()

    @property
    def since(self) -> float:
        """No instant up to this one fires any more: a changed schedule begins again."""
        return max(self.last, self.declared)


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A living process that serves queues."""

    id: str
    info: bytes  # JSON: host, pid, queues and what else the process tells about itself
    started: float
    seen: float


class Registry(abc.ABC):
    """Small records that all processes on a store share."""

    @abc.abstractmethod
    async def pause(self, queue: str, paused: bool, by: str = "", reason: str = "") -> None:
        """Stop or resume claiming, for all daemons, at once.

        `Outlook.pause` tells who paused a queue last, when and why. Waiting workers are woken.
        """

    @abc.abstractmethod
    async def declare_all(
        self, declared: Sequence[tuple[str, Mapping[str, bytes]]], fresh: bool, by: str = ""
    ) -> float:
        """Say that a living daemon has these schedules (name to spec) of queues; the store's now.

        `by` is the id of its process.

        What they noted in the store's future, before its clock was set back, becomes now: see
        `domain.store_clock.believed`.

        A schedule that is new starts at now. With `fresh` (start or reload) a differing spec
        replaces the stored one, which is kept as `former`; without, only `seen` is brought up to
        date.
        """

    async def declare(
        self, queue: str, specs: Mapping[str, bytes], fresh: bool, by: str = ""
    ) -> float:
        """`declare_all` for one queue."""
        return await self.declare_all([(queue, specs)], fresh, by)

    @abc.abstractmethod
    async def withdraw(self, names: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Say that a daemon declares these schedules of queues no more: `seen` is 0 from now on.

        Other daemons that declare one bring it up to date again.
        """

    @abc.abstractmethod
    async def schedules(self, *queues: str) -> list[ScheduleRecord]:
        """The schedules of queues, in their order and by name."""

    @abc.abstractmethod
    async def fire(
        self,
        queue: str,
        name: str,
        instant: float,
        job: NewJob | None,
        passed: Passed | None = None,
        overlap: Overlap = "allow",
        keep: float = ORPHAN_RETENTION,
    ) -> Fired:
        """Add the job of an instant, once for ever; None marks the instant as skipped.

        `passed` are instants that are skipped with it: they are counted. `overlap` says what the
        instant does while the last job that the schedule added is live: it is skipped and counted
        as overlap ("skip"), or its job is blocked until that one has ended ("queue"); it is
        skipped all the same if the last one is blocked, too. Or the last one is cancelled
        ("replace"), and kept for `keep` seconds; if it was active, the job is blocked until the
        holder of that claim sends a change with its token, or the lease has ended, which may be
        extended until then (see `end_awaited`). The answer is REPLACED then; whoever fires it has
        the holder told, by `recall`.

        NO, and nothing is changed, if that instant or a later one was fired, `passed` was counted
        from another instant than the last, the schedule is paused or gone, or the queue has a job
        of that id.
        """

    @abc.abstractmethod
    async def edit_schedule(
        self,
        queue: str,
        name: str,
        action: Literal["pause", "resume", "remove"],
        passed: int = 0,
        until: float | None = None,
    ) -> bool:
        """Pause, resume or forget a schedule. False: there is none of that name.

        What a paused schedule named until now, or until a moment before, is done; `passed` instants
        are counted. Who counted them up to a moment says so: one that came since is not among them.
        """

    @abc.abstractmethod
    async def beat(self, worker: str, info: bytes, ttl: float) -> list[str]:
        """Register this process, or say that it lives: it is listed for `ttl` seconds.

        The answer names the queues that may have operations under way, and `WATCHED` while somebody
        watches events.
        """

    @abc.abstractmethod
    async def leave(self, worker: str) -> None:
        """Take this process off the list."""

    @abc.abstractmethod
    async def workers(self) -> list[WorkerRecord]:
        """The living processes, by id."""
