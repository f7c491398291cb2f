"""What all instances of one memory URL share."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, NamedTuple, Protocol

from asyncmqd.backends.base import StoreError, WorkerRecord
from asyncmqd.backends.memory.rows import Queue
from asyncmqd.domain import os_threads
from asyncmqd.domain.job import Claim

if TYPE_CHECKING:
    from asyncmqd.backends.memory.events import Epoch


class Receiver(Protocol):
    """An event loop whose workers may be given jobs."""

    @property
    def hears(self) -> bool:
        """Whether it is there."""

    def post(self, claim: Claim, sign_up: int) -> None:
        """Tell it of a job that was claimed for one of its workers."""


class SignUp(NamedTuple):
    """A worker that waits for a job of a queue."""

    worker: str
    lease: float
    number: int
    payload_limit: int


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
        # Who waits for a job of each queue.
        self.waiters: defaultdict[str, dict[Receiver, SignUp]] = defaultdict(dict)
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

    def next_waiter(self, queue: str) -> tuple[Receiver, SignUp] | None:
        """One that has signed up, and is there; it has to sign up anew for the next job."""
        waiters = self.waiters[queue]
        for receiver in list(waiters):  # one that ends takes itself out, in a thread of its own
            sign_up = waiters.pop(receiver, None)
            if sign_up is not None and receiver.hears:
                return receiver, sign_up
        return None

    def tell(self, queue: str, ended: Collection[str]) -> None:
        if ended:
            for hearer in list(self.hearers):
                hearer(queue, ended)
