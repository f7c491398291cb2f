"""The judge of operations: each job of a selection is moved once, and what is told is true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from asyncmqd.backends.base import OperationRecord
from asyncmqd.domain.operation import Order, Progress, order_of, progress_of

EXACT = 0.001  # seconds: what ended so soon after the beginning may be meant
Hold = Callable[..., None]
"""Raises if its first argument is false."""


@dataclass
class Operated:
    """One operation, as the rules say that it must be."""

    order: Order
    begun: float  # by the store's clock, from the world's beginning on
    meant: dict[str, int]  # jobs that were in its states when it began, and how often they moved
    token: int
    carrier: str
    until: float
    moved: Counter[str] = field(default_factory=Counter)  # by id
    progress: Progress = field(default_factory=Progress)
    # Jobs moved in steps that were not whole, whose progress is not written: who comes after one
    # that died then does not find them again.
    unwritten: int = 0
    outcome: str = ""

    @classmethod
    def begun_as(cls, record: OperationRecord, lives: dict[str, Any], clock: float) -> Operated:
        """That of a new record, and of the jobs that there are by this clock."""
        order = order_of(record.order)
        assert order is not None
        meant = {id: life.moves for id, life in lives.items() if life.state in order.states}
        holder = record.token, record.carrier, record.until
        return cls(order, clock, meant, *holder)

    def carry(self, record: OperationRecord, living: set[str], now: float, hold: Hold) -> None:
        """Another carries it from now on."""
        hold(not self.outcome, "carried after its end:", record)
        hold(record.token == self.token + 1, "token", self.token, "was followed by", record)
        free = self.until <= now or self.carrier == record.carrier
        hold(free or self.carrier not in living, "taken from who carries it:", self.carrier, record)
        hold(progress_of(record.progress) == self.progress, "not from where it was:", record)
        self.token, self.carrier, self.until = record.token, record.carrier, record.until

    def advance(
        self, token: int, ids: Sequence[str], answers: Any, lives: dict[str, Any], hold: Hold
    ) -> None:
        """A step of who carries it; `ids` are the jobs that were to move, as they were before."""
        mine = token == self.token and not self.outcome
        hold((answers is not None) == mine, "a step of token", token, "and not", self.token)
        if answers is None:
            return
        moved = [id for id, answer in zip(ids, answers, strict=True) if answer == "applied"]
        self.moved.update(moved)
        if {"stale", "already"} & set(answers):
            self.unwritten += len(moved)
        for id in moved:
            hold(self.moved[id] == 1, "moved twice by one operation:", id)
            # Whether others came into their states since, nothing tells.
            meant = self.order.verb != "retry" or id in self.meant
            hold(meant or lives[id].due <= self.begun + EXACT, "moved though it was not meant:", id)

    def note(self, progress: Progress, hold: Hold) -> None:
        """How far it says that it is.

        Not for a store that has lost writes: then two of its carriers may have the same token.
        """
        is_further = (progress.part, progress.searched) >= (
            self.progress.part,
            self.progress.searched,
        )
        hold(is_further, "it went back to", progress, "from", self.progress)
        found = progress.searched + self.unwritten
        hold(found >= self.moved.total(), "moved more than it has searched:", progress)
        hold(progress.left == 0, "left for no reason:", progress)
        self.progress = progress

    def end(self, lives: dict[str, Any], hold: Hold) -> None:
        """It is done: all that it meant has been moved, by it or by others."""
        self.outcome = "done"
        for id, moves in self.meant.items():
            passed = id not in lives or lives[id].moves > moves
            hold(passed, "left alone by", self.order, "which is done:", id, lives.get(id))

    def check(self, record: OperationRecord, hold: Hold) -> None:
        """What the store tells of it is true."""
        told = record.outcome, record.moved, progress_of(record.progress)
        true = self.outcome, self.moved.total(), self.progress
        hold(told == true, "the store tells", told, "and not", true)
