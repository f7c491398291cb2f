"""The judge: sees each verb at the moment the store applies it, and knows what must hold then.

It keeps a history of its own of each job, from the rules of the design alone; what the store
answers has to agree with it. The first breach ends the simulation.
"""

from __future__ import annotations

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import msgspec

from asyncmqd.backends.base import Held, Lapsed, OperationRecord, Turn
from asyncmqd.domain import attempts
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.events import Position
from asyncmqd.domain.job import Added, Claim, NewJob
from asyncmqd.domain.key_backlog import KeyBacklog
from asyncmqd.domain.marks import marked
from asyncmqd.domain.operation import progress_of
from asyncmqd.domain.overlap import ghost_name
from asyncmqd.domain.rate import Rate
from asyncmqd.domain.schedule_counts import Fired, Passed
from asyncmqd.domain.shared_limits import KeyLimits
from asyncmqd.domain.states import State, state_of
from asyncmqd.domain.typed_keywords import Overlap
from tests.simulation.noted import Noted
from tests.simulation.operated import Operated
from tests.simulation.told import Told
from tests.simulation.turns import Lane, Turns
from tests.simulation.world import World

BACKOFF = 0.4  # seconds between attempts
AFTER = 0.2  # seconds, where a task says when
NEVER = -math.inf  # a moment that no clock shows, even one that was set back
MICROSECOND = 1e-6  # seconds
NOTICED = 16.0  # seconds until a jump of the store's clock is noticed: a heartbeat, and some more
WINDOW = 60.0  # seconds in which the claims of a rate are counted
ACTIVE, WAITING, DELAYED = State.ACTIVE, State.WAITING, State.DELAYED
BLOCKED = State.BLOCKED


FAILED = frozenset({"retry", "fail", "recover", "quarantine"})


class Breach(AssertionError):
    """An invariant does not hold."""


def check(holds: bool, *what: Any) -> None:
    """Raise Breach unless it holds."""
    if not holds:
        raise Breach(" ".join(map(str, what)))


@dataclass
class Life:
    """One job, as the rules say that it must be."""

    place: str
    token: int = 0
    claimed: float = 0.0  # the world's time
    due: float = 0.0  # delayed: when; active: when its lease ends; by the store's clock
    until: float = 0.0  # active: when its lease ends if the clock does not jump; the world's time
    holder: str = ""  # the worker that claimed it
    failures: int = 0
    crashes: int = 0
    result: bytes = b""
    unique: str = ""  # the digest of its name
    until_claimed: bool = False  # it holds its name while it waits or is delayed, and no longer
    payload: bytes = b""
    created: float = 0.0  # by the store's clock; or when it came back from being blocked
    lane: Lane = ("", 0, "")  # in which it waits, if it does
    after: str = ""  # blocked: the job that has to end first, or the ghost
    tried: list[str] = field(default_factory=list)  # the edges that its record keeps attempts of
    moves: int = 0  # how often it has come to another place

    @property
    def state(self) -> State:
        return _state_of(self.place)


_state_of = functools.cache(state_of)


@dataclass
class History:
    """What the store must have: lost with its newest writes, unlike what the judge has seen."""

    lives: dict[tuple[str, str], Life] = field(default_factory=dict)
    live: set[tuple[str, str]] = field(default_factory=set)  # those that have not ended
    fired: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    # Of a schedule: its last job, and the one that this had to wait for.
    scheduled: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    # Claims that were taken away while their code ran, by id and token: the ends of their leases.
    ghosts: dict[tuple[str, int], float] = field(default_factory=dict)
    # And by the world's time, whatever the store's clock shows.
    ghost_ends: dict[tuple[str, int], float] = field(default_factory=dict)
    # Of those the ones that jobs have to wait for, by name.
    awaited: dict[str, float] = field(default_factory=dict)
    # By queue and unique name: the job that took it last, and until when it is taken in any case.
    names: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)
    # When each claim was made that was not handed back unstarted, by id and token.
    rated: dict[tuple[str, int], float] = field(default_factory=dict)
    costs: dict[str, int] = field(default_factory=dict)  # of jobs, in tokens, if it is not one
    operations: dict[str, Operated] = field(default_factory=dict)
    noted: Noted = field(default_factory=Noted)


