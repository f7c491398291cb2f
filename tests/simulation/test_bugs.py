"""The simulation can fail: each of these bugs, made on purpose, is caught by one of its worlds."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any

import msgspec
import pytest

from asyncmqd.backends.base import StoreError
from asyncmqd.backends.memory import InMemoryBackend, lanes, registry
from asyncmqd.backends.memory import rows as memory_rows
from asyncmqd.backends.memory.dependencies import Edges
from asyncmqd.backends.memory.keys import QueueKeys
from asyncmqd.backends.memory.lanes import Lanes, Level
from asyncmqd.backends.memory.operations import InMemoryOperations
from asyncmqd.backends.memory.rows import Jobs, Queue
from asyncmqd.backends.memory.token_buckets import Purse
from asyncmqd.domain import clock, events, settle
from asyncmqd.domain.events import Event
from asyncmqd.domain.job import Added, NewJob
from asyncmqd.domain.key_limits import KeyGate
from asyncmqd.domain.missed_instants import Due
from asyncmqd.domain.operation import Order
from asyncmqd.domain.overlap import Step
from asyncmqd.domain.rate import Rate
from asyncmqd.domain.schedule import next_instant
from asyncmqd.domain.schedule_counts import Fired, Tally
from asyncmqd.domain.settle import Crashed, Policy
from asyncmqd.domain.shared_limits import Bucket
from asyncmqd.domain.states import State
from asyncmqd.domain.store_clock import StoreClock
from asyncmqd.observe.event_names import EDGE_EVENTS
from asyncmqd.runtime import scanner, scheduler
from asyncmqd.runtime.claiming import loop, runs
from asyncmqd.runtime.claiming.capacity import Capacity, Reservation
from asyncmqd.runtime.claiming.claim_decision import RECONCILE
from asyncmqd.runtime.claiming.loop import ClaimLoop
from asyncmqd.runtime.claiming.poison_isolation import Isolation
from asyncmqd.runtime.claiming.rate_limiter import RateLimiter
from asyncmqd.runtime.claiming.runs import Runs
from asyncmqd.runtime.leases import Leases
from asyncmqd.runtime.process import event_publisher, recovery
from asyncmqd.runtime.process.event_publisher import EventPublisher
from asyncmqd.runtime.process.marks import Listed
from asyncmqd.runtime.process.operations import Operations
from asyncmqd.runtime.process.recovery import Recovery
from asyncmqd.runtime.scanner import Scanner
from asyncmqd.runtime.timetable import Timetable
from tests.scale import SCALE, scaled
from tests.simulation.seeds import (
    play,
    play_dense,
    play_followed,
    play_held,
    play_jumping,
    play_jumping_limits,
    play_key_limits,
    play_keyed,
    play_operated,
    play_priced,
    play_replaced,
    play_unique,
    play_watched,
)
from tests.simulation.simulation import Report

_apply = InMemoryBackend._apply
_send = ClaimLoop._send
_use = Capacity.use
_crashed = settle._crashed
_holder, _take_name = Queue.holder, Queue.take_name
_met = Jobs._met
Patch = pytest.MonkeyPatch


def state_instead_of_token(patch: Patch) -> None:
    """The store looks at the state only: a late write of a former holder passes."""

    def apply(self: Any, queue: Any, change: Any) -> Any:
        row = queue.rows.get(change.id)
        return _apply(self, queue, _with_token(change, row) if row else change)

    patch.setattr(InMemoryBackend, "_apply", apply)


def release_without_token(patch: Patch) -> None:
    """Whoever hands a job back need not hold it."""

    def apply(self: Any, queue: Any, change: Any) -> Any:
        row = queue.rows.get(change.id)
        handed_back = row and change.edge in {"release", "snooze"}
        return _apply(self, queue, _with_token(change, row) if handed_back else change)

    patch.setattr(InMemoryBackend, "_apply", apply)


def _with_token(change: Any, row: Any) -> Any:
    return msgspec.structs.replace(change, token=row.token)


def recovery_without_lease(patch: Patch) -> None:
    """A scanner takes whatever others hold."""

    async def recover(self: Any, _: Any) -> int:
        held = await self._backend.held(self.queue, "")
        others = self._leases.not_held(held)
        return await self._recovery.recover(self.queue, others, Crashed("silent"), Policy())

    patch.setattr(Scanner, "_recover", recover)


def neighbours_taken_back(patch: Patch) -> None:
    """A daemon that starts takes back what living neighbours hold."""

    async def reclaim(self: Any) -> int:
        recovered = 0
        for queue in await self._backend.queues():
            claims = await self._backend.held(queue, "")
            recovered += await self.recover(queue, claims, Crashed("died"), Policy())
        return recovered

    patch.setattr(Recovery, "reclaim", reclaim)


def instants_without_asking(patch: Patch) -> None:
    """The store accepts an instant from everybody."""

    async def fire(self: Any, queue: str, name: str, instant: float, job: Any, *_: Any) -> Fired:
        if job is not None:
            await self.add(queue, [job])
        return Fired.YES

    patch.setattr(InMemoryBackend, "fire", fire)


def instants_by_the_own_clock(patch: Patch) -> None:
    """A scheduler trusts the wall clock of its host."""
    patch.setattr(Timetable, "now", lambda _: clock.wall())


def lost_reply_forgotten(patch: Patch) -> None:
    """A claim loop does not ask what a lost reply had brought it."""

    async def reconcile(self: Any) -> None:
        self._note(RECONCILE)

    patch.setattr(ClaimLoop, "_reconcile", reconcile)


def outcome_forgotten(patch: Patch) -> None:
    """Outcomes are dropped when the round trip that carries them fails."""

    async def send(self: Any, limit: int) -> Any:
        try:
            return await _send(self, limit)
        except StoreError:
            self._unacknowledged.ended = []
            raise

    patch.setattr(ClaimLoop, "_send", send)


def slots_forgotten(patch: Patch) -> None:
    """Slots that a claim did not fill are not given back."""

    def use(self: Any, reserved: Reservation, started: int = 0, kept: int = 0) -> None:
        _use(self, reserved, started or reserved.number - kept, kept)

    patch.setattr(Capacity, "use", use)


def crash_charged_as_failure(patch: Patch) -> None:
    """Who was on board at a crash loses an attempt."""

    def crashed(claim: Any, crash: Any, policy: Any) -> Any:
        change = _crashed(claim, crash, policy)
        return msgspec.structs.replace(change, failures=claim.failures + 1)

    patch.setattr(settle, "_crashed", crashed)


def candidates_side_by_side(patch: Patch) -> None:
    """Nobody is a candidate: a poison job kills for ever."""
    patch.setattr(runs, "is_poison_candidate", lambda _: False)


def tried_beside_others(patch: Patch) -> None:
    """A candidate is marked though others run, and others begin beside it."""

    async def quiet(self: Any, limit: float) -> bool:
        self.end()
        return True

    patch.setattr(Isolation, "quiet", quiet)


def starts_not_counted(patch: Patch) -> None:
    """A rate limiter refills what it gave out."""

    def start(self: Any, count: int = 1) -> None:
        self._reserved -= count

    patch.setattr(RateLimiter, "start", start)


def jumps_unnoticed(patch: Patch) -> None:
    """A jump of the store's clock is taken for time that has passed."""
    patch.setattr(StoreClock, "note", lambda *_: 0.0)


