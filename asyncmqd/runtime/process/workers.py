"""`Workers`: who serves which queue in a process, as the parts that they share know them."""

from __future__ import annotations

from collections.abc import Callable, KeysView, Sequence, Sized
from typing import Protocol

from asyncmqd.backends.base import Assigned
from asyncmqd.domain.heartbeat import Load


class WorkerHandle(Protocol):
    """What the shared parts of a process know of a worker."""

    queue: str

    @property
    def concurrency(self) -> int:
        """Jobs that it runs at once."""

    @property
    def running(self) -> Sized:
        """Jobs that it runs now."""

    @property
    def load(self) -> Load:
        """What the heartbeat tells of it."""

    @property
    def claiming(self) -> bool:
        """Whether it takes jobs."""

    @property
    def has_room(self) -> bool:
        """Whether it would begin a job at once if it got one now."""

    @property
    def last_tidied(self) -> float:
        """Loop time at which the retention limits were last applied."""

    def wake(self) -> None:
        """The queue may have work."""

    def assign(self, assigned: Assigned) -> None:
        """A job was claimed for a worker of the queue in this process, perhaps for another one."""

    def look_for_assigned(self) -> None:
        """Messages of such jobs may have been lost."""

    def look_soon(self) -> None:
        """Jobs of the queue are delayed or active, perhaps elsewhere only."""

    async def tidy(self) -> None:
        """Apply the retention limits."""


class Workers:
    """The workers of one process. `on_register` are called whenever one is registered."""

    def __init__(self) -> None:
        self.on_register: list[Callable[[], None]] = []
        self._by_queue: dict[str, list[WorkerHandle]] = {}

    def register(self, worker: WorkerHandle) -> None:
        """Wake this worker when its queue may have work."""
        self._by_queue.setdefault(worker.queue, []).append(worker)
        for tell in self.on_register:
            tell()

    def unregister(self, worker: WorkerHandle) -> None:
        """Wake it no more."""
        workers = self._by_queue[worker.queue]
        workers.remove(worker)
        if not workers:
            del self._by_queue[worker.queue]

    @property
    def queues(self) -> KeysView[str]:
        """The queues that have workers."""
        return self._by_queue.keys()

    def of(self, queue: str) -> Sequence[WorkerHandle]:
        """The workers of a queue."""
        return self._by_queue.get(queue, ())
