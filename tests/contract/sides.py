"""The two stores of a play, and what commands say of their jobs and times."""

from __future__ import annotations

import msgspec

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.change import Change
from asyncmqd.domain.events import Position
from asyncmqd.domain.states import TERMINAL, State
from tests.contract.company import Company

FAR = 10_000.0  # seconds


class Side(msgspec.Struct):
    """One of the two stores, with what commands have to know of it."""

    backend: BaseBackend
    queue: str
    company: Company
    start: float = 0.0  # its clock, when the play began
    tokens: dict[str, int] = {}
    carriers: dict[str, int] = {}  # the tokens of operations
    watched: Position = Position(0, 0)  # since the play began
    published: int = 0  # events since then


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


def rough(time: float | None, now: float) -> int | None:
    """A time in units of `FAR` from now."""
    return None if time is None else round((time - now) / FAR)
