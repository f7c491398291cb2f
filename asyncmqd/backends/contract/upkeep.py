"""What keeps a queue going beside its workers: due jobs, lost claims, deletion."""

from __future__ import annotations

import abc
import math
from collections.abc import Collection, Sequence

import msgspec

from asyncmqd.domain.job import Claim
from asyncmqd.domain.pause import Pause
from asyncmqd.domain.rate import FULL, Filling
from asyncmqd.domain.settle import Retention
from asyncmqd.domain.shared_limits import DeclaredLimits
from asyncmqd.domain.states import State

PAGE = 500  # the most that one call of an upkeep verb moves, so that no call blocks a store


class Outlook(msgspec.Struct, frozen=True):
    """What a queue has in store, for whoever decides how long to sleep."""

    now: float  # the store's clock
    waiting: int  # jobs that may be claimed now, 0 while paused; counted up to 1,000
    next_due: float | None  # the first delayed job's time
    next_lapse: float | None  # the first lease's end
    parked_tasks: tuple[str, ...] = ()  # tasks that have parked jobs, sorted
    pause: Pause | None = None  # while it is paused
    limits: DeclaredLimits | None = None  # those that hold over all daemons
    filling: Filling = FULL  # of the bucket of their rate
    ghosts: int = 0  # jobs that were taken from their holders, whose permits are not free yet
    closed_keys: int = 0  # of which jobs wait, or did, and none may start
    next_ghost: float | None = None  # the first lease's end of those that jobs have to wait for


class KeyOutlook(msgspec.Struct, frozen=True):
    """What a queue has of one key, for its limits; `key_limits.Keys` of this key alone."""

    running: int  # active jobs, and those that were taken from their holders and keep a permit
    gone: float = math.inf  # when the first of the latter keeps it no more: microseconds
    bucket: Filling = FULL  # of its rate

    def held(self, _: str) -> tuple[int, float]:
        """See `Keys`."""
        return self.running, self.gone

    def filling(self, _: str) -> Filling:
        """See `Keys`."""
        return self.bucket

    def keep_filling(self, _: str, filling: Filling) -> None:
        """It tells, and keeps nothing."""


class Lapsed(msgspec.Struct, frozen=True):
    """A page of claims whose lease has ended; `more` when the page was full."""

    claims: list[Claim]
    more: bool


class Upkeep(abc.ABC):
    """What scanners and operators do with many jobs of a queue, a page at a time."""

    @abc.abstractmethod
    async def outlook(self, queues: Sequence[str]) -> dict[str, Outlook]:
        """What the queues have in store, in one round trip."""

    @abc.abstractmethod
    async def outlook_of_key(self, queue: str, key: str) -> KeyOutlook:
        """What the queue has of a key."""

    @abc.abstractmethod
    async def move_due(self, queue: str, page: int = PAGE) -> int:
        """Promote delayed jobs whose time has come, earliest first; how many were moved.

        They queue behind the waiting jobs of their priority. One waiting worker is woken.
        """

    @abc.abstractmethod
    async def end_awaited(self, queue: str, longest: float) -> int:
        """Bring back the jobs that waited for ghosts whose leases have ended; how many there were.

        No other lease of a ghost ends later than `longest` seconds from now, from now on: neither
        of these, nor of those that keep a permit. One waiting worker is woken.
        """

    @abc.abstractmethod
    async def expired(self, queue: str, page: int = PAGE) -> Lapsed:
        """Claims whose lease has ended: `settle` decides, `apply` writes."""

    @abc.abstractmethod
    async def held(self, queue: str, worker: str) -> list[Claim]:
        """The claims that a worker holds, whose name is or starts with `worker`."""

    @abc.abstractmethod
    async def unpark(self, queue: str, tasks: Collection[str], page: int = PAGE) -> int:
        """Bring parked jobs of these tasks back to where they stood; how many were moved."""

    @abc.abstractmethod
    async def prune(self, queue: str, retention: Retention, page: int = PAGE) -> int:
        """Delete ended jobs beyond the retention limits; how many, at most `page`.

        First those whose time is up, then the oldest of more than `keep_completed` counted ones
        (see `Change.keep`). While the rest takes more than `keep_bytes`, the oldest counted ones
        go, then those with the least time left. A job's bytes are its payload, result and error.
        """

    @abc.abstractmethod
    async def remove(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """Delete jobs in any state; the holder of a claim finds it gone. False: was not there."""

    @abc.abstractmethod
    async def purge(self, queue: str, state: State, page: int = PAGE) -> int:
        """Delete up to `page` jobs in `state`, oldest first; how many. Call until it answers 0."""
