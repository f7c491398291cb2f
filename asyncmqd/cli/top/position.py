"""Where somebody who looks at `asyncmq top` is: what is chosen, sorted, filtered and asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from asyncmqd.admin.overview import Overview, Wanted
from asyncmqd.cli.top.panes import Key, Order, Pane, PaneName, Row, pane, rows

Verb = Literal["pause", "resume", "retry", "cancel"]


class Act(msgspec.Struct, frozen=True):
    """What is to be done to a queue, or to one of its jobs."""

    verb: Verb
    queue: str
    id: str = ""  # of the job; empty: to the queue
    reason: str = ""

    @property
    def named(self) -> str:
        """It in words."""
        return f"job {self.id} of queue {self.queue}" if self.id else f"queue {self.queue}"


class Position(msgspec.Struct, frozen=True):
    """Where somebody is. It stays true whatever the next look brings."""

    pane: PaneName = "queues"
    chosen: Mapping[PaneName, tuple[Key, int]] = {}  # the row that is chosen, and where it was last
    sorting: Mapping[PaneName, Order] = {}
    wanted: Wanted = Wanted()
    filter: str = ""
    filtering: bool = False  # whether what is typed goes into it
    page: Literal["", "keys", "causes"] = ""  # what is shown instead of the panes
    scrolled: int = 0  # lines of that page
    act: Act | None = None  # which is asked about
    said: str = ""  # what became of the last one

    def pane_of(self, name: PaneName) -> Pane:
        """The pane of that name as it is now."""
        return pane(name, self.wanted.state)

    def rows(self, overview: Overview, name: PaneName) -> list[Row]:
        """What a pane shows."""
        order = self.sorting.get(name, Order())
        return rows(overview, self.pane_of(name), order, self.filter)

    def index(self, rows: list[Row], name: PaneName) -> int:
        """Which of the rows is chosen: the same one as before, else the one in its place."""
        key, before = self.chosen.get(name, ((), 0))
        keys = [self.pane_of(name).key(each) for each in rows]
        return keys.index(key) if key in keys else max(0, min(before, len(rows) - 1))

    def row(self, overview: Overview) -> Row | None:
        """The row that is chosen in the pane where somebody is."""
        found = self.rows(overview, self.pane)
        return found[self.index(found, self.pane)] if found else None
