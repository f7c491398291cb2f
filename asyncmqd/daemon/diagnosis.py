"""`Diagnosis`: what is wrong with the queues of a daemon, asked of the store now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.domain import clock
from asyncmqd.domain.heartbeat import BEAT
from asyncmqd.domain.loop_tasks import retrieve_error

if TYPE_CHECKING:
    from asyncmqd.admin.causes import Cause

CALM = 3 * BEAT  # seconds between two looks while nothing is wrong
LOOKED_AT = 20  # queues whose jobs are looked at: those with most waiting jobs
LISTED = 20  # active jobs that are looked at of each
OLD = 6 * BEAT  # seconds after which what the store said is not told any more


class Diagnosis:
    """Keeps the answer of the last look. A call to the store is never cancelled or doubled."""

    def __init__(self, backend: BaseBackend) -> None:
        self._backend = backend
        self._found: list[Cause] = []
        self._looked = float("-inf")  # the monotonic time of the last answer
        self._begun = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    @property
    def found(self) -> list[Cause]:
        """What was wrong with the queues at the last look, if that is not too long ago."""
        return self._found if self.age < OLD else []

    @property
    def age(self) -> float:
        """Seconds since the last answer."""
        return clock.monotonic() - self._looked

    def look_after(self, queues: Sequence[str]) -> None:
        """Begin a look if it is time for one."""
        pause = BEAT if self._found else CALM
        if clock.monotonic() - self._begun >= pause:
            self._begin(queues)

    async def refresh(self, queues: Sequence[str], limit: float) -> None:
        """Look now, and wait for the answer, at most `limit` seconds."""
        await asyncio.wait([self._begin(queues)], timeout=limit)

    def _begin(self, queues: Sequence[str]) -> asyncio.Task[None]:
        if self._looking is None or self._looking.done():
            self._begun = clock.monotonic()
            self._looking = asyncio.create_task(self._look(queues), name="diagnosis")
            self._looking.add_done_callback(retrieve_error)
        return self._looking

    async def _look(self, queues: Sequence[str]) -> None:
        from asyncmqd.admin import causes, facts  # no daemon needs them to start

        try:
            read = await facts.of_queues(self._backend, queues, looked_at=LOOKED_AT, listed=LISTED)
        except StoreError:
            return  # those who need the store tell of it
        self._found, self._looked = causes.of_queues(read), clock.monotonic()