def future_believed(patch: Patch) -> None:
    """What fired in a future that is none any more counts as fired."""
    patch.setattr(registry, "believed", lambda moment, _: moment)


def leases_of_the_dead_kept(patch: Patch) -> None:
    """A lease that was given before the clock went back holds until it is there again."""
    patch.setattr(scanner, "outlasts", lambda *_: False)


def nothing_skipped(patch: Patch) -> None:
    """All instants that a jump passed over fire, one after the other."""

    def first(repeatable: Any, since: float, now: float) -> Due | None:
        instant = next_instant(repeatable, since)
        return Due([instant], instant, {}) if instant <= now else None

    patch.setattr(scheduler, "due", first)


def name_free_at_claim(patch: Patch) -> None:
    """A job that runs holds its unique name no more."""

    def holder(self: Any, name: str, now: float) -> str:
        id = _holder(self, name, now)
        return "" if id in self.rows and self.rows[id].place == State.ACTIVE else id

    patch.setattr(Queue, "holder", holder)


def name_free_by_another(patch: Patch) -> None:
    """A name that is held goes to whoever comes next."""
    patch.setattr(Queue, "holder", lambda *_: "")


def replaced_without_the_payload(patch: Patch) -> None:
    """A job that is replaced keeps what it had."""

    def met(self: Any, holder: str, job: NewJob) -> Added:
        row = self._queue.rows.get(holder)
        payload = row and row.payload
        added = _met(self, holder, job)
        if added.outcome == "replaced":
            row.payload = payload
        return added

    patch.setattr(Jobs, "_met", met)


