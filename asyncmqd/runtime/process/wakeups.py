"""`Wakeups`: the workers of a process look for work when the store says that there may be some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from weakref import WeakMethod

from asyncmqd.backends.base import ASSIGNED, RECALLED, WATCHED, Assigned, BaseBackend, Take
from asyncmqd.runtime.duties import Duty, DutyGroup
from asyncmqd.runtime.process.health import Health
from asyncmqd.runtime.process.workers import WorkerHandle, Workers

LONGEST_WAIT = 30.0  # seconds of one call to the store
_NO_QUEUES = frozenset({RECALLED, WATCHED, ASSIGNED})


class Wakeups:
    """One connection waits for work for all queues of a process, so that an idle one costs nothing.

    If a wake-up is lost, the sweep of `Recovery` finds the jobs. `on_recall` is called when jobs
    were taken from their holders, or may have been while nobody listened; `on_watched` when
    somebody began to watch events, in the same way.
    """

    def __init__(
        self, backend: BaseBackend, workers: Workers, health: Health, duties: DutyGroup
    ) -> None:
        self._backend = backend
        self._workers = workers
        self._health = health
        self._duties = duties
        self.on_recall: Callable[[], None] = lambda: None
        self.on_watched: Callable[[], None] = lambda: None
        self._has_listened = False
        self._take = _while_there(WeakMethod(self._hand_out))  # a store may outlive a context
        self._listening: Duty | None = None  # from the first worker on
        workers.on_register.append(self._listen_anew)
        health.on_recovery.append(self.wake_all)

    def wake(self, queue: str) -> None:
        """Have the workers of a queue look for work."""
        for worker in self._workers.of(queue):
            worker.wake()

    def wake_all(self) -> None:
        """Have all workers look for work."""
        for queue in list(self._workers.queues):
            self.wake(queue)

    # ------------------------------------------------------------------ for other processes

    async def retire(self, queue: str) -> None:
        """A worker of the queue claims no more: have others woken; who goes on here signs up anew.

        To be called before it hands jobs back, or we might be the ones who are woken for them.
        Raises StoreError.
        """
        await self._backend.retire(queue)
        for worker in self._workers.of(queue):
            if worker.claiming:  # all here have one registration
                worker.wake()

    async def hand_over(self, queue: str) -> None:
        """A worker that was woken has no room left: have others woken, unless one here has some.

        Raises StoreError.
        """
        if not any(worker.has_room for worker in self._workers.of(queue)):
            await self._backend.retire(queue)

    def sign_up_others(self, queue: str) -> None:
        """A worker of the queue got all that it asked for, and the store may take this process for
        a full one: others here, which wait for a job, ask once more.
        """
        workers = self._workers.of(queue)
        if len(workers) > 1:
            for worker in workers:
                worker.wake()

    # ------------------------------------------------------------------ inside

    def _hand_out(self, assigned: Assigned) -> None:
        """A job was assigned to a worker of this process. One that is gone has looked for it."""
        for worker in self._workers.of(assigned.claim.queue):
            worker.assign(assigned)

    def _of_all(self) -> Iterator[WorkerHandle]:
        for queue in self._workers.queues:
            yield from self._workers.of(queue)

    def _listen_anew(self) -> None:
        """Wait for another set of queues; several workers at once restart the wait once."""
        if self._listening is None:
            self._listening = self._duties.begin("wake-ups", self._listen_for_ever)
        else:
            self._listening.renew()

    async def _listen_for_ever(self) -> None:
        await self._health.persistently(self._listen)

    async def _listen(self) -> None:
        self._backend.take_assigned(self._take)
        is_first, self._has_listened = not self._has_listened, True
        woken = await self._backend.wait({*self._workers.queues, *_NO_QUEUES}, LONGEST_WAIT)
        if RECALLED in woken:
            self.on_recall()
        if WATCHED in woken:  # at first, too: a heartbeat may have asked just before somebody did
            self.on_watched()
        # Nobody had signed up before the first time. If that ended early, somebody may have since.
        if ASSIGNED in woken and not is_first:
            for worker in self._of_all():
                worker.look_for_assigned()
        # In the same order at each run of a simulated world.
        for queue in sorted(woken - _NO_QUEUES):
            self.wake(queue)


def _while_there(take: WeakMethod[Take]) -> Take:
    def call(assigned: Assigned) -> None:
        if (found := take()) is not None:
            found(assigned)

    return call
