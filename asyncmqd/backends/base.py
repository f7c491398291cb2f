"""The contract of a store: a handful of batch verbs, and a read side.

A store holds no opinion. It applies what `domain` decided, if the job is still where the decision
found it; its clock is the only one that judges leases and due times. One contract suite
(tests/contract) holds all stores together.

Times that come out are Unix seconds of the store's clock; durations that go in are seconds.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import msgspec

from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.codec import DEFAULT_PAYLOAD_LIMIT
from asyncmqd.domain.job import Claim, Counts, NewJob, Record
from asyncmqd.domain.settle import Retention
from asyncmqd.domain.states import State

PAGE = 500  # the most that one call of an upkeep verb moves, so that no call blocks a store


class StoreError(Exception):
    """The store cannot do it now: it is down, full, read-only or slow. Trying again may help."""


class StoreUncertain(StoreError):
    """The answer did not come: the store may have done what was asked, or may do it yet."""

    job_ids: tuple[str, ...] = ()  # of the jobs that a producer may have added


class StoreRefused(StoreError):
    """The store will never do it as asked: wrong credentials, a foreign or newer layout."""


class StoreOutdated(StoreRefused):
    """The store has an older layout; `BaseBackend.migrate` brings it up to date."""


class Migration(msgspec.Struct, frozen=True):
    """A store was brought from one layout to another."""

    before: int
    after: int
    backup: str | None = None  # the file that holds the store as it was


class Turn(msgspec.Struct, frozen=True):
    """The reply to one round trip of a worker."""

    answers: list[Answer]  # one for each change, in order
    claims: list[Claim]


class Held(msgspec.Struct, frozen=True):
    """A claim that its holder wants to keep."""

    queue: str
    id: str
    token: int


class Outlook(msgspec.Struct, frozen=True):
    """What a queue has in store, for whoever decides how long to sleep."""

    now: float  # the store's clock
    waiting: int  # jobs that may be claimed now, 0 while paused; counted up to 1,000
    next_due: float | None  # the first delayed job's time
    next_lapse: float | None  # the first lease's end
    parked_tasks: tuple[str, ...] = ()  # tasks that have parked jobs, sorted
    paused: bool = False


class Lapsed(msgspec.Struct, frozen=True):
    """A page of claims whose lease has ended; `more` when the page was full."""

    claims: list[Claim]
    more: bool


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
    last: float  # the latest instant that fired or was skipped; instants only go up
    paused: bool = False


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A living process that serves queues."""

    id: str
    info: bytes  # JSON: host, pid, queues and what else the process tells about itself
    started: float
    seen: float


Extender = Callable[[Sequence[Held], float], list[bool]]
"""`BaseBackend.extend` for a thread that has no event loop."""


Waited = Mapping[str, Collection[str]]
"""Ids by queue, of jobs that somebody waits for."""


