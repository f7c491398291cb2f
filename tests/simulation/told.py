"""The judge of events: what is told did happen, in this order and once, and all of it is read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from asyncmqd.domain.events import MISSED, Event, Position, decode
from asyncmqd.observe.event_names import EDGE_EVENTS

Hold = Callable[..., None]
"""Raises if its first argument is false."""
_IN_NO_ORDER = frozenset(
    {"job.cancelled", "job.lease_lost", "job.stuck", "job.recovered", "job.quarantined"}
)
"""What is learnt by calls of their own, beside the exchanges of the claim loop."""
_CHANGES = frozenset(EDGE_EVENTS.values())
_NOWHERE = Position(0, 0)


@dataclass
class Teller:
    """What one process did to jobs, by job and in order, and how far it has told that."""

    done: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    told: Counter[tuple[str, str]] = field(default_factory=Counter)
    beside: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # not told yet
    since: int | None = None  # changes before its first call that were taken
    changes: int = 0
    told_changes: int = 0
    missed: int = 0

    def tell(self, event: Event, hold: Hold) -> None:
        """It says that this happened."""
        job = (event.queue or "", event.job_id or "")
        self.told_changes += event.event in _CHANGES
        if event.event in _IN_NO_ORDER:
            self.beside[*job, event.event] -= 1
            hold(self.beside[*job, event.event] >= 0, "told, and it did not happen:", event)
            return
        rest = self.done[job][self.told[job] :]
        hold(event.event in rest, "told twice, or before another, or for nothing:", event, rest)
        if event.event not in rest:  # of a store that has lost writes
            return
        self.told[job] += rest.index(event.event) + 1


@dataclass
class Told:
    """What processes tell, and what a watcher reads."""

    tellers: dict[str, Teller] = field(default_factory=lambda: defaultdict(Teller))
    position: Position = _NOWHERE
    lines: list[bytes] = field(default_factory=list)  # of this epoch
    epochs: int = 0
    read_to: Position | None = None
    read: Counter[str] = field(default_factory=Counter)

    # ------------------------------------------------------------------ what happened

    def claimed(self, queue: str, id: str, worker: str) -> None:
        """A job may begin to run."""
        teller = self.tellers[worker.partition("#")[0]]
        teller.done[queue, id].append("job.started")
        for name in ("job.lease_lost", "job.stuck"):
            teller.beside[queue, id, name] += 1

    def changed(self, sender: str, queue: str, id: str, edge: str, holder: str) -> None:
        """A change was applied; `holder` is the worker that has or had the claim."""
        if edge == "cancel":
            self.tellers[holder.partition("#")[0]].beside[queue, id, "job.cancelled"] += 1
        elif name := EDGE_EVENTS.get(edge):
            teller = self.tellers[sender]
            teller.changes += 1
            if name in _IN_NO_ORDER:
                teller.beside[queue, id, name] += 1
            else:
                teller.done[queue, id].append(name)

    # ------------------------------------------------------------------ what is told

    def watched(self, position: Position, hold: Hold) -> None:
        """Somebody says that he watches."""
        if position.epoch != self.position.epoch:
            self.epochs += 1
            self.position, self.lines = position, []
        hold(position == self.position, "the newest event is", self.position, "and not", position)

    def published(self, sender: str, lines: Sequence[bytes], taken: bool, hold: Hold) -> None:
        """A process has told."""
        if not taken:
            return
        teller = self.tellers[sender]
        if teller.since is None:
            teller.since = teller.changes
        for line in lines:
            self.lines.append(line)
            self.position = Position(self.position.epoch, len(self.lines))
            event = decode(line, self.position)
            assert event is not None
            if event.event == MISSED:
                teller.missed += event.missed or 0
            elif event.event.startswith("job."):
                teller.tell(event, hold)

    # ------------------------------------------------------------------ what is read

    def was_read(self, event: Event, hold: Hold) -> None:
        """A watcher has got it."""
        position = Position.of(event.position)
        assert self.read_to is not None, "where he began"
        before, self.read_to = self.read_to, position
        if position.epoch != self.position.epoch:
            return  # of an epoch that is over, of which no line is known any more
        at = position.number
        line = self.lines[at - 1] if 0 < at <= len(self.lines) else b""
        if event != decode(line, position):
            hold(event.event == MISSED, "read, and nobody told it:", event)
            known = position.epoch == before.epoch
            gone = at - before.number
            hold(event.missed == gone or not known, "missed", event.missed, "and not", gone)
            return
        follows = position == before._replace(number=before.number + 1)
        hold(follows or self.epochs > 1, "read", position, "after", before)
        self.read[event.event] += 1

    @property
    def is_read(self) -> bool:
        """Whether the watcher has all there is."""
        return self.read_to == self.position or not self.lines

    @property
    def sums(self) -> dict[str, int]:
        """How many events there were."""
        tellers = self.tellers.values()
        told = sum(each.told.total() for each in tellers)
        missed = sum(each.missed for each in tellers)
        return {"told": told, "read": self.read.total(), "missed": missed}

    def check_end(self, processes: Sequence[Any], hold: Hold) -> None:
        """Whoever lost no call and was not killed has told all that it did."""
        for process in processes:
            teller = self.tellers[process.name]
            excused = process.loop.dead or process.store.failures
            if excused or teller.since is None or self.epochs > 1:
                continue
            rest = teller.changes - teller.told_changes - teller.missed
            hold(rest <= teller.since, process.name, "has not told", rest, "changes")
