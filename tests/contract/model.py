"""Random commands (see `commands`), played to the store in memory, the model, and to a real one.

Replies and whole snapshots must agree after every step. The stores have clocks of their own, so a
command uses times that are over at once (0 s) or never end during a test (multiples of `FAR`), and
what comes back is compared in units of `FAR` from the store's now. Two jobs of one call may share a
millisecond, so at most one of them is ordered by the time of the call.
"""

from __future__ import annotations

from typing import Any

import msgspec

from asyncmqd.backends.base import Held
from asyncmqd.domain.events import Position
from asyncmqd.domain.job import Claim, NewJob, Record
from asyncmqd.domain.marks import Mark, encode
from asyncmqd.domain.settle import Retention
from asyncmqd.domain.shared_limits import SharedLimits
from asyncmqd.domain.states import State
from asyncmqd.domain.typed_keywords import Overlap
from tests.contract.operating import Advance, BeginOperation, CancelOperation, Carry, operations
from tests.contract.sides import Decision, Side, rough


class Add(msgspec.Struct, frozen=True):
    """File jobs, known ids among them."""

    jobs: tuple[NewJob, ...]

    async def play(self, side: Side) -> Any:
        added = await side.backend.add(side.queue, self.jobs)
        return [(each.is_new, each.id, each.outcome) for each in added]


class Turn(msgspec.Struct, frozen=True):
    """Decisions and a claim in one round trip; `again` says them twice, as after a lost reply."""

    decisions: tuple[Decision, ...]
    again: bool
    limit: int
    lease: float
    worker: str

    async def play(self, side: Side) -> Any:
        changes = [decision.on(side) for decision in self.decisions] * (1 + self.again)
        how = self.limit, self.lease, self.worker
        turn = await side.company.turn(side.backend, side.queue, changes, *how)
        return turn.answers, await _claims(side, turn.claims)


class Extend(msgspec.Struct, frozen=True):
    """Renew leases, stale ones too."""

    held: tuple[tuple[str, int], ...]  # id, tokens behind
    lease: float

    async def play(self, side: Side) -> Any:
        held = [Held(side.queue, id, side.tokens.get(id, 0) - behind) for id, behind in self.held]
        return await side.backend.extend(held, self.lease)


class MoveDue(msgspec.Struct, frozen=True):
    """Promote."""

    page: int

    async def play(self, side: Side) -> Any:
        return await side.backend.move_due(side.queue, self.page)


class EndAwaited(msgspec.Struct, frozen=True):
    """Bring back what waited for ghosts whose leases have ended."""

    longest: float

    async def play(self, side: Side) -> Any:
        return await side.backend.end_awaited(side.queue, self.longest)


class LookForClaims(msgspec.Struct, frozen=True):
    """Lapsed claims, and those of a worker."""

    worker: str

    async def play(self, side: Side) -> Any:
        lapsed = await side.backend.expired(side.queue)
        held = await side.backend.held(side.queue, self.worker)
        lapsed_claims = sorted(await _claims(side, lapsed.claims))
        return lapsed_claims, lapsed.more, sorted(await _claims(side, held))


class Unpark(msgspec.Struct, frozen=True):
    """Bring jobs of tasks back."""

    tasks: tuple[str, ...]

    async def play(self, side: Side) -> Any:
        return await side.backend.unpark(side.queue, self.tasks)


class Prune(msgspec.Struct, frozen=True):
    """Delete beyond limits."""

    retention: Retention
    page: int

    async def play(self, side: Side) -> Any:
        return await side.backend.prune(side.queue, self.retention, self.page)


class Pause(msgspec.Struct, frozen=True):
    """Pause or resume."""

    paused: bool
    by: str

    async def play(self, side: Side) -> Any:
        return await side.backend.pause(side.queue, self.paused, self.by, "moving")


class DeclareLimits(msgspec.Struct, frozen=True):
    """Have limits hold over all daemons."""

    limits: SharedLimits
    by: str

    async def play(self, side: Side) -> Any:
        declared = await side.backend.declare_limits(side.queue, self.limits, self.by)
        return declared and (declared.limits, declared.by)


class Remove(msgspec.Struct, frozen=True):
    """Delete by id."""

    ids: tuple[str, ...]

    async def play(self, side: Side) -> Any:
        return await side.backend.remove(side.queue, self.ids)


class Purge(msgspec.Struct, frozen=True):
    """Delete by state."""

    state: State
    page: int

    async def play(self, side: Side) -> Any:
        return await side.backend.purge(side.queue, self.state, self.page)


class Declare(msgspec.Struct, frozen=True):
    """Declare a schedule."""

    name: str
    spec: bytes
    fresh: bool
    by: str = ""

    async def play(self, side: Side) -> Any:
        await side.backend.declare(side.queue, {self.name: self.spec}, self.fresh, self.by)


class Fire(msgspec.Struct, frozen=True):
    """Fire an instant, counted in seconds from an hour after the start of the play."""

    name: str
    instant: int
    job: NewJob | None
    overlap: Overlap = "allow"

    async def play(self, side: Side) -> Any:
        instant = side.start + 3_600 + self.instant
        asked = side.queue, self.name, instant, self.job
        return await side.backend.fire(*asked, None, self.overlap)


