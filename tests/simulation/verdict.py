"""What must hold once all jobs have ended: what became of each, and when things happened."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from asyncmqd.domain.attempts import MOST, attempts_of
from asyncmqd.domain.codec import decode_spec
from asyncmqd.domain.settle import CRASH_LIMIT
from asyncmqd.domain.states import State
from tests.simulation.faults import SLOW
from tests.simulation.judge import NOTICED, check

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

HARMLESS = frozenset({"deaf", "cancel", "jump"})  # faults that cost no run
BLAMELESS = HARMLESS | {"stop"}  # faults that are no crash
LOSES_NO_MESSAGE = BLAMELESS | {"kill", "poison"}
RESUMES = 5.0  # seconds after a fault within which schedules fire again


def check_fates(sim: Simulation, queues: Any) -> None:
    """Each job ended in a state that its task explains."""
    for name, data in queues.items():
        for id, row in data.rows.items():
            task = decode_spec(row.payload, len(row.payload)).task
            fates = set(sim.tasks.fates[task])
            if id in sim.cancelling or id in sim.judge.replaced or sim.plan.operations:
                fates.add("cancelled")
            if id in sim.judge.convicts:
                fates.add("failed")
            check(row.place in fates, task, id, "became", row.place, row.error.decode())
            most = sim.tasks.attempts(task)
            tried = sim.judge.history.lives[name, id].tried
            kept = [each.told.edge for each in attempts_of(row.attempts)]
            check(kept == _kept_of(tried), id, "keeps", kept, "of", tried)
            check(row.failures <= most, task, id, "failed", row.failures, "times of", most)
            if task == "quick" and row.place == State.COMPLETED:
                check(row.result == f'"{id}"'.encode(), id, "has the result", row.result)


def _kept_of(tried: list[str]) -> list[str]:
    """The edges of the attempts that are kept: an error does not go for what only came back."""
    kept: list[str] = []
    for edge in tried:
        kept.append(edge)
        if len(kept) > MOST:
            older = [at for at, each in enumerate(kept[:-1]) if each in {"release", "snooze"}]
            del kept[older[0] if older else 0]
    return kept


def check_poison(sim: Simulation) -> None:
    """A poison job costs three crashes at most, where what runs beside it ends in time."""
    if sim.plan.faults & SLOW or sim.judge.relaxed:
        return
    crashes = Counter(cause for _, cause in sim.judge.ends.values())
    for id in crashes.keys() - {"", "injected"}:
        check(crashes[id] <= CRASH_LIMIT, id, "killed", crashes[id], "processes")


def check_rate(sim: Simulation) -> None:
    """No process started more jobs of a limited queue than its limit allows, in any window."""
    rate = sim.plan.rate
    if rate is None or "pause" in sim.plan.faults:  # a stopped process starts late what it took
        return
    starts: dict[str, list[float]] = defaultdict(list)
    for process, queue, moment in sim.judge.starts:
        if queue == sim.plan.queues[-1]:
            starts[process].append(moment)
    for moments in starts.values():
        for first, begin in enumerate(moments):
            for last in range(first + 1, len(moments)):
                allowed = max(1.0, rate) + rate * (moments[last] - begin)
                check(last - first + 1 <= allowed + 1e-6, "too fast:", moments[first : last + 1])


def check_schedule(sim: Simulation) -> None:
    """Each instant fired, but for those while there was something amiss."""
    every = sim.plan.every
    if every is None or "jump" in sim.plan.faults:
        return
    declared = sim.judge.declared["a", "tick"]
    calm = declared if sim.plan.faults <= HARMLESS else sim.world.epoch + sim.calm_at + RESUMES
    if "poison" in sim.plan.faults:
        calm = max(calm, sim.world.epoch + sim.judge.last_death + RESUMES)
    fired = set(sim.judge.history.fired["a", "tick"])
    end = sim.world.true_time - 0.5  # what is due now may be under way
    for count in range(math.floor(calm / every) + 1, math.floor(end / every) + 1):
        check(
            round(count * every, 3) in fired,
            "missed:",
            count * every - sim.world.epoch,
            sim.calm_at,
        )


def check_jump(sim: Simulation) -> None:
    """Schedules go on by the new time, since the last jump was noticed, without a gap."""
    every, fires = sim.plan.every, sim.judge.fires["a", "tick"]
    if every is None or not sim.world.jumps:
        return
    calm = max(sim.world.jumps[-1] + NOTICED, sim.calm_at + RESUMES, sim.judge.last_death + RESUMES)
    ahead = sim.world.true_time - sim.world.now
    fired = {instant for moment, instant in fires if moment > sim.world.jumps[-1]}
    first, last = math.floor((ahead + calm) / every) + 1, (sim.world.true_time - 0.5) / every
    for count in range(first, math.floor(last) + 1):
        check(round(count * every, 3) in fired, "missed:", count * every - ahead, calm)


def check_noted(sim: Simulation) -> None:
    """What was noted of processes is kept, and where no message is lost, every end was noted."""
    noted = sim.judge.history.noted
    if not sim.world.jumps:  # which may make them old
        noted.check_store(sim.server.marks, check)
    if sim.plan.faults <= LOSES_NO_MESSAGE - {"jump"}:
        noted.check_ends(sim.former, check)


def check_calm(sim: Simulation, queues: Any) -> None:
    """Where nothing was amiss, every attempt ran once, and nobody was taken for dead."""
    judge, faults = sim.judge, sim.plan.faults
    if faults <= BLAMELESS:
        check(not judge.edges["recover"], "taken for dead:", judge.edges)
    if not faults <= HARMLESS:
        return
    # One that was assigned may find no room: a claim that was under way has taken the slot.
    check(judge.edges["release"] <= judge.edges["assign"], "released:", judge.edges)
    for data in queues.values():
        for id, row in data.rows.items():
            if row.place in {State.COMPLETED, State.FAILED}:
                attempts = row.failures + (row.place == State.COMPLETED)
                refused = row.place == State.FAILED and row.failures == 0
                check(judge.runs[id] == attempts + refused, id, judge.runs[id], "runs", row)
