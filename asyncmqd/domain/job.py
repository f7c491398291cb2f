"""What a job is: the request as stored, a claim on it, and all that a store knows of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from asyncmqd.domain.options import DEFAULT_PRIORITY
from asyncmqd.domain.states import State, state_of
from asyncmqd.domain.typed_keywords import OnConflict, UniqueWhile


class JobSpec(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The request to run a task once: immutable, and stored as it was encoded.

    `retries`, `timeout` and the like are None where the task's own declaration, then the queue's
    configuration, decide; only what the producer asked for travels with the job.
    """

    id: str
    task: str
    args: list[Any] = msgspec.field(default_factory=list)
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict)
    priority: int = DEFAULT_PRIORITY
    retries: int | None = None  # runs after the first
    timeout: float | None = None  # seconds that one run may take
    ttl: float | None = None  # seconds after which it is not started any more; 0: never
    schedule: str | None = None  # the repeatable that enqueued it
    instant: Annotated[datetime, msgspec.Meta(tz=True)] | None = None  # of that repeatable, in UTC
    unique: str | None = None  # its name, for people; stores compare `NewJob.unique`
    unique_while: UniqueWhile | None = None  # for people, too; None: "live"
    on_conflict: OnConflict | None = None  # and what its enqueue asked for; None: "existing"
    key: str | None = None  # whose it is, for its run; stores keep `NewJob.key`
    cost: int | None = None  # tokens of every rate limit; stores keep `NewJob.cost`
    headers: dict[str, str] | None = None  # from what is round an enqueue


class NewJob(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One job to add: the encoded `JobSpec` with what a store has to know to file it."""

    id: str
    payload: bytes
    priority: int = DEFAULT_PRIORITY
    delay: float = 0.0  # seconds from the store's now; 0 means waiting at once
    unique: str = ""  # the digest of its name, which one live job of the queue has at most
    until_claimed: bool = False  # it holds its name while it waits or is delayed, and no longer
    unique_for: float = 0.0  # seconds from now on for which the name is taken in any case
    key: str = ""  # whose it is; empty: nobody's
    cost: int = 1  # tokens that its start takes of every rate limit
    on_conflict: OnConflict = "existing"  # what becomes of the holder of its name
    push_for: float = 0.0  # seconds after the holder's enqueue to which it is pushed at most


MOST_ASSIGNED = 16 * 1024  # bytes of a payload that travels with a wake-up


def may_be_assigned(jobs: Sequence[NewJob]) -> bool:
    """Whether a store may claim what is added for a worker that waits, where nothing else does.

    It is one job, with nothing about it that a claim would have to look at.
    """
    if len(jobs) != 1:
        return False
    (job,) = jobs
    plain = not (job.unique or job.key or job.delay > 0) and job.cost == 1
    return plain and len(job.payload) <= MOST_ASSIGNED


Outcome = Literal["new", "existed", "replaced"]


class Added(msgspec.Struct, frozen=True, gc=False):
    """What a store says of one job to add."""

    id: str  # of the job that the queue has now: of a name that is held, the holder
    # replaced: it had a job, which has the payload and the options of the new one now
    outcome: Outcome

    @property
    def is_new(self) -> bool:
        """Whether it was filed by this very call."""
        return self.outcome == "new"


class Claim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job taken by a worker. Whoever writes about it later must carry `token`."""

    queue: str
    id: str
    token: int
    payload: bytes  # empty when the store lost it; cut when it is over the limit of the instance
    size: int = 0  # bytes that the payload has in the store
    failures: int = 0  # attempts that failed so far
    crashes: int = 0  # runs in which the process died
    solo: bool = False  # a candidate, alone in its process in the run that `token` names
    age: float = 0.0  # seconds since it was enqueued, by the store's clock
    worker: str = ""
    # What else its log lines name it by: its key, its trace. None: nothing, or not known yet.
    labels: dict[str, str] | None = None

    @property
    def attempt(self) -> int:
        """1 for the first run; released and crashed runs are not counted."""
        return self.failures + 1


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that a store knows of one job, as it was at one moment. Times are Unix seconds."""

    queue: str
    id: str
    place: str
    payload: bytes
    priority: int = DEFAULT_PRIORITY
    token: int = 0
    failures: int = 0
    crashes: int = 0
    solo: bool = False
    created: float = 0.0  # when it was enqueued
    due: float | None = None  # delayed: when it is promoted; active: when its lease ends
    started: float | None = None  # when it was last claimed
    finished: float | None = None  # when it reached a terminal state
    worker: str = ""
    error: bytes = b""  # the last failure: an encoded `Failure`
    result: bytes = b""  # the encoded result; empty when the task returned None
    progress: bytes = b""
    unique: str = ""  # the digest of its name
    # The id of the job that holds this name now, which may be this one; with `unique_for` it may
    # have ended, or be gone.
    holder: str = ""
    key: str = ""  # whose it is
    cost: int = 1  # tokens that each start takes of every rate limit
    waits_for: tuple[str, ...] = ()  # of a blocked job: those that have to end first

    @property
    def state(self) -> State:
        """The job's state: its place without the task that it is parked for."""
        return state_of(self.place)

    @property
    def attempt(self) -> int:
        """The number of the attempt that runs now or would run next."""
        return self.failures + 1


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an attempt failed, as kept in the store and shown to people."""

    type: str
    message: str
    traceback: str = ""
    log: tuple[dict[str, Any], ...] = ()  # the last lines that the run logged or printed


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs of a queue are in each state; parked ones are part of `waiting`."""

    waiting: int = 0
    delayed: int = 0
    blocked: int = 0
    active: int = 0
    completed: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    parked: int = 0
    paused: bool = False
