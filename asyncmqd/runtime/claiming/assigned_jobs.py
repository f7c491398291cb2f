"""`AssignedJobs`: what becomes of jobs that were claimed for a waiting worker when added."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from asyncmqd.backends.base import Assigned, StoreError
from asyncmqd.domain.job import Claim
from asyncmqd.domain.loop_tasks import begin
from asyncmqd.runtime.claiming.capacity import NOTHING
from asyncmqd.runtime.claiming.runs import Runs
from asyncmqd.runtime.claiming.sign_ups import NEVER, SignUps
from asyncmqd.runtime.leases import Leases


class AssignedJobs:
    """The jobs whose messages came to one claim loop, which calls `start`.

    Most start at once. One whose claim may be over by now starts when the store has said that it is
    not: a look at all that the store holds for the worker would cost as much as runs in the queue.
    `missed`: that look is needed all the same, for a job that is not to be started, or of which no
    message came. `ring` has the loop go on.
    """

    def __init__(self, leases: Leases, runs: Runs, ring: Callable[[], object]) -> None:
        self.sign_ups = SignUps(asyncio.get_running_loop())
        self.missed = False
        self._leases = leases
        self._runs = runs
        self._ring = ring
        self._came: deque[Assigned] = deque()
        self._checked: deque[tuple[Claim, bool | None]] = deque()  # None: the store did not answer
        self._checks: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        return bool(self._came or self._checked)

    def add(self, assigned: Assigned) -> None:
        """A message came."""
        self._came.append(assigned)
        self._ring()

    def start(self, may_begin: Callable[[], bool], *, may_wait: bool) -> None:
        """Start what came. `may_begin` tells whether the loop would start a job now, and no look is
        under way; `may_wait`: for slots that a poll which is under way may give back.
        """
        while self._checked:
            claim, is_ours = self._checked.popleft()
            if is_ours is False:
                self._runs.release(claim)  # somebody may wait for the end of its code
            elif not (is_ours and self._is_taken_up(claim, may_begin)):
                self.missed = True
        while self._came:
            assigned = self._came[0]
            since = self.sign_ups.certain_since(assigned)
            is_old = self._leases.may_be_over(since)
            if is_old and since > NEVER and may_begin():
                self._begin_check(assigned.claim)
            elif is_old or not self._is_started(assigned.claim, may_begin):
                if may_wait:
                    return
                self.missed = True
            self.sign_ups.forget(assigned)
            self._came.popleft()

    def _is_started(self, claim: Claim, may_begin: Callable[[], bool]) -> bool:
        """Whether there was room for it."""
        reserved = self._runs.capacity.reserve(1) if may_begin() else NOTHING
        if reserved.number:
            self._runs.start([claim], reserved)
        return reserved.number > 0

    def _is_taken_up(self, claim: Claim, may_begin: Callable[[], bool]) -> bool:
        """The same of one that a look at the store may have found meanwhile."""
        return not self._leases.not_held([claim]) or self._is_started(claim, may_begin)

    def _begin_check(self, claim: Claim) -> None:
        check = begin(self._check(claim))
        self._checks.add(check)
        check.add_done_callback(self._checks.discard)

    async def _check(self, claim: Claim) -> None:
        """The claim loop may have ended by the answer: it has looked for this one then."""
        is_ours = None
        with contextlib.suppress(StoreError):
            [is_ours] = await self._leases.check([claim])
        self._checked.append((claim, is_ours))
        self._ring()