def claimed_and_replaced(patch: Patch) -> None:
    """A job that a run has seen gets another payload."""
    live = {State.WAITING, State.DELAYED, State.ACTIVE}
    patch.setattr(memory_rows, "is_replaceable", lambda place, _: place in live)


def name_of_who_comes_back_is_lost(patch: Patch) -> None:
    """A job that was claimed has its name no more."""
    patch.setattr(Jobs, "retake_name", lambda *_: None)


def name_forgotten_with_its_job(patch: Patch) -> None:
    """A name is not taken for its time."""

    def take_name(self: Any, row: Any, until: float = 0.0) -> None:
        _take_name(self, row)

    patch.setattr(Queue, "take_name", take_name)


def longest_lane_first(patch: Patch) -> None:
    """Whose jobs have waited longest comes next, whatever its key."""

    def turns_of(level: Any, *_: Any) -> Any:
        firsts = [line.first() for line in level.jobs.values()]
        yield min(first for first in firsts if first is not None)[1]

    patch.setattr(Lanes, "_turns_of", staticmethod(turns_of))


def starts_of_keys_not_charged(patch: Patch) -> None:
    """A key that is served stays before all others."""
    patch.setattr(KeyGate, "step", lambda *_: 0)


def credit_of_who_was_away(patch: Patch) -> None:
    """A lane that becomes active has been served nothing."""
    patch.setattr(lanes, "start_tag", lambda *_: 0)


def head_start_of_who_ran_dry(patch: Patch) -> None:
    """Of a lane without jobs nothing is known any more."""
    patch.setattr(Level, "set_idle", lambda *_: None)


def lane_forgotten_by_who_comes_back(patch: Patch) -> None:
    """A job that comes back waits, and in no lane."""
    put = Lanes.put

    def put_once(self: Any, key: str, id: str, order: Any) -> None:
        known = self.__dict__.setdefault("known", set())
        if id not in known:
            put(self, key, id, order)
        known.add(id)

    patch.setattr(Lanes, "put", put_once)


def job_of_a_schedule_not_held(patch: Patch) -> None:
    """An instant adds its job beside the last one."""
    patch.setattr(registry, "at_overlap", lambda *_: Step("start"))


def two_held_back(patch: Patch) -> None:
    """A blocked job counts as one that runs: another waits for it."""

    def hold(_: Any, tally: Tally, __: Any) -> Step:
        return Step("hold", tally.job) if tally.job else Step("start")

    patch.setattr(registry, "at_overlap", hold)


def replaced_beside_its_code(patch: Patch) -> None:
    """The end of a job that is replaced is taken for the end of its code."""
    supersede = Jobs.supersede

    def forget(self: Any, id: str, by: str, keep: float) -> str:
        supersede(self, id, by, keep)
        return ""

    patch.setattr(Jobs, "supersede", forget)


def code_that_goes_on_forgotten(patch: Patch) -> None:
    """Nobody says that code goes on which was told to stop."""
    patch.setattr(Leases, "_all", lambda self: [*self._runs.values()])


def end_of_code_told_too_early(patch: Patch) -> None:
    """A run that overstays its stop has ended, as far as is told."""
    end = Runs._end

    def tell(self: Any, run: Any, outcome: Any, goes_on: bool = False) -> None:
        end(self, run, outcome)

    patch.setattr(Runs, "_end", tell)


def ghosts_of_the_dead_awaited(patch: Patch) -> None:
    """A job waits for code whose process is dead, however long ago its lease ended."""

    async def end_none(*_: Any) -> int:
        return 0

    patch.setattr(Scanner, "_end_awaited", end_none)


