"""The states of a job and every edge between them, as data.

`EDGES` is the whole state machine: backends, runtime and commands move jobs along these edges and
along nothing else, and docs/states.md is drawn from it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class State(StrEnum):
    """Where a job is in its life. A job is in exactly one state at any moment."""

    WAITING = "waiting"
    DELAYED = "delayed"
    BLOCKED = "blocked"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether the job has ended (it may still be replayed by an operator)."""
        return self in TERMINAL


TERMINAL = frozenset({State.COMPLETED, State.FAILED, State.EXPIRED, State.CANCELLED})
LIVE = frozenset(State) - TERMINAL


class Rank(StrEnum):
    """How a job is ordered in the place that an edge leads to. Every place is one ordered line."""

    TAIL = "tail"  # behind all jobs of its priority
    KEPT = "kept"  # where it stood when it was last claimed
    TIME = "time"  # by the store's clock, `Change.delay` seconds from now


class Edge(msgspec.Struct, frozen=True):
    """One allowed move: from any of `sources` to `target`, ordered there by `rank`."""

    name: str
    sources: frozenset[State]
    target: State
    rank: Rank
    meaning: str
    revives: bool  # it leads out of an ended state: the job's age counts from then on
    returns: bool  # it leads from a run back to waiting or delayed
    place: str  # the target as plain text


_WAITING = frozenset({State.WAITING})
_DELAYED = frozenset({State.DELAYED})
_BLOCKED = frozenset({State.BLOCKED})
_ACTIVE = frozenset({State.ACTIVE})


def _edge(name: str, sources: frozenset[State], target: State, rank: Rank, meaning: str) -> Edge:
    returns = sources == _ACTIVE and target in {State.WAITING, State.DELAYED}
    return Edge(name, sources, target, rank, meaning, sources <= TERMINAL, returns, str(target))


EDGES: dict[str, Edge] = {
    edge.name: edge
    for edge in (
        _edge(
            "claim",
            _WAITING,
            State.ACTIVE,
            Rank.TIME,
            "a worker takes it, with a lease",
        ),
        _edge("promote", _DELAYED, State.WAITING, Rank.TAIL, "its due time has come"),
        _edge("unblock", _BLOCKED, State.WAITING, Rank.TAIL, "what it waited for has ended"),
        _edge(
            "unblock_later",
            _BLOCKED,
            State.DELAYED,
            Rank.TIME,
            "what it waited for has ended before its due time",
        ),
        _edge("succeed", _ACTIVE, State.COMPLETED, Rank.TIME, "the task returned"),
        _edge(
            "retry",
            _ACTIVE,
            State.DELAYED,
            Rank.TIME,
            "the attempt failed, another follows",
        ),
        _edge("fail", _ACTIVE, State.FAILED, Rank.TIME, "the last attempt failed"),
        _edge(
            "expire",
            _ACTIVE,
            State.EXPIRED,
            Rank.TIME,
            "its ttl ended before it could start",
        ),
        _edge(
            "release",
            _ACTIVE,
            State.WAITING,
            Rank.KEPT,
            "handed back, no attempt charged",
        ),
        _edge(
            "snooze", _ACTIVE, State.DELAYED, Rank.TIME, "handed back for later, no attempt charged"
        ),
        _edge(
            "park",
            _ACTIVE,
            State.WAITING,
            Rank.KEPT,
            "left for a daemon that knows the task",
        ),
        _edge(
            "recover",
            _ACTIVE,
            State.WAITING,
            Rank.KEPT,
            "its worker died: a crash is counted",
        ),
        _edge(
            "quarantine",
            _ACTIVE,
            State.FAILED,
            Rank.TIME,
            "its worker died too often",
        ),
        _edge("update", _ACTIVE, State.ACTIVE, Rank.KEPT, "progress, or a mark on the run"),
        _edge(
            "cancel",
            LIVE,
            State.CANCELLED,
            Rank.TIME,
            "an operator or the application cancelled it",
        ),
        _edge("run_now", _DELAYED, State.WAITING, Rank.TAIL, "an operator runs it before its time"),
        _edge(
            "replay",
            TERMINAL,
            State.WAITING,
            Rank.TAIL,
            "run again, with fresh attempts",
        ),
    )
}


def parked_place(task: str) -> str:
    """The place of the jobs that are parked: they wait for a daemon that knows `task`."""
    return f"{State.WAITING}:{task}"


KEYED = f"{State.WAITING}#keyed"
"""The place of the waiting jobs that have a key, which take turns: see lanes.py. Stores tell nobody
of it: what they show of such a job says that its place is that of all waiting jobs."""


def state_of(place: str) -> State:
    """The state of a job in `place`: a place is a state, or one of its own for some jobs of it."""
    return State(place.partition(":")[0].partition("#")[0])
