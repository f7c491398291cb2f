"""Random commands (see `commands`), played to the store in memory, the model, and to a real one.

Replies and whole snapshots must agree after every step. The stores have clocks of their own, so a
command uses times that are over at once (0 s) or never end during a test (multiples of `FAR`), and
what comes back is compared in units of `FAR` from the store's now. Two jobs of one call may share a
millisecond, so at most one of them is ordered by the time of the call.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from asyncmqd.backends.base import BaseBackend, Held
from asyncmqd.backends.memory import InMemoryBackend
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim, NewJob, Record
from asyncmqd.domain.settle import Retention
from asyncmqd.domain.states import TERMINAL, State
from tests.contract.jobs import later

FAR = 10_000.0  # seconds


class Side(msgspec.Struct):
    """One of the two stores, with what commands have to know of it."""

    backend: BaseBackend
    queue: str
    start: float = 0.0  # its clock, when the play began
    tokens: dict[str, int] = {}


class Add(msgspec.Struct, frozen=True):
    """File jobs, known ids among them."""

    jobs: tuple[NewJob, ...]

    async def play(self, side: Side) -> Any:
        return await side.backend.add(side.queue, self.jobs)


class Decision(msgspec.Struct, frozen=True):
    """A `Change` whose token is `behind` the job's own."""

    behind: int
    change: Change

    def on(self, side: Side) -> Change:
        token = side.tokens.get(self.change.id, 0) - self.behind
        return msgspec.structs.replace(self.change, queue=side.queue, token=token)

    @property
    def by_time(self) -> bool:
        return self.change.path.target in TERMINAL or (
            self.change.path.target is State.DELAYED and self.change.delay == 0
        )


class Turn(msgspec.Struct, frozen=True):
    """Decisions and a claim in one round trip; `again` says them twice, as after a lost reply."""

    decisions: tuple[Decision, ...]
    again: bool
    limit: int
    lease: float
    worker: str

    async def play(self, side: Side) -> Any:
        changes = [decision.on(side) for decision in self.decisions] * (1 + self.again)
        turn = await side.backend.turn(side.queue, changes, self.limit, self.lease, self.worker)
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


class LookForClaims(msgspec.Struct, frozen=True):
    """Lapsed claims, and those of a worker."""

    worker: str

    async def play(self, side: Side) -> Any:
        lapsed = await side.backend.expired(side.queue)
        held = await side.backend.held(side.queue, self.worker)
        lapsed_claims = sorted(await _claims(side, lapsed.claims))
        return lapsed_claims, lapsed.more, sorted(await _claims(side, held))


class Unshelve(msgspec.Struct, frozen=True):
    """Bring jobs of tasks back."""

    tasks: tuple[str, ...]

    async def play(self, side: Side) -> Any:
        return await side.backend.unshelve(side.queue, self.tasks)


class Prune(msgspec.Struct, frozen=True):
    """Delete beyond limits."""

    retention: Retention
    page: int

    async def play(self, side: Side) -> Any:
        return await side.backend.prune(side.queue, self.retention, self.page)


class Pause(msgspec.Struct, frozen=True):
    """Pause or resume."""

    paused: bool

    async def play(self, side: Side) -> Any:
        return await side.backend.pause(side.queue, self.paused)


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

    async def play(self, side: Side) -> Any:
        await side.backend.declare(side.queue, {self.name: self.spec}, self.fresh)


class Fire(msgspec.Struct, frozen=True):
    """Fire an instant, counted in seconds from an hour after the start of the play."""

    name: str
    instant: int
    job: NewJob | None

    async def play(self, side: Side) -> Any:
        instant = side.start + 3_600 + self.instant
        return await side.backend.fire(side.queue, self.name, instant, self.job)


class EditSchedule(msgspec.Struct, frozen=True):
    """Pause, resume or remove a schedule."""

    name: str
    action: str

    async def play(self, side: Side) -> Any:
        return await side.backend.edit_schedule(side.queue, self.name, self.action)