class BaseBackend(abc.ABC):
    """A store of jobs.

    Every verb takes and returns many, is atomic for each job, and raises StoreError when the store
    cannot be reached; then the caller does not know whether it was done, and asks again: `add` is
    idempotent by id, `apply` by (id, token). Instances may be used from any event loop and
    thread, and connect at their first use; what they have for a loop ends with it.
    """

    url: str  # for people: without user and password
    # Whether all who use the store are on this host, so that a daemon may migrate it at its start.
    one_host = False
    # Whether an instance in use holds threads, until it is closed or forgotten.
    has_threads = False
    timeout: float | None = None
    """Seconds from the call that an enqueue may take; None: as long as the store's own calls."""
    payload_limit: int = DEFAULT_PAYLOAD_LIMIT
    """Bytes of a payload that producers may add with this instance. Of a longer one a claim brings
    just so much that it is seen to be too long."""

    @property
    def secret_url(self) -> str:
        """The URL by which the same store is opened elsewhere; it may hold a password."""
        return self.url

    # ------------------------------------------------------------------ life

    @abc.abstractmethod
    async def connect(self) -> None:
        """Reach the store, create or check its layout. Other verbs do this by themselves.

        Raises StoreError when it cannot be reached, StoreRefused when it never will be, and
        StoreOutdated when `migrate` would help.
        """

    async def migrate(self) -> Migration | None:
        """Bring an older layout to that of this release; None when it has that already.

        Whoever still runs an older release is refused from then on. Cut off at any point, it may
        be called again. Raises StoreError and StoreRefused.
        """
        return None

    @abc.abstractmethod
    async def close(self) -> None:
        """Let go of threads, and of what the running loop has; it may be used again afterwards."""

    @abc.abstractmethod
    async def warnings(self) -> list[str]:
        """What an administrator should know about the store's set-up; empty if all is well."""

    async def durability_warning(self) -> str:
        """Why jobs that the store has are not safe in it now; empty if they are.

        Asked again and again, for a server's set-up may change. Raises StoreError.
        """
        return ""

    # ------------------------------------------------------------- the way of a job

    @abc.abstractmethod
    async def add(self, queue: str, jobs: Sequence[NewJob]) -> list[bool]:
        """File new jobs. False for an id that the queue has already: nothing is changed.

        Jobs of one call that are alike in priority and delay keep their order. One waiting worker
        is woken.
        """

    @abc.abstractmethod
    async def turn(
        self,
        queue: str,
        changes: Sequence[Change],
        limit: int,
        lease: float,
        worker: str,
    ) -> Turn:
        """`apply(changes)`, then `claim(...)`. `limit` 0 claims nothing.

        It is one round trip for up to a page of each. When it fails, part of it may be done.
        """

    async def claim(self, queue: str, limit: int, lease: float, worker: str) -> list[Claim]:
        """Take up to `limit` waiting jobs, best priority first, oldest first within one.

        Each gets the next token and is held for `lease` seconds. A paused queue gives none.
        """
        return (await self.turn(queue, (), limit, lease, worker)).claims

    async def apply(self, queue: str, changes: Sequence[Change]) -> list[Answer]:
        """Apply decisions of the domain; see `Change` and `Answer`. All are of this queue.

        An edge that `revives` makes the moment of the change the job's `created`.
        """
        return (await self.turn(queue, changes, 0, 0.0, "")).answers

    @abc.abstractmethod
    async def extend(self, held: Sequence[Held], lease: float) -> list[bool]:
        """Hold these claims for `lease` seconds from now.

        For each: whether this token still holds it. False means that the claim is lost: the job
        was cancelled, removed, or taken over after its lease had ended.
        """

    def extender(self) -> Extender | None:
        """A blocking `extend` with a connection of its own, for the lease thread.

        None when leases need no thread, because the store lives in this process.
        """
        return None

    # ------------------------------------------------------------------ upkeep

    @abc.abstractmethod
    async def move_due(self, queue: str, page: int = PAGE) -> int:
        """Promote delayed jobs whose time has come, earliest first; how many were moved.

        They queue behind the waiting jobs of their priority. One waiting worker is woken.
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
    async def outlook(self, queues: Sequence[str]) -> dict[str, Outlook]:
        """What the queues have in store, in one round trip."""

    @abc.abstractmethod
    async def wait(self, queues: Collection[str], timeout: float) -> set[str]:
        """Sleep until one of the queues may have work, at most `timeout` seconds.

        The answer names the queues to look at, and may be empty. After each (re)connection it is
        all of them, since a wake-up may have been missed. Each loop may have one call at a time.
        """

    @abc.abstractmethod
    async def wait_ended(self, waited: Waited, timeout: float) -> dict[str, set[str]]:
        """Sleep until jobs of these have ended, or were deleted, at most `timeout` seconds.

        `waited` has ids by queue. The answer has those to look at, and may be empty. All that ended
        before are among them at the first call that names their queue, and after each
        (re)connection; the caller may add ids to a queue while it waits, and looks at these itself.
        Now and then a job is named that has not ended. Only one call may run at a time.
        """

    @abc.abstractmethod
    async def retire(self, queue: str) -> None:
        """This instance claims from the queue no more: from now on others are woken instead."""

    # ------------------------------------------------------------------ reading

    @abc.abstractmethod
    async def now(self) -> float:
        """The store's clock."""

    @abc.abstractmethod
    async def get(self, queue: str, ids: Sequence[str]) -> list[Record | None]:
        """The records of these jobs, in order; None for those that are gone."""

    @abc.abstractmethod
    async def counts(self, queues: Sequence[str]) -> dict[str, Counts]:
        """How many jobs are in each state."""

    @abc.abstractmethod
    async def queues(self) -> list[str]:
        """Every queue that ever had a job or a schedule and was not purged empty, sorted."""

    # ------------------------------------------------------------------ administration

    @abc.abstractmethod
    async def pause(self, queue: str, paused: bool) -> None:
        """Stop or resume claiming, for all daemons, at once."""

    @abc.abstractmethod
    async def remove(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """Delete jobs in any state; the holder of a claim finds it gone. False: was not there."""

    @abc.abstractmethod
    async def purge(self, queue: str, state: State, page: int = PAGE) -> int:
        """Delete up to `page` jobs in `state`, oldest first; how many. Call until it answers 0."""

    # ------------------------------------------------------------------ schedules

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
    async def fire(self, queue: str, name: str, instant: float, job: NewJob | None) -> bool:
        """Add the job of an instant, once for ever; None marks the instant as skipped.

        False, and nothing is changed, if that instant or a later one was fired, the schedule is
        paused or gone, or the queue has a job of that id.
        """

    @abc.abstractmethod
    async def edit_schedule(
        self, queue: str, name: str, action: Literal["pause", "resume", "remove"]
    ) -> bool:
        """Pause, resume or forget a schedule. False: there is none of that name."""

    # ------------------------------------------------------------------ workers

    @abc.abstractmethod
    async def beat(self, worker: str, info: bytes, ttl: float) -> None:
        """Register this process, or say that it lives: it is listed for `ttl` seconds."""

    @abc.abstractmethod
    async def leave(self, worker: str) -> None:
        """Take this process off the list."""

    @abc.abstractmethod
    async def workers(self) -> list[WorkerRecord]:
        """The living processes, by id."""

    # last, because its name hides the builtin that the annotations above mean
    @abc.abstractmethod
    async def list(
        self, queue: str, state: State, offset: int = 0, limit: int = 100
    ) -> list[Record]:
        """A page of the jobs in `state`: next to run first, and ended jobs newest first."""
