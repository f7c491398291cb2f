"""What can be asked of a store by name: the same verbs over HTTP, the control socket and commands.

Each takes a struct of arguments and gives a struct, or a list of them, which are JSON. Whoever
serves them looks at the role first: verbs that operate change something.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NamedTuple

import msgspec

from asyncmqd.admin import history, job_actions, jobs, marks, operations, queues, schedules, search
from asyncmqd.admin.enqueue import EnqueueArguments, Enqueued
from asyncmqd.admin.errors import WrongArguments
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.history import KEPT
from asyncmqd.domain.operation import Order
from asyncmqd.domain.operation import Verb as MoveVerb
from asyncmqd.domain.options import DELAY
from asyncmqd.domain.pause import REASON
from asyncmqd.domain.selection import Selection
from asyncmqd.domain.states import State

_MOST_LISTED = 1_000


class Asked(NamedTuple):
    """Whom a verb is asked of, and by whom."""

    store: BaseBackend
    by: str  # the name of a user, or of a token
    carry: Callable[[str], None]  # has this process carry on the operations of a queue, at once
    enqueue: Callable[[EnqueueArguments], Awaitable[Enqueued]]  # where the code of its task is
    configured: queues.Names = tuple  # names of queues that the configuration has


# ---------------------------------------------------------------------- arguments


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No argument."""


class OfJob(msgspec.Struct, forbid_unknown_fields=True):
    """One job."""

    id: str
    queue: str | None = None


class OfQueue(msgspec.Struct, forbid_unknown_fields=True):
    """One queue."""

    queue: str


class OfSomeQueue(msgspec.Struct, forbid_unknown_fields=True):
    """One queue, or all of them."""

    queue: str | None = None


class OfSchedule(msgspec.Struct, forbid_unknown_fields=True):
    """One schedule."""

    queue: str
    name: str


class Previewed(OfSchedule):
    """The next instants of a schedule."""

    count: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10


class OfOperation(msgspec.Struct, forbid_unknown_fields=True):
    """One operation."""

    id: str