def blocked_for_ever(patch: Patch) -> None:
    """The end of a job frees none."""
    patch.setattr(Edges, "pay", lambda *_: [])


def name_not_inherited(patch: Patch) -> None:
    """A successor does not get the name of the job that it followed."""
    patch.setattr(Queue, "inherit_name", lambda *_: None)


def several_successors(patch: Patch) -> None:
    """A job that runs has another successor for each new one of its name."""
    patch.setattr(Edges, "children", lambda *_: [])


def key_closed_for_ever(patch: Patch) -> None:
    """A key that was used up takes no turns any more."""
    patch.setattr(Lanes, "reopen", lambda self, key: self.closed.pop(key))


def running_jobs_of_a_key_forgotten(patch: Patch) -> None:
    """A key has all its permits, whatever runs."""
    patch.setattr(QueueKeys, "held", lambda *_: (0, math.inf))


def ghosts_of_a_key_forgotten(patch: Patch) -> None:
    """A job that was cancelled counts no more, though its code runs."""
    held = QueueKeys.held

    def held_by_the_active(self: Any, key: str) -> tuple[int, float]:
        with patch.context() as context:
            context.setattr(self._queue, "ghosts", {})
            return held(self, key)

    patch.setattr(QueueKeys, "held", held_by_the_active)


def starts_of_a_key_not_counted(patch: Patch) -> None:
    """A key has all its tokens, whatever has started."""
    patch.setattr(KeyGate, "take", lambda *_: None)


def costs_not_counted(patch: Patch) -> None:
    """Each start takes one token."""
    patch.setattr(Purse, "cost", lambda *_: 1)


def dear_jobs_wait_for_ever(patch: Patch) -> None:
    """A job that is dearer than the burst waits until so much is there at once."""
    covered, opens_in = Rate.covered, Rate.opens_in

    def covered_at_once(self: Any, arrival: float, now: float, costs: Any, taken: int = 0) -> int:
        number = next((at for at, cost in enumerate(costs) if cost > self.burst), len(costs))
        return covered(self, arrival, now, costs[:number], taken)

    def opens_at_once(self: Any, arrival: float, now: float, cost: int = 1) -> float | None:
        return None if cost > self.burst else opens_in(self, arrival, now, cost)

    patch.setattr(Rate, "covered", covered_at_once)
    patch.setattr(Rate, "opens_in", opens_at_once)


def debts_forgotten(patch: Patch) -> None:
    """A bucket is never emptier than empty, whatever a job has cost."""
    filling = Bucket.filling.fget
    patch.setattr(Bucket, "filling", property(lambda self: filling(self)._replace(owes_since=0.0)))


# Each with the first world that catches it on that Python: what runs first differs between versions
# of asyncio. `make faults` finds these worlds anew, and counts them all.
SEEDS_OF = (3, 11)


def carried_by_two(patch: Patch) -> None:
    """Whoever asks carries an operation, though another does, whose steps go on to count."""
    under_way = InMemoryOperations._under_way

    async def carry(self: Any, queue: str, id: str, carrier: str, *_: Any) -> Any:
        known = under_way(self, queue, id)
        return known and self._keep(known, token=known.token + 1, carrier=carrier)

    patch.setattr(InMemoryOperations, "carry", carry)


def steps_of_the_dead(patch: Patch) -> None:
    """The store asks no token of who sends a step."""
    advance = InMemoryOperations.advance

    async def anybody(self: Any, queue: str, id: str, _: int, *args: Any, **named: Any) -> Any:
        known = self._under_way(queue, id)
        return await advance(self, queue, id, known.token if known else 0, *args, **named)

    patch.setattr(InMemoryOperations, "advance", anybody)


def progress_past_what_moved_on(patch: Patch) -> None:
    """A step whose jobs had moved on counts as done."""
    patch.setattr("asyncmqd.backends.memory.operations.is_whole", lambda _: True)


def moved_again_and_again(patch: Patch) -> None:
    """Jobs that came to the state since are meant, too, those that it moved among them."""
    patch.setattr(Order, "covers", lambda self, record, since: True)


