"""`Run`: one claimed job on its way through a worker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec

from asyncmqd.backends.base import Held
from asyncmqd.domain import clock
from asyncmqd.domain.job import Claim, JobSpec
from asyncmqd.domain.settle import Outcome, Policy
from asyncmqd.domain.tasks import TaskDef
from asyncmqd.observe.listeners import job_fields
from asyncmqd.observe.log_tail import LogTail
from asyncmqd.runtime.claiming.rate_limiter import RateLimiter
from asyncmqd.runtime.job_context import JobContext

CANCEL_GRACE = 1.0  # seconds that a cancelled run gets to end; then it is settled without it

_making_tail = threading.Lock()

StopReason = Literal["timeout", "lost", "released", "exited"]


class Rules(msgspec.Struct, frozen=True):
    """What the task of a job and its queue say together, unless the job itself says more."""

    policy: Policy = Policy()
    task: TaskDef | None = None  # None: it is not known, or not yet
    time_limit: float | None = None  # seconds
    in_child: bool = False  # its function is called in a child process


NO_RULES = Rules()


def _tell_nobody(_run: object, _outcome: object) -> None:
    """Of a run that is not executed."""


class Run(msgspec.Struct, eq=False):
    """The record that the steps of `execute` work on, one after the other.

    To make one costs less than to make an object of a plain class, and to write to a field more.
    """

    claim: Claim
    id: str  # the job's
    started: float  # loop time
    rules: Rules = NO_RULES
    limiter: RateLimiter | None = None  # its job's cost is paid to
    on_overstay: Callable[[Run], None] | None = None
    on_progress: Callable[[Run, bytes], None] | None = None  # in whatever thread
    on_end: Callable[[Run, Outcome | None], None] = _tell_nobody
    spec: JobSpec | None = None
    ends: float | None = None  # Unix time at which its time is over
    progress: bytes | None = None  # reported, not stored yet
    stop_reason: StopReason | None = None
    error: BaseException | None = None  # by which its code ended the run
    begun: bool = False  # its task has made its first step
    ended: bool = False  # it was handed over: what its task does from now on counts no more
    tail: LogTail | None = None  # of what its code logs and prints; None: of nothing
    explained: bool = False  # the log says why its claim was lost
    duration: float = 0.0  # seconds
    asyncio_task: asyncio.Task[Any] | None = None
    thread_id: int | None = None  # of the thread that runs a plain function
    reserved: RateLimiter | None = None  # keeps a token for it until it begins
    _context: JobContext | None = None

    @property
    def held(self) -> Held:
        """The claim, for whoever renews it; most runs end before anybody does."""
        return Held(self.claim.queue, self.id, self.claim.token)

    @property
    def attempt(self) -> int:
        """1 for the first run of the job."""
        return self.claim.attempt

    @property
    def task_name(self) -> str:
        """What the job is a job of; empty while that is not known."""
        return self.spec.task if self.spec is not None else ""

    @property
    def fields(self) -> dict[str, Any]:
        """What names it in the log."""
        return job_fields(self.claim, self.task_name)

    @property
    def context(self) -> JobContext:
        """See `HasFields`. Most jobs never ask for it."""
        if self._context is None:
            claim, instant = self.claim, None if self.spec is None else self.spec.instant
            self._context = JobContext(
                claim.id,
                claim.queue,
                self.task_name,
                claim.attempt,
                claim.worker,
                self.ends,
                self,
                claim.labels,
                instant,
            )
        return self._context

    def report(self, progress: bytes) -> None:
        """Progress of the task, encoded. From any thread."""
        if self.on_progress is not None:
            self.on_progress(self, progress)

    def keep(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Lines that its code has logged or printed. From any thread."""
        if self.tail is None:
            with _making_tail:
                self.tail = self.tail or LogTail()
        self.tail.add(events)

    def end(self) -> None:
        """What its task does from now on counts no more."""
        self.ended = True
        # Both know the run. Without this each job would leave a circle of some fifty objects to the
        # garbage collector, which then takes a tenth of a busy loop.
        self.asyncio_task = None
        if self._context is not None:
            self._context = None

    def use_token(self) -> None:
        """It begins: the token that was kept for it is spent."""
        if self.reserved is not None:
            self.reserved.start()
            self.reserved = None

    def refund_token(self) -> None:
        """It is over: a token that is still kept for it is given back."""
        if self.reserved is not None:
            self.reserved.refund(1)
            self.reserved = None

    def stop_in(self, limit: float) -> asyncio.TimerHandle:
        """Its time is over in so many seconds."""
        self.ends = clock.wall() + limit
        return asyncio.get_running_loop().call_later(limit, self.stop, "timeout")

    def stop(self, reason: StopReason) -> None:
        """Cancel the run. The first reason stands: a timeout is one even if the claim is lost."""
        if self.ended:
            return
        if self.stop_reason is None:
            self.stop_reason = reason
        if self.asyncio_task is None:
            return
        self.asyncio_task.cancel()
        if not self.begun:  # a task that is cancelled before its first step never makes one
            self._check_ended()
        else:
            asyncio.get_running_loop().call_later(CANCEL_GRACE, self._check_ended)

    def exit(self, error: BaseException) -> bool:
        """Code of it raised SystemExit or KeyboardInterrupt where nobody waits for it, which ends
        the run as it would end a program; False if the run is over, or was told to stop before.
        """
        if self.ended or self.stop_reason is not None:
            return False
        self.error = error
        self.stop("exited")
        return True

    def _check_ended(self) -> None:
        if not self.ended and self.on_overstay is not None:
            self.on_overstay(self)