_Hours = Annotated[int, msgspec.Meta(ge=1, le=KEPT // 60)]


class Hours(msgspec.Struct, forbid_unknown_fields=True):
    """The last hours of a queue."""

    queue: str
    hours: _Hours = 1


class HoursOfSome(OfSomeQueue):
    """The last hours of one queue, or of all of them."""

    hours: _Hours = 1


class Paused(msgspec.Struct, forbid_unknown_fields=True):
    """A queue that is to be paused or resumed."""

    queue: str
    reason: str = ""


class Which(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What jobs have to be like."""

    queue: str | None = None
    state: State | None = None
    task: str | None = None
    key: str | None = None
    error: str | None = None  # is part of "Type: message" of the last failure
    older_than: float | str | None = None  # seconds since the enqueue, or text like "5m"
    alike: str | None = None  # is that text with 0 for each number in it

    @property
    def selection(self) -> Selection:
        """The same for a search. Raises WrongArguments."""
        age = None
        if self.older_than is not None:
            age = _checked("older_than", DELAY.kind.check, self.older_than)
        return Selection(
            task=self.task, key=self.key, error=self.error, older_than=age, alike=self.alike
        )


class Listed(Which, kw_only=True):
    """A page of jobs."""

    after: str | None = None  # the cursor of the page before
    limit: Annotated[int, msgspec.Meta(ge=1, le=_MOST_LISTED)] = 50


class Moved(Which, kw_only=True):
    """Jobs by their ids, or all of a queue that are in a state and like this."""

    ids: list[str] = msgspec.field(default_factory=list)
    reason: str = ""


class Purged(msgspec.Struct, forbid_unknown_fields=True):
    """All jobs of a queue that are in a state."""

    queue: str
    state: State
    reason: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What became of jobs that were named, or the operation that was begun."""

    jobs: dict[str, str | None]  # by id: null if it was moved, else why not
    operation: operations.OperationView | None


class Done(msgspec.Struct, frozen=True):
    """It was done."""

    queue: str
    paused: bool


def _checked(name: str, check: Callable[[Any], Any], value: Any) -> Any:
    try:
        return check(value)
    except ValueError as error:
        raise WrongArguments(f"{name}: {error}") from None


def _reason(text: str) -> str:
    return str(_checked("reason", REASON.check, text))


# ---------------------------------------------------------------------- verbs


async def _jobs(asked: Asked, args: Listed) -> search.Found:
    states = tuple(State) if args.state is None else (args.state,)
    return await search.search(
        asked.store, args.selection, args.queue, states, args.after, args.limit
    )


async def _job(asked: Asked, args: OfJob) -> jobs.ExplainedJob:
    return await jobs.show(asked.store, args.id, args.queue)


async def _queues(asked: Asked, _: Nothing) -> list[queues.ListedQueue]:
    return await queues.list_queues(asked.store)


async def _queue(asked: Asked, args: OfQueue) -> queues.QueueView:
    return await queues.show(asked.store, args.queue, asked.configured)


async def _history(asked: Asked, args: Hours) -> history.QueueHistory:
    return await history.of_queue(asked.store, args.queue, args.hours, asked.configured)


async def _marks(asked: Asked, args: HoursOfSome) -> list[marks.Happening]:
    return await marks.list_marks(asked.store, args.queue, args.hours, asked.configured)


async def _operations(asked: Asked, args: OfSomeQueue) -> list[operations.OperationView]:
    return await operations.list_operations(asked.store, args.queue)


async def _operation(asked: Asked, args: OfOperation) -> operations.OperationView:
    return await operations.show(asked.store, args.id)


async def _cancel_operation(asked: Asked, args: OfOperation) -> operations.OperationView:
    return await operations.cancel(asked.store, args.id, asked.by)


async def _pause(asked: Asked, args: Paused) -> Done:
    reason = _reason(args.reason)
    await queues.pause(asked.store, args.queue, asked.configured, asked.by, reason)
    return Done(args.queue, paused=True)


async def _resume(asked: Asked, args: Paused) -> Done:
    reason = _reason(args.reason)
    await queues.resume(asked.store, args.queue, asked.configured, asked.by, reason)
    return Done(args.queue, paused=False)


def _moves(verb: MoveVerb) -> Callable[[Asked, Moved], Awaitable[Outcome]]:
    async def move(asked: Asked, args: Moved) -> Outcome:
        reason, selection = _reason(args.reason), args.selection
        narrowed = args.state is not None or selection != Selection()
        if args.ids:
            if narrowed:
                others = "state, task, key, error, older_than or alike"
                raise WrongArguments(f"ids: expected no {others}")
            ids = list(dict.fromkeys(args.ids))
            outcomes = await job_actions.move(asked.store, verb, ids, args.queue, asked.by, reason)
            return Outcome(outcomes, None)
        state = State.DELAYED if verb == "run_now" else args.state
        if args.queue is None or state is None:
            raise WrongArguments("expected ids, or a queue and a state")
        order = Order(verb=verb, states=(state,), selection=selection, by=asked.by, reason=reason)
        return Outcome({}, await _begun(asked, args.queue, order))

    return move


async def _purge(asked: Asked, args: Purged) -> Outcome:
    reason = _reason(args.reason)
    order = Order(verb="remove", states=(args.state,), by=asked.by, reason=reason)
    return Outcome({}, await _begun(asked, args.queue, order))


async def _begun(asked: Asked, queue: str, order: Order) -> operations.OperationView:
    """Begin an operation, and leave it to this process, or to another that is quicker."""
    await queues.check_known(asked.store, queue, asked.configured)
    record = await operations.begin(asked.store, queue, order)
    asked.carry(queue)
    return operations.view(record)


async def _enqueue(asked: Asked, args: EnqueueArguments) -> Enqueued:
    return await asked.enqueue(args)


class StartedJob(msgspec.Struct, frozen=True):
    """A job that was enqueued."""

    id: str
    queue: str


class ScheduleChanged(msgspec.Struct, frozen=True):
    """It was done."""

    queue: str
    name: str
    paused: bool


async def _schedules(asked: Asked, args: OfSomeQueue) -> list[schedules.ScheduleView]:
    return await schedules.list_schedules(asked.store, args.queue)


async def _preview(asked: Asked, args: Previewed) -> schedules.Preview:
    return await schedules.preview(asked.store, args.name, args.queue, args.count)


async def _run_schedule(asked: Asked, args: OfSchedule) -> StartedJob:
    return StartedJob(await schedules.run(asked.store, args.queue, args.name, asked.by), args.queue)


async def _pause_schedule(asked: Asked, args: OfSchedule) -> ScheduleChanged:
    await schedules.edit(asked.store, args.queue, args.name, "pause", asked.by)
    return ScheduleChanged(args.queue, args.name, paused=True)


async def _resume_schedule(asked: Asked, args: OfSchedule) -> ScheduleChanged:
    await schedules.edit(asked.store, args.queue, args.name, "resume", asked.by)
    return ScheduleChanged(args.queue, args.name, paused=False)


class Verb(NamedTuple):
    """One verb."""

    about: str
    takes: type[msgspec.Struct]
    gives: Any  # what it answers, as a type
    run: Callable[[Asked, Any], Awaitable[Any]]
    operates: bool = False


VERBS: dict[str, Verb] = {
    "queues": Verb("All queues.", Nothing, list[queues.ListedQueue], _queues),
    "queue": Verb("One queue.", OfQueue, queues.QueueView, _queue),
    "history": Verb("The last hours of a queue.", Hours, history.QueueHistory, _history),
    "marks": Verb(
        "What happened beside the jobs: pauses, reloads, starts, deaths.",
        HoursOfSome,
        list[marks.Happening],
        _marks,
    ),
    "jobs": Verb("Search jobs: a part at a time.", Listed, search.Found, _jobs),
    "job": Verb("One job.", OfJob, jobs.ExplainedJob, _job),
    "operations": Verb(
        "What operators do and did.", OfSomeQueue, list[operations.OperationView], _operations
    ),
    "operation": Verb("One operation.", OfOperation, operations.OperationView, _operation),
    "pause": Verb("Claim no more jobs of a queue.", Paused, Done, _pause, True),
    "resume": Verb("Claim jobs of a queue again.", Paused, Done, _resume, True),
    "retry": Verb("Run ended and delayed jobs.", Moved, Outcome, _moves("retry"), True),
    "cancel": Verb("Cancel jobs, running or not.", Moved, Outcome, _moves("cancel"), True),
    "remove": Verb("Delete jobs.", Moved, Outcome, _moves("remove"), True),
    "run_now": Verb("Run delayed jobs now.", Moved, Outcome, _moves("run_now"), True),
    "purge": Verb("Delete all jobs of a queue in a state.", Purged, Outcome, _purge, True),
    "cancel_operation": Verb(
        "Stop an operation.", OfOperation, operations.OperationView, _cancel_operation, True
    ),
    "schedules": Verb(
        "Schedules, and what became of them.",
        OfSomeQueue,
        list[schedules.ScheduleView],
        _schedules,
    ),
    "preview": Verb("When a schedule fires next.", Previewed, schedules.Preview, _preview),
    "run_schedule": Verb("Run a schedule now.", OfSchedule, StartedJob, _run_schedule, True),
    "pause_schedule": Verb(
        "Let a schedule fire no more.", OfSchedule, ScheduleChanged, _pause_schedule, True
    ),
    "resume_schedule": Verb(
        "Let a schedule fire again.", OfSchedule, ScheduleChanged, _resume_schedule, True
    ),
    "enqueue": Verb("Enqueue a job.", EnqueueArguments, Enqueued, _enqueue, True),
}
