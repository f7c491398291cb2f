"""What the verbs work on: one transaction, with one moment for all that happens in it."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from typing import Any

import msgspec

from asyncmqd.backends.sqlite import sql_statements
from asyncmqd.backends.sqlite.clock import Anchor, HostClock
from asyncmqd.backends.sqlite.clock_correction import turn_back
from asyncmqd.backends.sqlite.lanes import Lanes
from asyncmqd.domain.rate import Filling
from asyncmqd.domain.shared_limits import DeclaredLimits
from asyncmqd.domain.states import State

_SQL = sql_statements.load("moves.sql")
_limits = msgspec.json.Decoder(DeclaredLimits).decode


class Snapshot:
    """A transaction that reads, and the moment of its reading."""

    def __init__(self, connection: sqlite3.Connection, host: HostClock) -> None:
        self._connection = connection
        self.execute = connection.execute
        boot, since_boot, time, slow, sequence = self.execute(_SQL["clock"]).fetchone()
        self.anchor = Anchor(boot, since_boot, time, slow)
        self.sequence: int = sequence
        self._read_clock(host)

    def _read_clock(self, host: HostClock) -> None:
        self.since_boot = host.since_boot()
        self.time = self.anchor.time_at(self.since_boot)

    def commit(self) -> None:
        """End the transaction."""
        self.execute("COMMIT")

    def date_of_lease(self, end: int) -> int:
        """The date at which a lease ends, for people; the store judges by the time since boot."""
        anchor = self.anchor
        if anchor.slow:
            return self.time + end - self.since_boot
        return anchor.time + end - anchor.since_boot


class Transaction(Snapshot):
    """A transaction that writes.

    What every move touches is gathered here and written once, at the end: the clock, the number
    of the last move, and the tallies.
    """

    def __init__(self, connection: sqlite3.Connection, host: HostClock) -> None:
        super().__init__(connection, host)
        self.executemany = connection.executemany
        self.woken: set[str] = set()  # queues that may have work for somebody who sleeps
        self.ended: defaultdict[str, list[str]] = defaultdict(list)  # ids by queue
        self._changes = connection.total_changes
        self._tallies: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        self.lanes: dict[str, Lanes] = {}  # by queue, of those whose lanes were touched
        self._adjust(host)

    def _adjust(self, host: HostClock) -> None:
        self._kept = known = self.anchor
        self.anchor = host.adjusted(known)
        if self.anchor is known:
            return
        self._read_clock(host)
        before = known.time_at(self.since_boot)
        if self.anchor.boot == known.boot and self.time < before:
            turn_back(self.execute, before, self.time)
        if self.anchor.boot != known.boot:
            self.execute(_SQL["end_leases"], {"place": str(State.ACTIVE)})
            self.execute(_SQL["end_ghosts"])
            self.execute(_SQL["end_awaited_leases"])
            self.execute(_SQL["forget_workers"])
            self.execute(_SQL["end_epoch"])
        if not self.anchor.goes_on_from(known):  # who only reads is to know it too
            save_clock(self.execute, self.anchor, self.sequence)

    def next(self, count: int = 1) -> int:
        """The number of this move, or of the first of so many; later ones have greater numbers."""
        first = self.sequence + 1
        self.sequence += count
        return first

    def lanes_of(self, queue: str) -> Lanes:
        """The lanes of a queue, in this very moment."""
        found = self.lanes.get(queue)
        if found is None:
            found = self.lanes[queue] = Lanes(self, queue)
        return found

    def forget_idle_lanes(self, queue: str) -> None:
        """At the end of a verb in which jobs of a queue may have left their lanes."""
        if queue in self.lanes:
            self.lanes[queue].forget_idle()

    def count(self, queue: str, line: str, jobs: int, size: int = 0) -> None:
        """Note that so many jobs entered a line, or left it (negative)."""
        tally = self._tallies[queue, line]
        tally[0] += jobs
        tally[1] += size

    def gathered(self, queue: str, line: str) -> int:
        """How many more jobs a line has than is written of it."""
        found = self._tallies.get((queue, line))
        return found[0] if found else 0

    def tallies(self, queue: str) -> dict[str, tuple[int, int]]:
        """Jobs and bytes of each line of a queue that is not empty, in this very moment."""
        self._write_tallies()
        return tallies(self, queue)

    def commit(self) -> None:
        """Write what was gathered, and commit.

        Looking for work and finding none writes nothing, so that it costs no flush.
        """
        for lanes in self.lanes.values():
            lanes.save()
        self.lanes.clear()  # they know the transaction: a cycle would wait for the collector
        self._write_tallies()
        if self._connection.total_changes != self._changes:
            if self.anchor is self._kept:
                self.execute(_SQL["set_sequence"], (self.sequence,))
            else:
                save_clock(self.execute, self.anchor, self.sequence)
        super().commit()

    def _write_tallies(self) -> None:
        changed = [(*key, *tally) for key, tally in self._tallies.items() if any(tally)]
        if changed:
            self.executemany(_SQL["tally"], changed)
        self._tallies.clear()


def tallies(view: Snapshot, queue: str) -> dict[str, tuple[int, int]]:
    """Jobs and bytes of each line of a queue that is not empty."""
    rows = view.execute(_SQL["tallies"], (queue,))
    return {line: (jobs, size) for line, jobs, size in rows}


def gate(view: Snapshot, queue: str) -> tuple[bool, DeclaredLimits | None, bool]:
    """Whether claims of this queue are stopped, its limits over all daemons, whether it has lanes.

    Lanes that jobs have entered in this very transaction do not count yet.
    """
    paused, limits, keyed = view.execute(_SQL["gate"], {"queue": queue}).fetchone()
    return bool(paused), None if limits is None else _limits(limits), bool(keyed)


def ghosts(view: Snapshot, queue: str) -> tuple[int, int | None]:
    """How many ghosts hold a permit of a queue, and when the first of their leases ends."""
    found: tuple[int, int | None] = view.execute(
        _SQL["ghosts"], (queue, view.since_boot)
    ).fetchone()
    return found


def filling(view: Snapshot, queue: str) -> Filling:
    """What is kept of the bucket of a queue's rate over all daemons."""
    return Filling(*view.execute(_SQL["filling"], (queue,)).fetchone())


def save_clock(execute: Any, anchor: Anchor, sequence: int) -> None:
    """Keep the clock and the last number."""
    row = (anchor.boot, anchor.since_boot, anchor.time, anchor.slow, sequence)
    execute(_SQL["set_clock"], row)
