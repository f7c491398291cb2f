"""Who waits in an event loop: for work, or for the end of jobs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection

from asyncmqd.backends.base import Assigned, Take
from asyncmqd.backends.ended_jobs import Heard
from asyncmqd.backends.memory.instances import Store
from asyncmqd.domain.job import Claim


class Ear:
    """Who waits for jobs to end, in one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self.heard = Heard()
        store.hearers.append(self._on_end)

    async def close(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        self._store.hearers.remove(self._on_end)

    def _on_end(self, queue: str, ids: Collection[str]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed
            self._loop.call_soon_threadsafe(self.heard.note, queue, ids)


class Sleeper:
    """Who waits for jobs of a store, in one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listening = False
        self.take: Take | None = None
        self._woken: set[str] = set()
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def wait(self, queues: set[str], timeout: float) -> set[str]:
        if not self._listening:
            self._listening = True
            self._store.listeners.append(self._on_wake)
            return queues
        try:
            async with asyncio.timeout(timeout):
                while not self._woken & queues:
                    self._event.clear()
                    await self._event.wait()
        except TimeoutError:
            return set()
        woken = self._woken & queues
        self._woken -= woken
        return woken

    async def close(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        if self._listening:
            self._listening = False
            self._store.listeners.remove(self._on_wake)
            for waiters in list(self._store.waiters.values()):  # copied in one step
                waiters.pop(self, None)

    def _on_wake(self, queue: str) -> None:
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:  # a plain thread enqueues
            here = None
        if here is self._loop:
            self._note_wake(queue)
        else:
            with contextlib.suppress(RuntimeError):  # it was closed
                self._loop.call_soon_threadsafe(self._note_wake, queue)

    # ------------------------------------------------------------------ jobs that are assigned

    @property
    def hears(self) -> bool:
        """Whether a job may be claimed for a worker here."""
        return self._listening and self.take is not None and not self._loop.is_closed()

    def post(self, claim: Claim, sign_up: int) -> None:
        """Tell of a claim, from whatever thread."""
        assigned = Assigned(claim, sign_up, self._loop.time())
        with contextlib.suppress(RuntimeError):  # it was closed: the lease brings the job back
            self._loop.call_soon_threadsafe(self._hand_out, assigned)

    def _hand_out(self, assigned: Assigned) -> None:
        if self.take is not None:
            self.take(assigned)

    def _note_wake(self, queue: str) -> None:
        self._woken.add(queue)
        self._event.set()