@dataclass
class Judge:
    """Invariants at each moment of the store; `relaxed` once the store has lost writes.

    Then a token may have been given twice, so that the sender of a write is not told from another;
    accepted jobs may be gone, and what had run may run again. All else holds as ever, of the
    history that is left.
    """

    world: World
    history: History = field(default_factory=History)
    relaxed: bool = False
    is_late: bool = False  # the sender of the call that is applied has given it up
    period: float = 0.0  # seconds between the instants of the schedule
    every: float = 0.0  # seconds between the instants of the schedule, where no burst may be
    limit: int | None = None  # jobs of a queue that run in all processes together
    rate: Rate | None = None  # of their starts, with seconds for its interval
    key_limits: KeyLimits | None = None  # of each key
    slow: bool = False  # messages may take long, or processes stand still
    processes: dict[str, Any] = field(default_factory=dict)  # all that there were, by name
    pids: list[Any] = field(default_factory=list)  # the same, by their pids
    stored: Callable[[str], Collection[str]] = tuple  # the ids that the store has of a queue
    on_step: Callable[[Any], None] = lambda _: None  # hears who has sent a step of an operation
    levels: Callable[[str], dict[int, Any]] = lambda _: {}  # the lanes that it has, by priority
    backlog: Callable[[str], KeyBacklog] = lambda _: KeyBacklog([], 0, 0)  # of keys
    turns: Turns = field(default_factory=Turns)
    told: Told | None = None  # what watchers are told, where there are any
    latest: float = 0.0  # seconds that an instant fired after its time, at most
    accepted: dict[str, str] = field(default_factory=dict)  # job to queue: the producer was told
    runs: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    ends: dict[str, tuple[float, str]] = field(default_factory=dict)  # of a process: when, why
    convicts: set[str] = field(default_factory=set)  # failed because of crashes
    starts: list[tuple[str, str, float]] = field(default_factory=list)  # process, queue, loop time
    declared: dict[tuple[str, str], float] = field(default_factory=dict)
    alone: bool = False  # all jobs are of one schedule, and none may run beside another
    replaced: set[str] = field(default_factory=set)  # cancelled, since a later instant has come
    deleted: set[str] = field(default_factory=set)  # by operators
    edges: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    fires: dict[tuple[str, str], list[tuple[float, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )  # of a schedule: when it fired, by the world's time, and which instant

    @property
    def clock(self) -> float:
        """What the store's clock shows, from the world's beginning on."""
        return self.world.true_time - self.world.epoch

    def saw(self, sender: Any, verb: str, args: tuple[Any, ...], result: Any, **named: Any) -> None:
        """A verb of `sender` was applied now."""
        if handler := getattr(self, f"_saw_{verb}", None):
            handler(sender, *args, result, **named)

    def roll_back(self, history: History) -> None:
        """The store has lost what it wrote since then."""
        self.history = history
        self.relaxed = True
        self.turns.restart(each.lane for each in history.lives.values() if each.place == WAITING)

    def enter(self, process: Any) -> int:
        """A process begins; its pid."""
        self.pids.append(process)
        return len(self.pids) - 1

    def start_of(self, pid: int) -> int:
        """When the process of that pid began; 0 if it has ended."""
        return int(self.pids[pid].living)

    def note_end(self, process: Any) -> None:
        """A process is no more. If a job killed it, by which."""
        cause, _, id = process.cause.partition(" ")
        self.ends[process.name] = (self.world.now, id or cause)

    @property
    def last_death(self) -> float:
        """When the last process was killed."""
        return max((moment for moment, _ in self.ends.values()), default=0.0)

    # ------------------------------------------------------------------ the way of a job

    def _saw_add(self, _: Any, queue: str, jobs: list[NewJob], added: list[Added]) -> None:
        for job, each in zip(jobs, added, strict=True):
            right = self._right_addition(queue, job)
            check(each == right, "added as", each, "instead of", right, job)
            if each.is_new:
                self._file(queue, job, self._holder(queue, job.unique))
            elif each.outcome == "replaced":
                self._replace(self.history.lives[queue, each.id], job)

    def _right_addition(self, queue: str, job: NewJob) -> Added:
        if (queue, job.id) in self.history.lives:
            return Added(job.id, "existed")
        holder = self._holder(queue, job.unique)
        if not holder:
            return Added(job.id, "new")
        life = self.history.lives.get((queue, holder))
        if job.on_conflict == "again" and life and life.claimed and not life.state.terminal:
            after = [
                id
                for (name, id), other in self.history.lives.items()
                if (name, other.place, other.after) == (queue, BLOCKED, holder)
            ]
            return Added(after[0], "replaced") if after else Added(job.id, "new")
        keeps = life is None or life.state.terminal or life.claimed or job.on_conflict == "existing"
        return Added(holder, "existed" if keeps else "replaced")

    def _replace(self, life: Life, job: NewJob) -> None:
        """It was never claimed: it gets what the new one of its name has."""
        life.payload = job.payload
        place = life.place
        self._place(life, "")
        life.lane = (*life.lane[:1], job.priority, life.lane[2])
        if place == DELAYED and job.on_conflict == "push":
            life.due = min(self.clock + job.delay, life.created + job.push_for)
            if life.due <= self.clock:
                place = WAITING
        self._place(life, place)
        self.edges[job.on_conflict] += 1

    def _holder(self, queue: str, name: str) -> str:
        """The job that holds that unique name, or nothing."""
        id, until = self.history.names.get((queue, name), ("", NEVER))
        life = self.history.lives.get((queue, id))
        held = until > self.clock or (
            life is not None
            and not life.state.terminal
            and not (life.until_claimed and life.state is ACTIVE)
        )
        return id if held else ""

    def _retake_name(self, queue: str, id: str) -> None:
        """A job has come back: its name is its own again, if no other holds it."""
        name = self.history.lives[queue, id].unique
        if name and self.history.names[queue, name][0] != id and not self._holder(queue, name):
            self.history.names[queue, name] = (id, NEVER)

    def _file(self, queue: str, job: NewJob, after: str = "") -> None:
        place = BLOCKED if after else DELAYED if job.delay > 0 else WAITING
        until = self.clock + job.unique_for if job.unique_for else NEVER
        self.history.lives[queue, job.id] = life = Life(
            "",
            after=after,
            due=self.clock + job.delay,
            unique=job.unique,
            until_claimed=job.until_claimed,
            payload=job.payload,
            created=self.clock,
            lane=(queue, job.priority, job.key),
        )
        if job.cost != 1:
            self.history.costs[job.id] = job.cost
        self._place(life, place)
        self.history.live.add((queue, job.id))
        if job.unique and not after:
            self.history.names[queue, job.unique] = (job.id, until)

    def _saw_turn(
        self,
        sender: Any,
        queue: str,
        changes: list[Change],
        _limit: int,
        lease: float,
        worker: str,
        *rest: Any,
    ) -> None:
        turn: Turn = rest[-1]
        for change, answer in zip(changes, turn.answers, strict=True):
            self._changed(sender, change, answer)
        for claim in turn.claims:
            self._claimed(claim, worker, lease)
        if turn.claims:
            self.turns.check(queue, self.levels(queue), check, in_turn=self.key_limits is None)
            self.turns.check_backlog(queue, self.backlog(queue), self._running_of, check)
        if self.key_limits is not None:
            self._check_keys(queue, changes, turn, self.key_limits)
        if turn.claims and self.limit is not None:
            self._check_limit(queue)
        if self.rate is not None:
            self._note_rated(changes, turn)
            self._check_rate(self.rate, list(self.history.rated))

    def _check_keys(self, queue: str, changes: list[Change], turn: Turn, limits: KeyLimits) -> None:
        """No key has more jobs that are active, or whose code may run, or claims in any window."""
        history = self.history
        self._note_rated(changes, turn)
        ghosts = self._living_ghosts()  # also by a clock that will be set back
        if not turn.claims:
            return
        key_of = {id: life.lane[2] for (_, id), life in history.lives.items()}
        running = Counter(
            life.lane[2] for life in history.lives.values() if life.place == ACTIVE
        ) + Counter(key_of.get(id, "") for id, _ in ghosts)
        for key in {key_of[claim.id] for claim in turn.claims} - {""}:
            most = math.inf if limits.concurrency is None else limits.concurrency
            check(running[key] <= most, running[key], "of key", key, "hold a permit of", most)
            if limits.rate is not None:
                starts = [each for each in history.rated if key_of.get(each[0]) == key]
                rate = msgspec.structs.replace(limits.rate, interval=limits.rate_interval)
                self._check_rate(rate, starts)

    def _running_of(self, queue: str, key: str) -> int | None:
        """How many permits of a key the store counts; None: nobody can tell.

        Without limits it need not know of claims that were taken away; and one that has lost writes
        may have given tokens twice.
        """
        history = self.history
        ghosts = [id for (id, _), due in history.ghosts.items() if due > self.clock]
        lives = [
            (id, life)
            for (name, id), life in history.lives.items()
            if name == queue and life.lane[2] == key
        ]
        running = sum(life.place == ACTIVE for _, life in lives)
        haunted = sum(ghosts.count(id) for id, _ in lives)
        unsure = self.relaxed or (haunted and self.key_limits is None)
        return None if unsure else running + haunted

    def _living_ghosts(self) -> list[tuple[str, int]]:
        """Of jobs whose code may run: their leases have ended neither by the store nor in truth."""
        ghosts, ends = self.history.ghosts, self.history.ghost_ends
        for each in [each for each, due in ghosts.items() if due <= self.clock]:
            del ghosts[each]
        return [each for each in ghosts if ends[each] > self.world.now]

    def _note_rated(self, changes: list[Change], turn: Turn) -> None:
        """Note what was claimed, without what was handed back unstarted."""
        moments = self.history.rated
        for change, answer in zip(changes, turn.answers, strict=True):
            if change.unstarted and answer == "applied":
                moments.pop((change.id, change.token), None)
        moments.update(((claim.id, claim.token), self.world.now) for claim in turn.claims)

    def _check_rate(self, rate: Rate, starts: list[tuple[str, int]]) -> None:
        """No window holds more tokens than the rate says; the last job may exceed the burst.

        A jump of the store's clock may fill the bucket once.
        """
        moments, costs, now = self.history.rated, self.history.costs, self.world.now
        latest = [each for each in starts if moments[each] > now - WINDOW]
        if not latest:
            return
        last = costs.get(latest[-1][0], 1)
        tokens = min(last, rate.burst) - last
        for id, token in reversed(latest):
            tokens += costs.get(id, 1)
            window = now - moments[id, token]
            fills = 1 + sum(each >= moments[id, token] for each in self.world.jumps)
            allowed = fills * rate.burst + rate.starts * window / rate.interval
            check(tokens <= allowed + 1e-3, tokens, "tokens in", window, "s", latest)

    def _check_limit(self, queue: str) -> None:
        """Active jobs, and those taken away whose code may run, are no more than may be."""
        history = self.history
        active = sum(
            life.place == ACTIVE for (name, _), life in history.lives.items() if name == queue
        )
        held = active + len(self._living_ghosts())
        check(held <= (self.limit or 0), held, "hold a permit of", self.limit)

    def _saw_watch(self, _: Any, _seconds: float, position: Position) -> None:
        if self.told is not None:
            self.told.watched(position, check)

    def _saw_publish(self, sender: Any, lines: list[bytes], taken: bool) -> None:
        if self.told is not None:
            self.told.published(sender.name, lines, taken, self._unless_late)

    def assigned(self, claim: Claim) -> None:
        """A job that was added was claimed in the same step for a worker that waits."""
        waiting = sum(n for lane, n in self.turns.waiting.items() if lane[0] == claim.queue)
        check(waiting == 1, "assigned before others that wait:", claim)
        worker = self.processes[claim.worker.partition("#")[0]]
        self._claimed(claim, claim.worker, worker.context.presence.lease)
        self.edges["assign"] += 1

    def _saw_apply(self, sender: Any, queue: str, changes: list[Change], answers: Any) -> None:
        for change, answer in zip(changes, answers, strict=True):
            self._changed(sender, change, answer)

    def _claimed(self, claim: Claim, worker: str, lease: float) -> None:
        life = self.history.lives[claim.queue, claim.id]
        check(life.place == WAITING, "claimed while", life.place, claim, "held by", life.holder)
        check(claim.token == life.token + 1, "token", life.token, "was followed by", claim)
        check(claim.payload == life.payload, "another payload than was accepted last", claim)
        check(claim.failures == life.failures, "failures", life.failures, claim)
        check(claim.crashes == life.crashes, "crashes", life.crashes, claim)
        life.token, life.holder, life.claimed = claim.token, worker, self.world.now
        if self.key_limits is None:
            best = min(lane[1] for lane in self.turns.waiting if lane[0] == claim.queue)
            check(life.lane[1] == best, "claimed before priority", best, claim)
            wrong = self.turns.serve(life.lane)
            check(not wrong, wrong)
        self._place(life, ACTIVE)
        self._give(life, lease)
        self.edges["claim"] += 1
        if self.told is not None:
            self.told.claimed(claim.queue, claim.id, worker)

    def _place(self, life: Life, place: str) -> None:
        """It stands there now."""
        if life.place == WAITING:
            self.turns.leave(life.lane)
        if place == WAITING:
            self.turns.enter(life.lane)
        life.place = place
        life.moves += 1

    def _changed(self, sender: Any, change: Change, answer: Answer) -> None:
        life = self.history.lives.get((change.queue, change.id))
        check(answer == self._right_answer(life, change), "answered", answer, change, life)
        if answer != "applied":
            self.history.ghosts.pop((change.id, change.token), None)
            self._end_awaited(change.queue, ghost_name(change.id, change.token))
        elif life is not None and life.place == ACTIVE and change.edge == "cancel":
            self.history.ghosts[change.id, change.token] = life.due
            self.history.ghost_ends[change.id, change.token] = life.until
        if life is None or answer != "applied":
            return
        if life.state is ACTIVE:
            self._check_right(sender, change, life)
        if self.told is not None:
            self.told.changed(sender.name, change.queue, change.id, change.edge, life.holder)
        self._check_counters(change, life)
        self._check_attempt(change, life)
        if change.edge == "retry":
            check(change.delay in {BACKOFF, AFTER}, "another pause than was asked for:", change)
        self._move(change, life)
        self.edges[change.edge] += 1

    def _right_answer(self, life: Life | None, change: Change) -> Answer:
        if life is None:
            return "gone"
        if life.token != change.token:
            return "stale"
        if life.state not in change.path.sources:
            return "already"
        if change.path.revives and self._holder(change.queue, life.unique) not in {"", change.id}:
            return "taken"
        return "stale" if change.lapsed and life.due > self.clock else "applied"

    def _check_right(self, sender: Any, change: Change, life: Life) -> None:
        """Only its holder writes about a claim, or whoever may: an operator, or once it is over."""
        holder = life.holder.partition("#")[0]
        if not change.outside:
            check(self.relaxed or holder == sender.name, "written by", sender.name, change, life)
        elif change.edge in {"recover", "quarantine"}:
            over = life.due <= self.clock
            former_self = holder in self.ends and holder.startswith(f"{sender.instance}/")
            check(over or former_self, "taken from a living holder:", change, life)
            check(self._may_lapse(holder, life), "not renewed by", holder, change, life)

    def _may_lapse(self, holder: str, life: Life) -> bool:
        """Where messages are quick or lost, a living process renews in spite of one failure.

        After a jump of the store's clock it has time for one renewal, which may be the one.
        """
        process = self.processes[holder]
        failures = [moment for moment in process.store.failures if moment >= life.claimed]
        return self.slow or not process.living or len(failures) > (not self.world.jumps)

    def _check_attempt(self, change: Change, life: Life) -> None:
        """Whatever has failed tells of its attempt, and nothing tells of one that did not run."""
        if change.attempt is None:
            check(change.edge not in FAILED, "an attempt of which nobody told", change, life)
            return
        told = attempts.attempts_of(attempts.joined(b"", 0, 0, change.attempt))[0].told
        check(told.edge == change.edge, "told of another end", told, change)
        check(told.number == life.failures + 1, "told of another attempt", told, life)
        check(self.relaxed or told.worker == life.holder, "told of another worker", told, life)
        check((told.failure is not None) == (change.edge in FAILED), "told of no failure", told)
        life.tried.append(change.edge)

    def _check_counters(self, change: Change, life: Life) -> None:
        charged = change.edge == "retry" or (change.edge == "fail" and change.failures is not None)
        if charged:
            check(change.failures == life.failures + 1, "attempt charged wrongly", change, life)
        elif change.edge != "replay":
            check(change.failures is None, "attempt charged for no failure", change, life)
        if change.edge in {"recover", "quarantine"}:
            crashes = life.crashes if change.crashes is None else change.crashes
            check(crashes == life.crashes + 1, "crashes", crashes, "after", life)
        if change.edge == "quarantine":
            self._check_conviction(change, life)

    def _check_conviction(self, change: Change, life: Life) -> None:
        """Nobody pays for another job, whose run killed the process of both."""
        self.convicts.add(change.id)
        holder = life.holder.partition("#")[0]
        moment, cause = self.ends.get(holder, (math.inf, ""))
        innocent = life.until > moment and cause not in {"", "injected", change.id}
        check(self.relaxed or not innocent, "convicted for", cause, change, life)
        beside = +self.processes[holder].executing - Counter([change.id])
        check(self.relaxed or not beside, "convicted beside", beside, change, life)

    def _move(self, change: Change, life: Life) -> None:
        life.token += change.outside
        if change.edge != "update":
            self._place(life, change.target)
            life.due = self.clock + change.delay
            if change.edge == "replay":
                self.history.live.add((change.queue, change.id))
            elif life.state.terminal:
                self.history.live.discard((change.queue, change.id))
                self._unblock(change.queue, change.id)
            if change.path.returns or change.path.revives:
                self._retake_name(change.queue, change.id)
        if change.failures is not None:
            life.failures = change.failures
        if change.crashes is not None:
            life.crashes = change.crashes
        if change.result is not None:
            life.result = change.result

    def _unblock(self, queue: str, parent: str) -> None:
        """What waited for a job that has ended comes back in the same step."""
        for (name, id), life in self.history.lives.items():
            if name == queue and life.place == BLOCKED and life.after == parent:
                if life.unique:  # the holder is the one that has ended
                    self.history.names[queue, life.unique] = (id, NEVER)
                life.due = min(life.due, self.clock + life.due - life.created)
                life.created = self.clock  # its age, and how far it may be pushed, count from now
                self._place(life, DELAYED if life.due > self.clock else WAITING)
                self.edges["unblock"] += 1

    def _saw_extend(self, _: Any, held: list[Held], lease: float, kept: list[bool]) -> None:
        for each, is_kept in zip(held, kept, strict=True):
            life = self.history.lives.get((each.queue, each.id))
            right = life is not None and life.place == ACTIVE and life.token == each.token
            check(is_kept is right, "extended:", is_kept, each, life)
            ghost = ghost_name(each.id, each.token)
            if not is_kept and ghost in self.history.awaited:
                self.history.awaited[ghost] = self.clock + lease
            if is_kept and life is not None:
                self._give(life, lease)

    def _give(self, life: Life, lease: float) -> None:
        life.due, life.until = self.clock + lease, self.world.now + lease

    # ------------------------------------------------------------------ upkeep

    def _saw_move_due(self, _: Any, queue: str, moved: int) -> None:
        delayed = [
            life
            for (name, _), life in self.history.lives.items()
            if name == queue and life.place == DELAYED
        ]
        late = self.clock - MICROSECOND  # a store counts whole ones, and may round either way
        certain = sum(life.due < late for life in delayed)
        possible = sum(life.due <= self.clock + MICROSECOND for life in delayed)
        check(certain <= moved <= possible, "promoted", moved, "of", certain, "to", possible)
        for life in sorted(delayed, key=lambda life: life.due)[:moved]:
            self._place(life, WAITING)

    def _saw_end_awaited(self, _: Any, queue: str, longest: float, ended: int) -> None:
        awaited, ghosts = self.history.awaited, self.history.ghosts
        for ghost, end in awaited.items():
            awaited[ghost] = min(end, self.clock + longest)
        for each, due in ghosts.items():
            ghosts[each] = min(due, self.clock + longest)
        lapsed = [ghost for ghost, end in awaited.items() if end <= self.clock]
        check(ended == len(lapsed), "brought back for", ended, "ghosts instead of", lapsed)
        for ghost in lapsed:
            self._end_awaited(queue, ghost)
            self.edges["lapsed ghost"] += 1

    def _end_awaited(self, queue: str, ghost: str) -> None:
        """The code of a job that was replaced has ended, as far as its store knows."""
        if self.history.awaited.pop(ghost, None) is not None:
            self._unblock(queue, ghost)
            self.edges["end of a ghost"] += 1

    def _saw_expired(self, _: Any, queue: str, page: Lapsed) -> None:
        for claim in page.claims:
            life = self.history.lives[queue, claim.id]
            check(life.place == ACTIVE and life.due <= self.clock, "not over yet:", claim)

    def _saw_unpark(self, _: Any, queue: str, tasks: list[str], moved: int) -> None:
        places = {f"{WAITING}:{task}" for task in tasks}
        found = [
            life
            for (name, _), life in self.history.lives.items()
            if name == queue and life.place in places
        ]
        check(moved == len(found), "unparked", moved, "of", len(found))
        for life in found:
            self._place(life, WAITING)

    def _saw_prune(self, _: Any, queue: str, *rest: Any) -> None:
        if not rest[-1]:
            return
        stored = self.stored(queue)
        gone = [key for key in self.history.lives if key[0] == queue and key[1] not in stored]
        check(len(gone) == rest[-1], "deleted", rest[-1], "of", gone)
        for key in gone:
            check(self.history.lives.pop(key).state.terminal, "deleted a live job:", key)
            self.accepted.pop(key[1], None)

    # ------------------------------------------------------------------ processes

    def _saw_beat(self, _: Any, who: str, _info: bytes, ttl: float, _answer: Any) -> None:
        self.history.noted.beat(who, self.clock + ttl, self.clock)

    def _saw_workers(self, _: Any, _found: Any) -> None:
        self.history.noted.drop(self.clock)

    def _saw_leave(self, _: Any, who: str, _answer: None) -> None:
        self.history.noted.leave(who)

    def _saw_mark(self, sender: Any, id: str, data: bytes, _answer: None) -> None:
        told = marked(self.clock, data)
        process = self.processes.get(told.mark.who) if told is not None else None
        dead = self.relaxed or (process is not None and not process.living)
        self.history.noted.note(sender, id, data, self.clock, check, dead)

    # ------------------------------------------------------------------ operations

    def _saw_begin_operation(self, _: Any, queue: str, id: str, _order: bytes, *rest: Any) -> None:
        self.history.operations[id] = Operated.begun_as(rest[-1], self._lives_of(queue), self.clock)
        self.edges["operation"] += 1

    def _lives_of(self, queue: str) -> dict[str, Life]:
        return {id: life for (name, id), life in self.history.lives.items() if name == queue}

    def _saw_carry(self, _: Any, _queue: str, id: str, *rest: Any) -> None:
        record: OperationRecord | None = rest[-1]
        if record is not None:
            living = {name for name, each in self.processes.items() if each.living}
            self.history.operations[id].carry(record, living, self.world.true_time, check)
            self.edges["carry"] += 1

    def _saw_advance(
        self,
        sender: Any,
        queue: str,
        id: str,
        token: int,
        lease: float,
        answers: list[Answer] | None,
        *,
        changes: list[Change],
        removed: list[str],
        progress: bytes,
        ends: bool,
    ) -> None:
        operation = self.history.operations[id]
        ids = removed or [each.id for each in changes]
        operation.advance(token, ids, answers, self._lives_of(queue), check)
        if answers is None:
            return
        operation.until = self.world.true_time + lease
        for change, answer in zip(changes, answers, strict=bool(changes)):
            self._changed(sender, change, answer)
        for job, answer in zip(removed, answers, strict=bool(removed)):
            life = self.history.lives.get((queue, job))
            check(answer == ("gone" if life is None else "applied"), "removed:", answer, life)
            self._forget(queue, job)
        if not {"stale", "already"} & set(answers):
            operation.note(progress_of(progress), self._unless_relaxed)
        if ends:
            operation.end(self._lives_of(queue), check)
        self.edges["step"] += 1
        self.on_step(sender)

    def _unless_relaxed(self, holds: bool, *what: Any) -> None:
        check(holds or self.relaxed, *what)

    def _unless_late(self, holds: bool, *what: Any) -> None:
        """What its sender took for lost and has counted may come behind what he told then."""
        self._unless_relaxed(holds or self.is_late, *what)

    def _forget(self, queue: str, id: str) -> None:
        """An operator has deleted it."""
        if life := self.history.lives.pop((queue, id), None):
            self._place(life, "")
            self.history.live.discard((queue, id))
            self.accepted.pop(id, None)
            self.deleted.add(id)

    def _saw_cancel_operation(self, _: Any, _queue: str, id: str, _by: str, done: bool) -> None:
        operation = self.history.operations.get(id)
        is_live = operation is not None and not operation.outcome
        check(done == is_live, "cancelled:", done, operation)
        if operation is not None and done:
            operation.outcome = "cancelled"
            self.edges["cancel of an operation"] += 1

    def _saw_operations(self, _: Any, _queues: list[str], found: list[OperationRecord]) -> None:
        for record in found:
            self.history.operations[record.id].check(record, check)

    # ------------------------------------------------------------------ schedules

    def _saw_declare_all(
        self, _: Any, declared: list[tuple[str, dict[str, bytes]]], fresh: bool, by: str, now: float
    ) -> None:
        for queue, specs in declared:
            for name in specs:
                self.declared.setdefault((queue, name), now)

    def _saw_fire(
        self,
        sender: Any,
        queue: str,
        name: str,
        instant: float,
        job: NewJob | None,
        passed: Passed | None,
        overlap: Overlap,
        _keep: float,
        fired: Fired,
    ) -> None:
        if not fired:
            return
        self._check_overlap(queue, name, job, overlap, fired)
        instants = self.history.fired[queue, name]
        if self.fires[queue, name] and self._went_back_since(self.fires[queue, name][-1]):
            instants.clear()  # the hour comes again
        # Until all have noticed a jump, some fire by the old time and some by the new one.
        unnoticed = any(self.world.now - each <= NOTICED for each in self.world.jumps)
        declared = -math.inf if self.world.jumps else self.declared[queue, name]
        last = instants[-1] if instants else declared
        check(instant > last or unnoticed, "fired again:", name, instant, "after", last)
        # Between two looks at the store's clock, a second may last a little less on this host.
        early = instant - self.world.true_time
        right = early <= 0.01 or unnoticed
        check(right, "fired", early, "s early:", name, instant, "by", sender.name)
        if self.period and not self.world.jumps and not self.relaxed:
            self._check_passed(last, instant, job is not None, passed)
        instants.append(instant)
        self.fires[queue, name].append((self.world.now, instant))
        if self.every:
            self._check_burst([moment for moment, _ in self.fires[queue, name][-40:]])
        self.latest = max(self.latest, -early)

    def _check_overlap(
        self, queue: str, name: str, job: NewJob | None, overlap: Overlap, fired: Fired
    ) -> None:
        """Whether the instant enqueued what it should."""
        lives = self.history.lives
        last = self.history.scheduled.get((queue, name), ("", ""))
        if overlap == "replace":
            self._check_replacing(queue, name, job, fired)
            return
        live = [id for id in last if (queue, id) in self.history.live]
        held = bool(live) and lives[queue, live[0]].place == BLOCKED
        skips = overlap != "allow" and bool(live) and (overlap == "skip" or held)
        right = Fired.SKIPPED if job is None or skips else Fired.YES
        check(fired is right, "fired", fired, "and not", right, "beside", live)
        if fired is not Fired.YES or job is None:
            return
        after = live[0] if live and overlap == "queue" else ""
        self._file(queue, job, after)
        self.history.scheduled[queue, name] = job.id, after
        self.edges["hold"] += bool(after)

    def _check_replacing(self, queue: str, name: str, job: NewJob | None, fired: Fired) -> None:
        """The newest instant wins, and waits until the code of the one before has ended."""
        history = self.history
        last, after = history.scheduled.get((queue, name), ("", ""))
        is_live = (queue, last) in history.live
        right = Fired.SKIPPED if job is None else Fired.REPLACED if is_live else Fired.YES
        check(fired is right, "fired", fired, "and not", right, "in the place of", last)
        if job is None:
            return
        after = after if after in history.awaited else ""
        if is_live:
            life = history.lives[queue, last]
            if life.place == ACTIVE:
                check(not after, "ran though the code of another did:", last, after)
                after = ghost_name(last, life.token)
                history.awaited[after] = history.ghosts[last, life.token] = life.due
                history.ghost_ends[last, life.token] = life.until
            life.token += 1
            self._place(life, State.CANCELLED)
            history.live.discard((queue, last))
            self.replaced.add(last)
        self._file(queue, job, after)
        history.scheduled[queue, name] = job.id, after
        self.edges["replace of a job"] += is_live
        self.edges["hold"] += bool(after)

    def check_alone(self, owner: Any, id: str) -> str:
        """What is wrong if the job of a schedule begins now; empty if nothing is.

        No other one runs, but where its holder could not renew its lease.
        """
        if not self.alone or self.slow or self.relaxed:
            return ""
        lives = {key[1]: life for key, life in self.history.lives.items()}
        for process in self.processes.values():
            for other in (each for each in +process.executing if process.living and each != id):
                failures = [at for at in process.store.failures if at >= lives[other].claimed]
                if not failures:
                    return f"{id} begins at {owner.name} beside {other} at {process.name}"
        return ""

    def _check_passed(
        self, last: float, instant: float, fires: bool, passed: Passed | None
    ) -> None:
        """Each instant fires, or is counted as skipped, once."""
        between = round(instant / self.period) - math.floor(last / self.period + 1e-9) - fires
        counted = sum(passed.counts.values()) if passed is not None else 0
        check(counted == between, "counted", counted, "of", between, "instants at", instant)

    def _check_burst(self, moments: list[float]) -> None:
        """No more fire within any time than are due in it, and one that was missed at a jump.

        Until a jump is noticed by all, some fire by the old time and some by the new one.
        """
        for count, since in enumerate(reversed(moments), 1):
            jumps = sum(each >= since - NOTICED for each in self.world.jumps)
            passed = (self.world.now - since) / self.every
            most = passed + 2 + jumps * (NOTICED / self.every + 1)
            check(count <= most, "a burst:", moments[-count:])

    def _went_back_since(self, fire: tuple[float, float]) -> bool:
        """Whether the store's clock shows less than the time that has passed since then."""
        moment, instant = fire
        return self.world.true_time < instant + (self.world.now - moment) - 1.0

    # ------------------------------------------------------------------ at the end

    @property
    def under_way(self) -> list[Operated]:
        """Operations that have not ended."""
        return [each for each in self.history.operations.values() if not each.outcome]

    @property
    def unended(self) -> list[str]:
        """Live jobs."""
        return [f"{key[1]}: {self.history.lives[key]}" for key in sorted(self.history.live)]

    def check_end(self, queues: Any) -> None:
        """Every accepted job has ended, and the store has what the history says."""
        for id, queue in self.accepted.items():
            known = (queue, id) in self.history.lives
            check(known or self.relaxed, "lost:", id)
        rows = {(name, id): row for name, data in queues.items() for id, row in data.rows.items()}
        check(rows.keys() == self.history.lives.keys(), "the store has other jobs")
        for key, life in self.history.lives.items():
            row = rows[key]
            check(life.state.terminal, "never ended:", key, life)
            have = (row.place, row.token, row.failures, row.crashes, row.result)
            want = (life.place, life.token, life.failures, life.crashes, life.result)
            check(have == want, "the store has", have, "and not", want)
            if life.state in {State.COMPLETED, State.FAILED}:
                check(self.runs[key[1]] > 0, "ended without a run:", key)
