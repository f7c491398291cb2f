"""Random commands for `model`: what is drawn, and how often.

Strategies are made once: making them anew for each step takes longer than all stores together.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import strategies as st

from asyncmqd.domain.change import Change
from asyncmqd.domain.job import NewJob, Record
from asyncmqd.domain.settle import Retention
from asyncmqd.domain.shared_limits import KeyLimits, SharedLimits
from asyncmqd.domain.states import EDGES, TERMINAL, Edge, State, parked_place
from tests.contract.model import (
    Add,
    Command,
    Declare,
    DeclareLimits,
    EditSchedule,
    EndAwaited,
    Extend,
    Fire,
    LookForClaims,
    LostReply,
    MoveDue,
    Note,
    Pause,
    Prune,
    Publish,
    Purge,
    ReadEvents,
    Remove,
    Restart,
    Turn,
    Unpark,
)
from tests.contract.names import (
    FOLLOWED,
    NAMES,
    NAMES_FOR_A_TIME,
    NAMES_OF_WAITING,
    PUSHED,
    REPLACED,
)
from tests.contract.operating import Advance, BeginOperation, CancelOperation, Carry
from tests.contract.sides import FAR, Decision

IDS = ("a", "b", "c", "d", "e", "f", "g")
TASKS = ("mod.f", "mod.g")
WORKERS = ("host/one", "host/two", "other")
SCHEDULES = ("hourly", "nightly")
OPERATIONS = ("one", "two", "three")
KEYS = ("t7", "kunde é")
VERBS = {
    "claim",
    "promote",
    "unblock",
    "unblock_later",
}  # edges that are moved along by a verb, never by a Change

Known = dict[str, Record]  # the jobs that are there when a command is drawn

_EDGES = [EDGES[name] for name in sorted(EDGES.keys() - VERBS)]
_BY_OPERATORS = [EDGES[name] for name in ("cancel", "replay", "run_now")]
_ids = st.sampled_from(IDS)
_bytes = st.sampled_from([b"", b"1", b"\x00\xff", b"x" * 50])
# Two of the second kind are more than a record keeps.
_attempts = st.sampled_from(
    [b'{"edge":"retry","number":1}', b'{"edge":"fail","number":2,"worker":"%s"}' % (b"x" * 40_000)]
)
_payloads = st.sampled_from([b"", b"1", b"\x00\xff", b"x" * 50, b"x" * 5_000, b"x" * 20_000])
_pages = st.sampled_from([500, 1, 2])
_leases = st.sampled_from([FAR, 0.0, 3 * FAR])
_behind = st.sampled_from([0] * 8 + [1, -1])
_rarely = st.sampled_from([False] * 7 + [True])
_tasks = st.sampled_from(TASKS)
_delays = st.sampled_from([FAR, 0.0, 2 * FAR])
_picks = st.integers(0, 1_000)
_fields = st.fixed_dictionaries(
    {},
    optional={
        "failures": st.integers(0, 3),
        "crashes": st.integers(0, 3),
        "solo": st.booleans(),
        "error": _bytes,
        "result": _bytes,
        "progress": _bytes,
        "attempt": _attempts,
    },
)
_keeps = st.sampled_from([None, 0.0, FAR, 2 * FAR])


def _named(job: NewJob) -> NewJob:
    """The same with what its name goes by."""
    return msgspec.structs.replace(
        job,
        until_claimed=job.unique in NAMES_OF_WAITING,
        unique_for=FAR if job.unique in NAMES_FOR_A_TIME else 0.0,
        on_conflict={REPLACED: "replace", PUSHED: "push", FOLLOWED: "again"}.get(
            job.unique, "existing"
        ),
        push_for=15 * FAR,
    )


_jobs = st.builds(
    NewJob,
    id=_ids,
    payload=_payloads,
    priority=st.sampled_from([5, 5, 5, 0, 255]),
    delay=st.sampled_from([0.0, 0.0, 0.0, 10 * FAR, 20 * FAR]),
    unique=st.sampled_from(["", "", *NAMES, *NAMES_OF_WAITING, *NAMES_FOR_A_TIME]),
    key=st.sampled_from(["", "", *KEYS]),
    cost=st.sampled_from([1, 1, 1, 2, 3, 7]),
).map(_named)


def _unlike(jobs: list[NewJob]) -> tuple[NewJob, ...]:
    """The same jobs with delays that differ from each other."""
    return tuple(
        msgspec.structs.replace(job, delay=job.delay and job.delay + index * FAR)
        for index, job in enumerate(jobs)
    )


@st.composite
def _changes(draw: st.DrawFn, known: Known, edges: Sequence[Edge] = _EDGES) -> Change:
    """Mostly an edge for a job that it leads on; sometimes for one where it leads nowhere."""
    edge = edges[draw(_picks) % len(edges)]
    fitting = [id for id in sorted(known) if known[id].state in edge.sources]
    ids = IDS if draw(_rarely) else fitting or sorted(known) or IDS
    only_active = edge.sources == {State.ACTIVE}
    outside = draw(_rarely) if only_active else True
    return Change(
        queue="",
        id=ids[draw(_picks) % len(ids)],
        edge=edge.name,
        token=0,
        outside=outside,
        unstarted=not outside and draw(_rarely),
        lapsed=draw(st.booleans()) if edge.name in {"recover", "quarantine"} else False,
        delay=draw(_delays) if edge.target is State.DELAYED else 0.0,
        place=parked_place(draw(_tasks)) if edge.name == "park" else None,
        keep=draw(_keeps) if edge.target in TERMINAL else None,
        **draw(_fields),
    )


def _spread(decisions: list[Decision]) -> tuple[Decision, ...]:
    """Those decisions that may stand in one call, with far delays that differ from each other."""
    chosen: list[Decision] = []
    for index, each in enumerate(decisions):
        delay = each.change.delay and each.change.delay + 2 * index * FAR
        change = msgspec.structs.replace(each.change, delay=delay)
        if not (each.by_time and any(other.by_time for other in chosen)):
            chosen.append(Decision(each.behind, change))
    return tuple(chosen)


@st.composite
def _turns(draw: st.DrawFn, known: Known) -> Turn:
    count = draw(st.sampled_from([1, 0, 2, 3])) if known else 0
    decisions = [Decision(draw(_behind), draw(_changes(known))) for _ in range(count)]
    return Turn(
        decisions=_spread(decisions),
        again=draw(_rarely),
        limit=draw(st.sampled_from([2, 1, 3, 0, 2, 1])),
        lease=draw(_leases),
        worker=draw(st.sampled_from(WORKERS)),
    )


@st.composite
def _extends(draw: st.DrawFn, known: Known) -> Extend:
    active = [id for id in sorted(known) if known[id].state is State.ACTIVE]
    held = [(id, draw(_behind)) for id in (*active, draw(_ids))]
    return Extend(tuple(held), draw(_leases))


_operations = st.sampled_from(OPERATIONS)
_carriers = st.sampled_from(["ann", "host/one", ""])


@st.composite
def _advances(draw: st.DrawFn, known: Known, under_way: Sequence[str]) -> Command:
    """Changes or removals, as one step has them; sometimes by who does not carry it any more.

    There has to be an operation that goes on, or it begins.
    """
    if not under_way and not draw(_rarely):
        return draw(_BEGINS)
    count = draw(st.sampled_from([2, 1, 3, 0])) if known else 0
    removes = draw(_rarely)
    changes = [] if removes else [draw(_changes(known, _BY_OPERATORS)) for _ in range(count)]
    ids = under_way or OPERATIONS
    return Advance(
        ids[draw(_picks) % len(ids)],
        draw(_behind),
        draw(_leases),
        _spread([Decision(draw(_behind), each) for each in {e.id: e for e in changes}.values()]),
        tuple(draw(_removed)) if removes else (),
        draw(st.sampled_from([None, b"half", b"more"])),
        draw(_rarely),
    )


_BEGINS = st.builds(BeginOperation, _operations, st.sampled_from([b"x", b"y"]), _carriers, _leases)
_removed = st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True)
_PRUNES = st.builds(
    Prune,
    st.builds(
        Retention,
        keep_completed=st.sampled_from([1_000, 0, 1, 2]),
        keep_bytes=st.sampled_from([1 << 30, 0, 1, 60, 120, 5_060]),
    ),
    _pages,
)
# Claims of one call may share the end of their lease, so a page of them has no order.
_PURGES = st.builds(
    lambda state, page: Purge(state, 500 if state is State.ACTIVE else page),
    st.sampled_from(State),
    _pages,
)
_NAMES = st.sampled_from(SCHEDULES)
_LIMITS_OF_KEYS = (
    None,
    None,
    KeyLimits(concurrency=1),
    KeyLimits(concurrency=2, weight=2.5),
    KeyLimits(rate_limit=0.001, rate_interval=FAR, burst=2.0),  # opens after the play
    KeyLimits(concurrency=0, weight=0.3),
)
ADDS = st.builds(Add, st.lists(_jobs, min_size=1, max_size=5).map(_unlike))
_REMOVES = st.builds(Remove, st.lists(_ids, max_size=2).map(tuple))
_OF_SCHEDULES = _jobs.map(lambda job: msgspec.structs.replace(job, unique="", unique_for=0.0))
_FIRES = st.builds(
    Fire,
    _NAMES,
    st.integers(0, 9),
    st.none() | _OF_SCHEDULES,
    st.sampled_from(["allow", "skip", "queue", "queue", "queue", "replace", "replace", "replace"]),
)
_PLAIN = {
    "add": ADDS,
    "upkeep": st.one_of(
        st.builds(MoveDue, _pages),
        st.builds(EndAwaited, st.sampled_from([2 * FAR, 4 * FAR])),
        st.builds(LookForClaims, st.sampled_from(["", "host/", *WORKERS])),
        st.builds(Unpark, st.lists(_tasks, min_size=1, max_size=2, unique=True).map(tuple)),
        _PRUNES,
    ),
    "operate": st.one_of(
        st.builds(Pause, st.sampled_from([False, False, True]), st.sampled_from(["ann", "bob"])),
        st.builds(
            DeclareLimits,
            st.builds(
                SharedLimits,
                concurrency=st.sampled_from([1, 2, 3, 0, None]),
                rate_limit=st.sampled_from([None, None, 0.001, 0.0]),  # opens after the play
                rate_interval=st.just(FAR),
                burst=st.sampled_from([3.0, 6.0, 1.0]),
                each_key=st.sampled_from(_LIMITS_OF_KEYS),
                keys=st.sampled_from([{}, {}, *({KEYS[0]: each} for each in _LIMITS_OF_KEYS[2:])]),
            ),
            st.sampled_from(["one", "two"]),
        ),
        _REMOVES,
        _PURGES,
    ),
    "schedule": st.one_of(
        st.builds(Declare, _NAMES, _bytes, st.booleans(), st.sampled_from(["", "one", "two"])),
        _FIRES,
        st.builds(EditSchedule, _NAMES, st.sampled_from(["pause", "resume", "remove"])),
    ),
    "watch": st.one_of(
        st.builds(Publish, st.integers(0, 4)),
        st.builds(ReadEvents, st.integers(0, 9)),
        st.builds(Note, st.sampled_from(["one", "two", "three"])),
    ),
    "operation": st.one_of(
        _BEGINS,
        st.builds(Carry, _operations, st.sampled_from(["ann", "host/two"]), _leases, _carriers),
        st.builds(CancelOperation, _operations, st.just("bob")),
    ),
    "lost": st.builds(LostReply, st.one_of(ADDS, _REMOVES, _FIRES)),
    "restart": st.just(Restart()),
}
# How often: most of a queue's life is turns.
_MIX = st.sampled_from(
    ["turn"] * 8
    + ["add"] * 3
    + ["upkeep"] * 4
    + ["extend", "operate", "schedule", "schedule", "watch", "lost turn", "lost", "restart"]
    + ["operation", "operation", "advance", "advance", "lost advance"]
)


@st.composite
def commands(draw: st.DrawFn, known: Known, under_way: Sequence[str]) -> Command:
    """A command that means something to what is known; sometimes one that does not.

    `under_way` are the operations that go on.
    """
    match draw(_MIX):
        case "turn":
            return draw(_turns(known))
        case "extend":
            return draw(_extends(known))
        case "lost turn":
            return LostReply(draw(_turns(known)))
        case "advance":
            return draw(_advances(known, under_way))
        case "lost advance":
            return LostReply(draw(_advances(known, under_way)))
        case kind:
            return draw(_PLAIN[kind])
