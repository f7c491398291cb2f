"""How a decision of the domain changes a row: judged, then placed.

No other place in Python does it. Stores whose rows are moved by Python share it, each with `Lines`
of its own. Redis does it again in Lua (turn.lua). The contract suite holds both together.
"""

from __future__ import annotations

import functools
import operator
from typing import Protocol, TypeVar

from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.states import TERMINAL, Edge, Rank, State, state_of

VALUES = ("failures", "crashes", "solo", "error", "result", "progress")
NO_VALUES = (None,) * len(VALUES)
values_of = operator.attrgetter(*VALUES)

_ACTIVE = str(State.ACTIVE)
_ENDED = frozenset(map(str, TERMINAL))
_TAIL, _KEPT = Rank.TAIL, Rank.KEPT  # an enumeration's members are slow to get
_state_of = functools.lru_cache(maxsize=1_000)(state_of)


class Row(Protocol):
    """What a store has of one job, in memory; it has the fields of `VALUES`, too."""

    place: str
    token: int


R_contra = TypeVar("R_contra", bound=Row, contravariant=True)


class Lines(Protocol[R_contra]):
    """The jobs of a queue, each in the ordered line of its place, at one moment."""

    def has_lapsed(self, row: R_contra) -> bool:
        """Whether the lease of its claim has ended."""

    def is_name_taken(self, row: R_contra) -> bool:
        """Whether another live job has its unique name."""

    def leave_ghost(self, row: R_contra) -> None:
        """Have the claim of an active row keep its permit, if the queue has limits."""

    def end_ghost(self, id: str, token: int) -> None:
        """The holder of a claim that was taken away says that its code has ended."""

    def retake_name(self, row: R_contra) -> None:
        """It has come back from a run: its unique name is its own again, if that is free."""

    def revive(self, row: R_contra) -> None:
        """Have its age count from now, and its unique name be its own again."""

    def move_to_tail(self, row: R_contra) -> None:
        """Have it wait behind all others of its priority."""

    def move_back(self, row: R_contra, place: str) -> None:
        """Put it where it stood when it was last claimed."""

    def move_in_time(self, row: R_contra, place: str, delay: float) -> None:
        """Order it by the store's clock, so many seconds from now."""

    def keep(self, row: R_contra, keep: float | None) -> None:
        """Note how many seconds an ended row is kept; None means by number."""

    def note_attempt(self, row: R_contra, told: bytes) -> None:
        """Have its record keep an attempt more, see domain/attempts.py."""

    def settle_edges(self, row: R_contra) -> None:
        """It has ended: what waited for it alone comes back, and it waits for nothing more."""


def apply(lines: Lines[R_contra], row: R_contra | None, change: Change) -> Answer:
    """Apply a change to the row of its job, if that is still where the decision found it."""
    path = change.path
    answer = _judge(lines, row, change, path)
    if row is not None and answer == "applied":
        if change.outside and change.takes_away and row.place == _ACTIVE:
            lines.leave_ghost(row)
        _place(lines, row, change, path)
    else:
        lines.end_ghost(change.id, change.token)
    return answer


def _judge(lines: Lines[R_contra], row: R_contra | None, change: Change, path: Edge) -> Answer:
    if row is None:
        return "gone"
    if row.token != change.token:
        return "stale"
    if _state_of(row.place) not in path.sources:
        return "already"
    if change.lapsed and not lines.has_lapsed(row):
        return "stale"
    if path.revives and lines.is_name_taken(row):
        return "taken"
    return "applied"


def _place(lines: Lines[R_contra], row: R_contra, change: Change, path: Edge) -> None:
    row.token += change.outside
    target = change.place or path.place
    if path.revives:
        lines.revive(row)
    if target != row.place:
        if path.rank is _TAIL:
            lines.move_to_tail(row)
        elif path.rank is _KEPT:
            lines.move_back(row, target)
        else:
            lines.move_in_time(row, target, change.delay)
    if path.returns:
        lines.retake_name(row)
    _write(lines, row, change)
    if path.place in _ENDED:
        lines.keep(row, change.keep)
        lines.settle_edges(row)


def _write(lines: Lines[R_contra], row: R_contra, change: Change) -> None:
    values = values_of(change)
    if values != NO_VALUES:
        for field, value in zip(VALUES, values, strict=True):
            if value is not None:
                setattr(row, field, value)
    if change.attempt is not None:
        lines.note_attempt(row, change.attempt)