Command = (
    Add
    | Turn
    | Extend
    | MoveDue
    | LookForClaims
    | Unshelve
    | Prune
    | Pause
    | Remove
    | Purge
    | Declare
    | Fire
    | EditSchedule
)


# ---------------------------------------------------------------- what is compared


def _rough(time: float | None, now: float) -> int | None:
    return None if time is None else round((time - now) / FAR)


async def _claims(side: Side, claims: list[Claim]) -> list[tuple[Any, ...]]:
    return [
        (each.id, each.token, each.payload, each.failures, each.crashes, each.solo, each.worker)
        for each in claims
    ]


def _plain(record: Record, now: float) -> Record:
    return msgspec.structs.replace(
        record,
        queue="",
        created=_rough(record.created, now),
        due=_rough(record.due, now),
        started=_rough(record.started, now),
        finished=_rough(record.finished, now),
    )


def _instant(last: float, side: Side) -> int:
    """The number of the last instant that fired; -1 for none, however long the play has lasted."""
    return max(-1, round(last - side.start - 3_600))


async def _snapshot(side: Side) -> dict[str, Any]:
    """All that the store shows of the queue."""
    backend, queue, now = side.backend, side.queue, await side.backend.now()
    jobs = {
        state: [_plain(each, now) for each in await backend.list(queue, state, 0, 1_000)]
        for state in State
    }
    jobs[State.ACTIVE].sort(key=lambda record: record.id)
    outlook = (await backend.outlook([queue]))[queue]
    return {
        "jobs": jobs,
        "counts": (await backend.counts([queue]))[queue],
        "waiting": outlook.waiting,
        "next_due": _rough(outlook.next_due, now),
        "next_lapse": _rough(outlook.next_lapse, now),
        "schedules": [
            (each.name, each.spec, each.paused, _instant(each.last, side))
            for each in await backend.schedules(queue)
        ],
        "listed": queue in await backend.queues(),
    }


class Play:
    """Commands to both stores, compared after each."""

    def __init__(self, store: BaseBackend, queue: str) -> None:
        self._clock = 0.0
        model = InMemoryBackend(now=lambda: self._clock)
        self._model, self._store = Side(model, queue), Side(store, queue)
        self.jobs: dict[str, Record] = {}

    async def begin(self) -> None:
        for side in (self._model, self._store):
            side.start = await side.backend.now()

    async def step(self, command: Command) -> None:
        """Play one command. Raises AssertionError where the stores differ or a rule is broken."""
        expected, got = await command.play(self._model), await command.play(self._store)
        assert got == expected
        self._clock += 0.001
        await later(self._store.backend)
        expected, got = await _snapshot(self._model), await _snapshot(self._store)
        assert got == expected
        self._check(command, got)

    def _check(self, command: Command, snapshot: dict[str, Any]) -> None:
        jobs = {each.id: each for state in State for each in snapshot["jobs"][state]}
        counts = snapshot["counts"]
        for state, found in snapshot["jobs"].items():
            assert {each.state for each in found} <= {state}
            assert getattr(counts, state) == len(found)
        places = Counter(each.id for state in State for each in snapshot["jobs"][state])
        assert set(places.values()) <= {1}, "a job in two places"
        assert (snapshot["next_lapse"] is None) == (not snapshot["jobs"][State.ACTIVE])
        for id in jobs.keys() & self.jobs.keys():
            self._check_life(command, self.jobs[id], jobs[id])
        self.jobs = jobs
        for side in (self._model, self._store):
            side.tokens = {id: each.token for id, each in jobs.items()}

    @staticmethod
    def _check_life(command: Command, before: Record, after: Record) -> None:
        assert after.token >= before.token, "a token fell"
        if after.state is State.ACTIVE and before.state is not State.ACTIVE:
            assert after.token > before.token, "claimed without a new token"
            assert after.due is not None, "claimed without a lease"
        if before.state in TERMINAL and before.state is not after.state:
            edges = {each.change.edge for each in getattr(command, "decisions", ())}
            assert "replay" in edges, "an ended job came back"
