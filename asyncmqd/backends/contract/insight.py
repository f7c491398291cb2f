"""What only people ask for: how a job came to where it is, and what happened to its daemons."""

from __future__ import annotations

import abc

from asyncmqd.domain.in_line import InLine
from asyncmqd.domain.key_backlog import KeyBacklog
from asyncmqd.domain.marks import Marked

KEYS_LOOKED_AT = 1_000  # by one call of `key_backlog`, twice


class Insight(abc.ABC):
    """It costs those nothing who do not look."""

    @abc.abstractmethod
    async def attempts(self, queue: str, id: str) -> bytes:
        """The last attempts of a job that did not end it well: see `domain.attempts`.

        Empty if there were none, or no such job.
        """

    @abc.abstractmethod
    async def key_backlog(self, queue: str, most: int) -> KeyBacklog:
        """The keys with most jobs that wait.

        It looks at those whose turn is next and at those that limits hold back, at most
        `KEYS_LOOKED_AT` of each.
        """

    @abc.abstractmethod
    async def in_line(self, queue: str, id: str) -> InLine | None:
        """What stands before a waiting job; None if it does not wait, is parked, or is gone."""

    @abc.abstractmethod
    async def mark(self, id: str, mark: bytes) -> None:
        """Note now what happened to a process, unless there is a mark of that id.

        Only the newest are kept, and not for long: see `domain.marks`.
        """

    @abc.abstractmethod
    async def marks(self) -> list[Marked]:
        """What was noted, the oldest first."""
