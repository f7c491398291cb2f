"""What a claim loop does next: one pure function, `next_step`. The loop only carries it out.

A `LoopState` is what the loop knows of its queue, and whether the store may wake it. `NEWS` says
how it changes. docs/claiming.md is drawn from this file, docs/decisions/claim-loop-decides.md says
why it is so.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

BATCH = 1_000  # jobs that one round trip brings at most


class LoopState(StrEnum):
    """What a claim loop knows of its queue. It is in exactly one state at any moment."""

    NEW = "new"
    LOOKING = "looking"
    ASKING = "asking"
    REGISTERED = "registered"
    WOKEN = "woken"
    UNSURE = "unsure"
    ASIDE = "aside"
    DRAINING = "draining"
    DRAINING_UNSURE = "draining_unsure"
    LEAVING = "leaving"
    LEFT = "left"


MEANINGS = {
    LoopState.NEW: "it has not begun; of a worker that only scans, it never does",
    LoopState.LOOKING: "the queue may have jobs, and the store wakes others for them",
    LoopState.ASKING: "a claim is under way, and nothing is known since",
    LoopState.REGISTERED: "the queue is empty, and the store wakes this process for the next job",
    LoopState.WOKEN: "the queue may have jobs, and this process may be the one woken for them",
    LoopState.UNSURE: "a reply or a message was lost: the store may hold claims for this loop",
    LoopState.ASIDE: "others are woken instead, while a candidate runs alone here",
    LoopState.DRAINING: "it claims no more, and has not told the store yet",
    LoopState.DRAINING_UNSURE: "it claims no more, and a reply or a message was lost",
    LoopState.LEAVING: "others are woken instead, and what was assigned before is looked for",
    LoopState.LEFT: "it claims no more, and others are woken instead",
}

DRAINS = frozenset(
    {LoopState.DRAINING, LoopState.DRAINING_UNSURE, LoopState.LEAVING, LoopState.LEFT}
)
SERVES = frozenset(LoopState) - DRAINS - {LoopState.NEW}
_IS_UNSURE = frozenset({LoopState.UNSURE, LoopState.DRAINING_UNSURE, LoopState.LEAVING})
_GOES_BESIDE = SERVES - {LoopState.UNSURE}
_CLAIMS = SERVES - {LoopState.UNSURE, LoopState.ASIDE}
_FIRST = frozenset({LoopState.WOKEN, LoopState.DRAINING}) | _IS_UNSURE
_MAY_HAVE_WORK = frozenset({LoopState.LOOKING, LoopState.WOKEN})  # and it may be claimed


class News(msgspec.Struct, frozen=True):
    """Something that a claim loop learns or does, and the state that it leads to.

    From a state that is not named, it changes nothing.
    """

    name: str
    meaning: str
    moves: dict[LoopState, LoopState]

    def after(self, state: LoopState) -> LoopState:
        """The next state."""
        return self.moves.get(state, state)


BEGIN = News("begin", "it begins", {LoopState.NEW: LoopState.LOOKING})
WAKE = News(
    "wake",
    "the queue may have jobs: a wake-up, a slow pass, the end of an outage or of isolation",
    {
        LoopState.ASKING: LoopState.LOOKING,
        LoopState.REGISTERED: LoopState.WOKEN,
        LoopState.ASIDE: LoopState.LOOKING,
    },
)
ASK = News(
    "ask",
    "a claim is sent",
    {LoopState.LOOKING: LoopState.ASKING, LoopState.WOKEN: LoopState.REGISTERED},
)
FULL = News(
    "full",
    "a claim brought all that it asked for: the store wakes others for the rest",
    {
        LoopState.ASKING: LoopState.LOOKING,
        LoopState.REGISTERED: LoopState.LOOKING,
        LoopState.WOKEN: LoopState.LOOKING,
    },
)
FULL_BESIDE = News(
    "full_beside",
    "the same, but another claim overlapped: nobody knows which was the last",
    {LoopState.ASKING: LoopState.LOOKING, LoopState.REGISTERED: LoopState.WOKEN},
)
SHORT = News(
    "short",
    "a claim brought less than it asked for: the store registers this process",
    {LoopState.ASKING: LoopState.REGISTERED, LoopState.LOOKING: LoopState.WOKEN},
)
LOSE = News(
    "lose",
    "no reply came to a claim",
    {
        **dict.fromkeys(_CLAIMS, LoopState.UNSURE),
        LoopState.DRAINING: LoopState.DRAINING_UNSURE,
    },
)
ASSIGN = News(
    "assign",
    "a job was assigned, and nothing else waited: the store wakes others for the next one",
    {LoopState.ASKING: LoopState.LOOKING, LoopState.REGISTERED: LoopState.LOOKING},
)
MISS = News(
    "miss",
    "a job may have been assigned of which no message came, or that is not to be started",
    {
        **dict.fromkeys(SERVES - {LoopState.UNSURE}, LoopState.UNSURE),
        LoopState.DRAINING: LoopState.DRAINING_UNSURE,
        LoopState.LEFT: LoopState.LEAVING,
    },
)
RECONCILE = News(
    "reconcile",
    "the store told which claims it holds for this loop",
    {
        LoopState.UNSURE: LoopState.WOKEN,
        LoopState.DRAINING_UNSURE: LoopState.DRAINING,
        LoopState.LEAVING: LoopState.LEFT,
    },
)
HAND_OVER = News(
    "hand_over",
    "another process was woken instead, and the store wakes this one no more",
    {LoopState.WOKEN: LoopState.LOOKING},
)
UNSUBSCRIBE = News(
    "unsubscribe",
    "the store is told to wake others instead",
    {
        **dict.fromkeys(_CLAIMS, LoopState.ASIDE),
        LoopState.DRAINING: LoopState.LEAVING,
    },
)
FAIL_TO_UNSUBSCRIBE = News(
    "fail_to_unsubscribe",
    "no reply came to that",
    {
        LoopState.ASIDE: LoopState.WOKEN,
        LoopState.LOOKING: LoopState.WOKEN,
        LoopState.LEAVING: LoopState.DRAINING,
        LoopState.LEFT: LoopState.DRAINING,
    },
)
DRAIN = News(
    "drain",
    "it is told to end",
    {
        **dict.fromkeys(SERVES, LoopState.DRAINING),
        LoopState.UNSURE: LoopState.DRAINING_UNSURE,
        LoopState.ASIDE: LoopState.LEAVING,
    },
)
GIVE_UP = News(
    "give_up",
    "the store did not answer until after the deadline",
    dict.fromkeys(DRAINS, LoopState.LEFT),
)

NEWS = (
    BEGIN,
    WAKE,
    ASK,
    FULL,
    FULL_BESIDE,
    SHORT,
    LOSE,
    ASSIGN,
    MISS,
    RECONCILE,
    HAND_OVER,
    UNSUBSCRIBE,
    FAIL_TO_UNSUBSCRIBE,
    DRAIN,
    GIVE_UP,
)


class View(msgspec.Struct, frozen=True, gc=False):
    """All that a decision is made of."""

    state: LoopState
    store_answers: bool  # as far as known
    isolated: bool  # nothing may begin in this process beside a candidate
    undeclared: bool  # the store is to be told limits before anything is claimed
    in_flight: int  # polls of the store under way
    exclusive: bool  # one of them lets no other go beside it
    running: int  # jobs
    unacknowledged: bool  # something has ended or progressed, and the store does not know it
    free: int  # slots
    share: int  # slots that one poll takes at most
    tokens: int | None  # of the rate limit; None without one
    allowed: int | None  # jobs that the brake still lets begin; None if it holds nothing back

    @property
    def capacity(self) -> int:
        """How many jobs one poll could begin now, if it may claim."""
        number = min(self.share, self.free)
        if self.tokens is not None and self.tokens < number:
            number = self.tokens
        if self.allowed is not None and self.allowed < number:
            number = self.allowed
        return min(BATCH, number)


class Do(StrEnum):
    """What a claim loop can do."""

    CLAIM = "claim"
    SETTLE = "settle"
    RECONCILE = "reconcile"
    DECLARE = "declare"
    HAND_OVER = "hand_over"
    UNSUBSCRIBE = "unsubscribe"
    SLEEP = "sleep"
    AWAIT_CAPACITY = "await_capacity"
    STOP = "stop"


EFFECTS = {
    Do.CLAIM: "one round trip takes so many jobs, and settles what has ended",
    Do.SETTLE: "one round trip settles what has ended",
    Do.RECONCILE: "ask which claims are held for it, and start or release those it does not know",
    Do.DECLARE: "tell the store which limits hold over all daemons",
    Do.HAND_OVER: "have another process woken, because there is no capacity here",
    Do.UNSUBSCRIBE: "have others woken from now on",
    Do.SLEEP: "until there is news",
    Do.AWAIT_CAPACITY: "the same, or until a slot or a token comes free",
    Do.STOP: "the drain is done",
}


class Step(msgspec.Struct, frozen=True, gc=False):
    """What a claim loop does next."""

    do: Do
    claims: int = 0  # how many jobs to claim


# Looked up once: there is a decision for every few jobs.
_CLAIM = Do.CLAIM
_SETTLE, _SLEEP, _STOP = Step(Do.SETTLE), Step(Do.SLEEP), Step(Do.STOP)
_AWAIT_CAPACITY = Step(Do.AWAIT_CAPACITY)


def may_miss(state: LoopState, in_flight: int) -> bool:
    """Whether MISS is to be noted now. A look at the store that is under way may have been there
    before: then it is noted once that has come back, so that there is another one.
    """
    return not (in_flight and state in _IS_UNSURE)


def next_step(view: View) -> Step:
    """Decide what one of the two polls of a claim loop does now."""
    alone = view.in_flight == 0
    if alone and (do := _first_of_all(view)) is not None:
        return Step(do)
    if alone or _may_go_beside(view):
        if claims := _claims(view):
            return Step(_CLAIM, claims)
        if view.unacknowledged:
            return _SETTLE
    if alone and not view.running and view.state in DRAINS:
        return _STOP
    return _AWAIT_CAPACITY if view.state in _MAY_HAVE_WORK else _SLEEP


def _first_of_all(view: View) -> Do | None:
    """What goes before jobs. A claim must have come back before: it may register this process."""
    state = view.state
    if not (view.isolated or view.undeclared or state in _FIRST):
        return None
    if state in _IS_UNSURE:
        return Do.RECONCILE
    if view.undeclared and state in SERVES:
        return Do.DECLARE
    if not (view.store_answers or _is_done(view)):
        return None  # a store that fails must not hold up jobs
    if state is LoopState.DRAINING or (view.isolated and state in _CLAIMS):
        return Do.UNSUBSCRIBE
    if state is LoopState.WOKEN and not view.capacity:
        return Do.HAND_OVER  # a reload lowered a limit, or others took shared slots
    return None


def _is_done(view: View) -> bool:
    """All that is left of a drain is to leave. It may be the connection for wake-ups alone that has
    failed, with the message of an assigned job: nobody else would look for that one.
    """
    return view.state is LoopState.DRAINING and not (view.running or view.unacknowledged)


def _may_go_beside(view: View) -> bool:
    """Beside a poll that is under way, only a full share of slots is worth another one."""
    if view.exclusive or view.undeclared:
        return False
    return view.free >= view.share and view.state in _GOES_BESIDE


def _claims(view: View) -> int:
    """A poll that settles claims as well: jobs that ended have left slots, and asking is free."""
    if view.isolated or view.state not in _CLAIMS:
        return 0
    return view.capacity if view.unacknowledged or view.state in _MAY_HAVE_WORK else 0
