"""What all instances of one memory URL share."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from asyncmqd.backends.base import StoreError, WorkerRecord
from asyncmqd.backends.memory.rows import Queue
from asyncmqd.domain import os_threads

if TYPE_CHECKING:
    from asyncmqd.backends.memory.events import Epoch


class Store:
    """What all instances of one URL share."""

    def __init__(self) -> None:
        self._lock = os_threads.rlock()
        self._process = 0  # whose jobs these are: that of the first who looks, or adds one
        self.queues: defaultdict[str, Queue] = defaultdict(Queue)
        self.workers: dict[str, tuple[WorkerRecord, float]] = {}
        self.epoch: Epoch | None = None  # of events
        self.marks: dict[str, tuple[float, bytes]] = {}  # by id
        self.listeners: list[Callable[[str], None]] = []
        self.hearers: list[Callable[[str, Collection[str]], None]] = []

    @property
    def lock(self) -> threading.RLock:
        """For one look or change. Raises StoreError in a process that was forked after the first:
        its copy of the jobs is nobody's, and the lock may be held by a thread that it lacks.
        """
        if self._process != (here := os.getpid()):
            if self._process:
                raise StoreError(
                    f"memory://: the jobs are in the memory of process {self._process}, which a"
                    f" forked process ({here}) cannot reach: enqueue before the fork, or use a"
                    " store that processes share, such as sqlite:///"
                )
            self._process = here
        return self._lock

    def wake(self, queue: str) -> None:
        for listener in list(self.listeners):
            listener(queue)

    def tell(self, queue: str, ended: Collection[str]) -> None:
        if ended:
            for hearer in list(self.hearers):
                hearer(queue, ended)
