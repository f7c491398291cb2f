"""`Watch`: waits for one queue's work on behalf of a `worker_loop`, and scans meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from asyncmqd.backends.base import Assigned, StoreError
from asyncmqd.domain.heartbeat import STOPPING, Load
from asyncmqd.domain.job import Claim
from asyncmqd.domain.options import check_queue_name
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.settle import Policy, Released, settle
from asyncmqd.runtime.duties import Duty
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.scanner import Scanner


class Watch:
    """One consumer's view of its queue. Use it as an async context manager."""

    def __init__(
        self, queue: str, context: ProcessContext, worker_id: int, options: QueueOptions
    ) -> None:
        self.queue = check_queue_name(queue)
        self._backend = context.backend
        self._duties = context.duties
        self._workers = context.workers
        self._wakeups = context.wakeups
        self._lease = context.leases.duration
        self.worker = f"{context.presence.id}#{worker_id}"
        self.concurrency = 1
        self.running: dict[str, object] = {}
        self.claiming = True
        self._scanner = Scanner(queue, context, options)
        self._scanning: Duty | None = None
        self._woken = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._workers.register(self)
        name = f"scanner of {self.queue}"
        self._scanning = self._duties.begin(name, self._scanner.run, queue=self.queue)
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.claiming = False
        if self._scanning is not None:
            await asyncio.wait([self._scanning.end()])
        with contextlib.suppress(StoreError):  # then others look by themselves, some time later
            await self._wakeups.retire(self.queue)
        self._workers.unregister(self)

    @contextlib.contextmanager
    def busy_with(self, claim: Claim) -> Iterator[None]:
        """Meanwhile it has no room for another job."""
        self.running[claim.id] = claim
        try:
            yield
        finally:
            del self.running[claim.id]

    def wake(self) -> None:
        """The queue may have work."""
        self._woken.set()

    def assign(self, assigned: Assigned) -> None:
        """A job was claimed for another worker of the queue, which may have been woken for us."""
        del assigned
        self.wake()

    def look_for_assigned(self) -> None:
        """Nothing is assigned here."""

    def look_soon(self) -> None:
        """Jobs of the queue are delayed or active, perhaps elsewhere only."""
        self._scanner.look_soon()

    @property
    def load(self) -> Load:
        """What the heartbeat tells of it."""
        return Load(self.concurrency, len(self.running), "" if self.claiming else STOPPING)

    @property
    def has_room(self) -> bool:
        """Whether it would begin a job at once if it got one now."""
        return self.claiming and not self.running

    @property
    def last_tidied(self) -> float:
        """Loop time at which the retention limits were last applied."""
        return self._scanner.last_tidied

    async def tidy(self) -> None:
        """Apply the retention limits now. Raises StoreError."""
        await self._scanner.tidy()

    async def claim(self) -> Claim:
        """The next job, as soon as there is one. Cancelled, it keeps none. Raises StoreError."""
        while True:
            self._woken.clear()
            claims = await self._claim_or_release()
            if claims:
                self.look_soon()
                self._wakeups.sign_up_others(self.queue)
                return claims[0]
            self._scanner.wake()
            await self._woken.wait()

    async def _claim_or_release(self) -> list[Claim]:
        """A claim whose reply is thrown away would be held by nobody until its lease ends."""
        claiming = asyncio.ensure_future(
            self._backend.claim(self.queue, 1, self._lease, self.worker)
        )
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            with contextlib.suppress(StoreError):  # then its lease ends, or there is none
                changes = [settle(claim, Released(), Policy(), 0.0) for claim in await claiming]
                if changes:
                    await self._backend.apply(self.queue, changes)
            raise
