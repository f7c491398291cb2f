"""A `Change`: one edge for one job, decided here and applied anywhere."""

from __future__ import annotations

from typing import Literal

import msgspec

from asyncmqd.domain.states import EDGES, Edge

Answer = Literal["applied", "already", "stale", "gone", "taken"]
"""What a store says of a `Change`.

- `applied`: done now.
- `already`: this very token had settled the job before (the reply was lost, and it was retried).
- `stale`: the job has moved on; nothing was changed.
- `gone`: the store has no such job.
- `taken`: the job has ended, and another live job has its unique name (`Record.holder`).
"""


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One edge of the state table for one job, with everything that a store has to write.

    A store applies it, atomically, if the job's state is one of the edge's sources **and** the job
    still carries `token` (and, with `lapsed`, its lease has ended). A field that is None is left
    as it is.
    """

    queue: str
    id: str
    edge: str
    token: int
    # Moved by somebody other than the holder of the claim (an operator, or whoever recovers the
    # job of a dead worker): the store raises the token, so that the holder's late write is stale.
    outside: bool = False
    # By the holder of a claim whose job did not start: a rate over all daemons has its token back.
    unstarted: bool = False
    lapsed: bool = False  # apply only if the lease has ended
    delay: float = 0.0  # seconds from the store's now, for an edge ranked by time
    place: str | None = None  # where it goes; None means the edge's target state
    failures: int | None = None
    crashes: int | None = None
    solo: bool | None = None
    error: bytes | None = None
    result: bytes | None = None
    progress: bytes | None = None
    attempt: bytes | None = None  # what the record keeps of this run, see attempts.py
    # Terminal states: seconds that the record is kept; None means until `keep_completed` newer
    # ones have come.
    keep: float | None = None

    @property
    def path(self) -> Edge:
        """The edge itself."""
        return EDGES[self.edge]

    @property
    def takes_away(self) -> bool:
        """Whether the holder of a claim is not asked first, and its code runs on for a while."""
        return self.outside and self.edge == "cancel"

    @property
    def target(self) -> str:
        """The place that the job goes to."""
        return self.place or self.path.place