class EditSchedule(msgspec.Struct, frozen=True):
    """Pause, resume or remove a schedule."""

    name: str
    action: str

    async def play(self, side: Side) -> Any:
        return await side.backend.edit_schedule(side.queue, self.name, self.action)


class Note(msgspec.Struct, frozen=True):
    """Note what happened to a process."""

    id: str

    async def play(self, side: Side) -> Any:
        mark = Mark("started", f"{side.queue}/{self.id}")
        return await side.backend.mark(mark.who, encode(mark))


class Publish(msgspec.Struct, frozen=True):
    """Tell events to who watches: the numbers of the lines go on."""

    events: int

    async def play(self, side: Side) -> Any:
        first, side.published = side.published, side.published + self.events
        return await side.backend.publish([b"%d" % each for each in range(first, side.published)])


class ReadEvents(msgspec.Struct, frozen=True):
    """Read so many events before the newest, and behind them."""

    back: int

    async def play(self, side: Side) -> Any:
        epoch, begin = side.watched
        after = Position(epoch, begin + max(0, side.published - self.back))
        page = await side.backend.events(after)
        lines = [(position.number - begin, line) for position, line in page.events]
        assert all(b"%d" % (number - 1) == line for number, line in lines)
        return lines, page.missed, page.position.number - begin, page.position.epoch == epoch


class Restart(msgspec.Struct, frozen=True):
    """Let go of the store, and open it anew: nothing of it was in this process."""

    async def play(self, side: Side) -> Any:
        await side.backend.close()


class LostReply(msgspec.Struct, frozen=True):
    """A command whose reply was lost, so that it is sent again; both replies are compared."""

    command: Add | Turn | Extend | Remove | Fire | BeginOperation | Advance

    async def play(self, side: Side) -> Any:
        return [await self.command.play(side) for _ in range(2)]


Command = (
    Add
    | Turn
    | Extend
    | MoveDue
    | EndAwaited
    | LookForClaims
    | Unpark
    | Prune
    | Pause
    | DeclareLimits
    | Remove
    | Purge
    | Declare
    | Fire
    | EditSchedule
    | Note
    | Publish
    | ReadEvents
    | BeginOperation
    | Carry
    | Advance
    | CancelOperation
    | Restart
    | LostReply
)


# ---------------------------------------------------------------- what is compared


async def _claims(side: Side, claims: list[Claim]) -> list[tuple[Any, ...]]:
    return [
        (each.id, each.token, each.payload, each.failures, each.crashes, each.solo, each.worker)
        for each in claims
    ]


def _plain(record: Record, now: float) -> Record:
    return msgspec.structs.replace(
        record,
        queue="",
        created=rough(record.created, now),
        due=rough(record.due, now),
        started=rough(record.started, now),
        finished=rough(record.finished, now),
    )


def _instant(last: float, side: Side) -> int:
    """The number of the last instant that fired; -1 for none, however long the play has lasted."""
    return max(-1, round(last - side.start - 3_600))


async def snapshot(side: Side) -> dict[str, Any]:
    """All that the store shows of the queue."""
    backend, queue, now = side.backend, side.queue, await side.backend.now()
    jobs = {
        state: [_plain(each, now) for each in await backend.list(queue, state, 0, 1_000)]
        for state in State
    }
    for state, found in jobs.items():  # page by page, each comes once
        paged = [
            r for at in range(0, len(found), 2) for r in await backend.list(queue, state, at, 2)
        ]
        assert [each.id for each in paged] == [each.id for each in found]
    jobs[State.ACTIVE].sort(key=lambda record: record.id)
    outlook = (await backend.outlook([queue]))[queue]
    return {
        "jobs": jobs,
        "counts": (await backend.counts([queue]))[queue],
        "waiting": outlook.waiting,
        "pause": outlook.pause and (outlook.pause.by, outlook.pause.reason),
        "limits": outlook.limits and (outlook.limits.limits, outlook.limits.by),
        "ghosts": outlook.ghosts,
        "next_due": rough(outlook.next_due, now),
        "next_lapse": rough(outlook.next_lapse, now),
        "next_ghost": rough(outlook.next_ghost, now),
        "schedules": [
            (
                each.name,
                (each.spec, each.by, each.former, each.former_by),
                each.paused,
                _instant(each.last, side),
                (each.tally.job, each.tally.before, each.tally.replaced),
            )
            for each in await backend.schedules(queue)
        ],
        "operations": await operations(side, now),
        "keys": await backend.key_backlog(queue, 50),
        "lines": [await backend.in_line(queue, each.id) for each in jobs[State.WAITING][:6]],
        "marks": [
            each.mark.who.removeprefix(queue)
            for each in await backend.marks()
            if each.mark.who.startswith(f"{queue}/")
        ],
        "listed": queue in await backend.queues(),
    }


def plain(command: Command) -> Command:
    """The command itself, without the loss of its reply."""
    return command.command if isinstance(command, LostReply) else command


def decisions(command: Command) -> tuple[Decision, ...]:
    """What the command decides about jobs."""
    return getattr(plain(command), "decisions", ())