def buckets_filled_by_the_former_time(patch: Patch) -> None:
    """A bucket fills from the moment on that was there before the clock was set back."""
    patch.setattr(Rate, "bounded", lambda self, arrival, now: arrival)


def nobody_carries_on(patch: Patch) -> None:
    """A heartbeat tells of operations, and nobody listens."""
    patch.setattr(Operations, "look", lambda *_: None)


def starts_told_before_ends(patch: Patch) -> None:
    """The end of a run and the next start come in one reply, and the start is told first."""
    patch.setattr(loop, "_TOKEN", lambda _: 1)


def calls_that_overtake(patch: Patch) -> None:
    """The last events of a process are told beside a call that is under way."""

    async def end(self: EventPublisher) -> None:
        if self._loop is not None:
            await self._tell_all()

    patch.setattr(EventPublisher, "end", end)


def told_twice(patch: Patch) -> None:
    """What happens is noted by two."""
    note = EventPublisher._note

    def twice(self: EventPublisher, event: Event) -> None:
        note(self, event)
        note(self, event)

    patch.setattr(EventPublisher, "_note", twice)


def retries_not_told(patch: Patch) -> None:
    """An edge has no event."""
    edges = {edge: name for edge, name in EDGE_EVENTS.items() if edge != "retry"}
    patch.setattr(event_publisher, "EDGE_EVENTS", edges)


def read_on_too_far(patch: Patch) -> None:
    """A reader goes on one event behind the place where he was."""
    patch.setattr(events, "begin_of", lambda after, end: min(after.number + 1, end.number))


def newcomers_taken_for_dead(patch: Patch) -> None:
    """Who is listed at a look and was not at the one before is noted as dead."""

    def missing(self: Listed, ids: AbstractSet[str], now: float) -> list[str]:
        gone, self._ids = ids - self._ids, ids
        return sorted(gone)

    patch.setattr(Listed, "missing", missing)


def deaths_not_noted(patch: Patch) -> None:
    """Who takes back what a former self held does not note its death."""

    async def note(*_: Any) -> None:
        """Note nothing."""

    patch.setattr(recovery, "note", note)


def closed_keys_not_told(patch: Patch) -> None:
    """Whoever asks for the keys is told nothing of those that a limit holds back."""

    def backlog(self: Lanes, most: int) -> tuple[dict[str, int], int]:
        turns = [(key, each) for each in self._levels.values() for key in each.active.ids()]
        waiting = Counter[str]()
        for key, level in turns[:most]:
            waiting[key] += len(level.jobs[key])
        return waiting, len(turns)

    patch.setattr(Lanes, "backlog", backlog)


BUGS = {
    newcomers_taken_for_dead: 2,
    deaths_not_noted: 10,
    closed_keys_not_told: 0,
    starts_told_before_ends: 2846,
    calls_that_overtake: 1026,
    told_twice: 0,
    retries_not_told: 10,
    read_on_too_far: 0,
    carried_by_two: 5,
    steps_of_the_dead: 16,
    progress_past_what_moved_on: 3,
    moved_again_and_again: 7,
    nobody_carries_on: 3,
    state_instead_of_token: 37,
    release_without_token: 9,
    recovery_without_lease: 1,
    neighbours_taken_back: 1,
    instants_without_asking: 2,
    instants_by_the_own_clock: 0,
    lost_reply_forgotten: 44,
    outcome_forgotten: 9,
    slots_forgotten: 0,
    crash_charged_as_failure: 1,
    candidates_side_by_side: 1,
    tried_beside_others: 15,
    starts_not_counted: 4,
    jumps_unnoticed: 0,
    future_believed: 0,
    leases_of_the_dead_kept: 126,
    nothing_skipped: 1,
    buckets_filled_by_the_former_time: 1,
    name_free_at_claim: 0,
    name_free_by_another: 0,
    name_of_who_comes_back_is_lost: 255,
    name_forgotten_with_its_job: 0,
    replaced_without_the_payload: 0,
    claimed_and_replaced: 0,
    name_not_inherited: 4,
    several_successors: 0,
    job_of_a_schedule_not_held: 0,
    two_held_back: 0,
    blocked_for_ever: 0,
    replaced_beside_its_code: 0,
    code_that_goes_on_forgotten: 6,
    end_of_code_told_too_early: 2,
    ghosts_of_the_dead_awaited: 0,
    longest_lane_first: 0,
    starts_of_keys_not_charged: 0,
    credit_of_who_was_away: 0,
    head_start_of_who_ran_dry: 10,
    lane_forgotten_by_who_comes_back: 0,
    key_closed_for_ever: 0,
    running_jobs_of_a_key_forgotten: 2,
    ghosts_of_a_key_forgotten: 15,
    starts_of_a_key_not_counted: 1,
    costs_not_counted: 0,
    dear_jobs_wait_for_ever: 0,
    debts_forgotten: 0,
}

