"""The way of a job through a store: added, claimed, settled, and told of when it has ended."""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.job import Added, Claim, NewJob
from asyncmqd.domain.shared_limits import DeclaredLimits, SharedLimits


class Turn(msgspec.Struct, frozen=True):
    """The reply to one round trip of a worker."""

    answers: list[Answer]  # one for each change, in order
    claims: list[Claim]
    limits: DeclaredLimits | None = None  # those over all daemons that it was judged by
    # Seconds until time alone lets more start, where these limits held jobs back.
    opens_in: float | None = None


class Held(msgspec.Struct, frozen=True):
    """A claim that its holder wants to keep."""

    queue: str
    id: str
    token: int


Extender = Callable[[Sequence[Held], float], list[bool]]
"""`BaseBackend.extend` for a thread that has no event loop."""


class Assigned(msgspec.Struct, frozen=True):
    """A job that was claimed for a worker that had signed up, in the call that added it."""

    claim: Claim
    sign_up: int  # which one: see `JobStore.turn`
    since: float  # loop time: it was claimed then, or later


Take = Callable[[Assigned], None]


Waited = Mapping[str, Collection[str]]
"""Ids by queue, of jobs that somebody waits for."""


RECALLED = "!recalled"
"""What `wait` takes beside queues, none of which has such a name: see `JobStore.recall`."""


ASSIGNED = "!assigned"
"""The same: see `JobStore.take_assigned`."""


class JobStore(abc.ABC):
    """What producers and workers do with jobs."""

    @abc.abstractmethod
    async def add(self, queue: str, jobs: Sequence[NewJob]) -> list[Added]:
        """File new jobs. An id that the queue has already `existed`: nothing is changed.

        Jobs of one call that are alike in priority and delay keep their order. One waiting worker
        is woken.
        """

    def add_at_once(self, queue: str, job: Callable[[], NewJob]) -> Added | None:  # noqa: ARG002
        """`add` of one job by the caller's own thread, which has no event loop. Raises StoreError.

        None, before the job is asked for, where or while that is not possible.
        """
        return None

    @abc.abstractmethod
    async def turn(
        self,
        queue: str,
        changes: Sequence[Change],
        limit: int,
        lease: float,
        worker: str,
        told: DeclaredLimits | None = None,
        sign_up: int = 0,
    ) -> Turn:
        """`apply(changes)`, then `claim(...)`. `limit` 0 claims nothing.

        With `sign_up`, a worker that gets less than `limit` waits for a job: the store may claim
        one for it as soon as it is added, and tells it by `take_assigned`. It has to sign up anew
        for the next one, or when others were woken instead.

        No more jobs are claimed than the limits over all daemons allow; see `declare_limits`. A
        worker says by `told` which it was last judged by: a store that has lost them takes these.

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
    async def declare_limits(
        self, queue: str, limits: SharedLimits, by: str
    ) -> DeclaredLimits | None:
        """Have these limits hold over all daemons from now on; what is in force then.

        A permit of `concurrency` is held by each active job, and by each *ghost*: a job that was
        cancelled or removed while it was active, until its holder sends a change with its token,
        or the lease of that claim has ended. Each claim takes a token of the rate; a change that is
        `unstarted` brings it back. Waiting workers are woken.
        """

    @abc.abstractmethod
    async def extend(self, held: Sequence[Held], lease: float) -> list[bool]:
        """Hold these claims for `lease` seconds from now.

        For each: whether this token still holds it. False means that the claim is lost: the job
        was cancelled, removed, or taken over after its lease had ended. If another job has to wait
        until its code has ended, it waits for as long.
        """

    def extender(self) -> Extender | None:
        """A blocking `extend` with a connection of its own, for the lease thread.

        None when leases need no thread, because the store lives in this process.
        """
        return None

    @abc.abstractmethod
    async def wait(self, queues: Collection[str], timeout: float) -> set[str]:
        """Sleep until one of the queues may have work, at most `timeout` seconds.

        The answer names the queues to look at, and may be empty. After each (re)connection it is
        all of them, since a wake-up may have been missed. Each loop may have one call at a time.
        """

    @abc.abstractmethod
    async def recall(self) -> None:
        """Wake all who wait for `RECALLED`: active jobs were cancelled or removed.

        Their holders learn it at the next renewal at the latest, so nothing is raised where nobody
        can be told.
        """

    @abc.abstractmethod
    async def wait_ended(self, waited: Waited, timeout: float) -> dict[str, set[str]]:
        """Sleep until jobs of these have ended, or were deleted, at most `timeout` seconds.

        `waited` has ids by queue. The answer has those to look at, and may be empty. All that ended
        before are among them at the first call that names their queue, and after each
        (re)connection; the caller may add ids to a queue while it waits, and looks at these itself.
        Now and then a job is named that has not ended. Only one call may run at a time.
        """

    def take_assigned(self, take: Take) -> None:  # noqa: B027 - not all stores assign jobs
        """Have `take` called in this event loop for each job that is assigned to its workers.

        It is called while this loop waits, and between two waits. A message may be lost: whenever
        that may have happened, `wait` names `ASSIGNED`, and `held` tells what was assigned.
        """

    async def retire(self, queue: str) -> None:  # noqa: B027 - some stores wake all for each job
        """This instance claims from the queue no more: from now on others are woken instead, and
        nothing is assigned to its workers. What was assigned before is theirs: see `held`."""
