"""What a store tells without changing anything."""

from __future__ import annotations

import abc
from collections.abc import Sequence

from asyncmqd.domain.job import Counts, Record
from asyncmqd.domain.states import State


class Reading(abc.ABC):
    """What a store tells."""

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

    # last, because its name hides the builtin that the annotations above mean
    @abc.abstractmethod
    async def list(
        self, queue: str, state: State, offset: int = 0, limit: int = 100
    ) -> list[Record]:
        """A page of the jobs in `state`: next to run first, and ended jobs newest first."""