# The same where another Python plays other worlds, for those that hardly any world notices.
ELSEWHERE: dict[Callable[[Patch], None], tuple[int, ...]] = {
    starts_told_before_ends: (994, 1749),  # 3.14
}

# Those that want a moment which other worlds do not have, or hardly ever: the worlds that have it.
WORLDS: dict[Callable[[Patch], None], Callable[[int], Report]] = {
    release_without_token: play_dense,
    lost_reply_forgotten: play_dense,
    jumps_unnoticed: play_jumping,
    future_believed: play_jumping,
    leases_of_the_dead_kept: play_jumping,
    nothing_skipped: play_jumping,
    buckets_filled_by_the_former_time: play_jumping_limits,
    closed_keys_not_told: play_key_limits,
    name_free_at_claim: play_unique,
    name_free_by_another: play_unique,
    name_of_who_comes_back_is_lost: play_unique,
    replaced_without_the_payload: play_unique,
    claimed_and_replaced: play_unique,
    name_forgotten_with_its_job: play_unique,
    name_not_inherited: play_followed,
    several_successors: play_followed,
    job_of_a_schedule_not_held: play_held,
    two_held_back: play_held,
    blocked_for_ever: play_held,
    replaced_beside_its_code: play_replaced,
    code_that_goes_on_forgotten: play_replaced,
    end_of_code_told_too_early: play_replaced,
    ghosts_of_the_dead_awaited: play_replaced,
    longest_lane_first: play_keyed,
    starts_of_keys_not_charged: play_keyed,
    credit_of_who_was_away: play_keyed,
    head_start_of_who_ran_dry: play_keyed,
    lane_forgotten_by_who_comes_back: play_keyed,
    key_closed_for_ever: play_key_limits,
    running_jobs_of_a_key_forgotten: play_key_limits,
    ghosts_of_a_key_forgotten: play_key_limits,
    starts_of_a_key_not_counted: play_key_limits,
    costs_not_counted: play_priced,
    dear_jobs_wait_for_ever: play_priced,
    debts_forgotten: play_priced,
    starts_told_before_ends: play_watched,
    calls_that_overtake: play_watched,
    told_twice: play_watched,
    retries_not_told: play_watched,
    read_on_too_far: play_watched,
    carried_by_two: play_operated,
    steps_of_the_dead: play_operated,
    progress_past_what_moved_on: play_operated,
    moved_again_and_again: play_operated,
    nobody_carries_on: play_operated,
}


def _catches(seed: int, play_one: Callable[[int], Report]) -> bool:
    try:
        play_one(seed)
    except Exception:
        return True
    return False


@pytest.mark.timeout(scaled(600, 1_800))  # a full run plays all worlds of each bug
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_is_caught(
    bug: Callable[[Patch], None], monkeypatch: Patch, seen: Callable[[str], None]
) -> None:
    bug(monkeypatch)
    catches = (seed for seed in _worlds(bug) if _catches(seed, WORLDS.get(bug, play)))
    caught = list(islice(catches, 1 if SCALE == "short" else None))
    assert caught, f"{bug.__name__}: not noticed; has plan.py changed?"
    seen(f"bug made on purpose: {bug.__name__}: {len(caught)}, the first by world {caught[0]}")


def _worlds(bug: Callable[[Patch], None]) -> list[int]:
    """The seeds to try."""
    first, others = BUGS[bug], range(500)
    if SCALE != "short":
        return sorted({first, *others})
    if sys.version_info[:2] == SEEDS_OF:
        return [first]
    return [first, *ELSEWHERE.get(bug, ()), *others]
