"""What a store tells without changing anything."""

from __future__ import annotations

import abc
from collections.abc import Sequence

from asyncmqd.domain.job import Counts, Record
from asyncmqd.domain.selection import Mark, Searched, Sought
from asyncmqd.domain.states import State

SEARCH_PAGE = 2_000  # jobs that one call of `search` looks at, at most


class Reading(abc.ABC):
    """What a store tells.

    A payload over `payload_limit` is not read: whoever put it there went past us, and a list of
    such jobs is as large as a host has memory. It is empty in its record.
    """

    @abc.abstractmethod
    async def now(self) -> float:
        """The store's clock."""

    @abc.abstractmethod
    async def get(self, queue: str, ids: Sequence[str]) -> list[Record | None]:
        """The records of these jobs, in order; None for those that are gone."""

    @abc.abstractmethod
    async def counts(self, queues: Sequence[str]) -> dict[str, Counts]:
        """How many jobs are in each state."""

    @abc.abstractmethod
    async def queues(self) -> list[str]:
        """Every queue that ever had a job or a schedule and was not purged empty, sorted."""

    @abc.abstractmethod
    async def search(
        self,
        queue: str,
        state: State,
        sought: Sought,
        after: Mark | None = None,
        most: int = 100,
        page: int = SEARCH_PAGE,
        *,
        newest_first: bool = False,
    ) -> Searched:
        """Look at the jobs in `state` behind `after`, one after the other, for what is sought.

        It stops after `page` jobs, or when it has found `most`. The order is that in which jobs
        run, or have ended; `newest_first` turns round that of an ended state. What comes to a
        place behind `after` in the meantime is seen. Raises ValueError for a mark that is none of
        this store.
        """

    # last, because its name hides the builtin that the annotations above mean
    @abc.abstractmethod
    async def list(
        self, queue: str, state: State, offset: int = 0, limit: int = 100, *, payloads: bool = True
    ) -> list[Record]:
        """A page of the jobs in `state`: next to run first, and ended jobs newest first.

        Who does not need the payloads leaves them in the store: they may be large.
        """
