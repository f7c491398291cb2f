"""The judge of marks: what is noted of processes is true, is noted once, and nothing is missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from asyncmqd.domain.marks import Mark, Marked, id_of, marked

Hold = Callable[..., None]
"""Raises if its first argument is false."""


@dataclass
class Noted:
    """What the store has of processes: who is listed, and what was noted of whom."""

    ends: dict[str, float] = field(default_factory=dict)  # of records, by the store's clock
    away: set[str] = field(default_factory=set)  # were listed once, and then not any more
    marks: dict[str, Mark] = field(default_factory=dict)  # by their ids, the first of each

    def beat(self, who: str, end: float, now: float) -> None:
        """It says that it lives: its record is kept until `end`."""
        self.drop(now)
        self.ends[who] = end

    def drop(self, now: float) -> None:
        """Records that have run out are dropped, also if the clock then goes back."""
        gone = {each for each, end in self.ends.items() if end <= now}
        self.away |= gone
        for who in gone:
            del self.ends[who]

    def leave(self, who: str) -> None:
        """It says that it ends, or another one says that it is dead."""
        if self.ends.pop(who, None) is not None:
            self.away.add(who)

    def note(self, sender: Any, id: str, data: bytes, now: float, hold: Hold, dead: bool) -> None:
        """A mark; `dead`: the process that it is about has ended or died."""
        found = marked(now, data)
        hold(found is not None, "a mark that cannot be read:", data)
        assert found is not None
        mark = found.mark
        hold(id == id_of(mark, 0), "a mark by another name:", id, mark)
        if mark.kind == "stopped":
            hold(mark.who == sender.name, "the stop of another:", mark, "by", sender.name)
        else:
            hold(mark.kind == "died", "a mark of another kind:", mark)
            is_silent = mark.who in self.away or self.ends.get(mark.who, math.inf) <= now
            hold(dead or is_silent, "taken for dead:", mark, "by", sender.name)
        self.marks.setdefault(id, mark)

    def check_store(self, told: Sequence[Marked], hold: Hold) -> None:
        """The store tells what was noted, in order."""
        found, want = [each.mark for each in told], [*self.marks.values()]
        hold(found == want, "the store tells", found, "and not", want)

    def check_ends(self, former: Iterable[Any], hold: Hold) -> None:
        """Each process that was ever listed has noted its stop, or another has noted its death."""
        noted = {mark.who: mark for mark in self.marks.values()}
        for process in former:
            mark = noted.get(process.name)
            if process.name in self.ends or process.name in self.away:
                hold(mark is not None, "nobody has noted the end of", process.name)
            if mark is not None and process.ended:
                hold(mark.kind == "stopped", process.name, "has stopped, and it is noted as", mark)
