"""`ProcessContext`: makes the parts that the workers of a process share, and runs their duties.

It decides nothing: who needs a part takes that part. Why so: docs/decisions/parts-of-a-process.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Self

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.domain import clock
from asyncmqd.domain.former_self import Life
from asyncmqd.domain.tasks import REGISTRY, Registry
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.claiming.poison_isolation import Isolation
from asyncmqd.runtime.duties import Duties, DutyGroup
from asyncmqd.runtime.execution.stuck_threads import Overstays
from asyncmqd.runtime.leases import Leases
from asyncmqd.runtime.own_identity import own_life, start_of
from asyncmqd.runtime.process.event_publisher import EventPublisher
from asyncmqd.runtime.process.health import Health
from asyncmqd.runtime.process.operations import Operations
from asyncmqd.runtime.process.presence import Identity, Presence
from asyncmqd.runtime.process.recovery import Recovery
from asyncmqd.runtime.process.wakeups import Wakeups
from asyncmqd.runtime.process.workers import Workers
from asyncmqd.runtime.timetable import Timetable

_LEAVING = 1.0  # seconds that the store gets for what is told last


class ProcessContext:
    """What the workers of one process share on one store. Use it as an async context manager.

    `instance` names what survives a restart (a daemon's host and socket); None means a process that
    will not be started again. `lease` is how long a claim holds without renewal, and
    `hang_limit` how long the loop may be stuck before renewal stops; both in seconds. `life` is
    what its heartbeat tells of this very process. `start_of` and `family` are those of `Identity`.
    """

    def __init__(
        self,
        backend: BaseBackend,
        *,
        instance: str | None = None,
        lease: float = 15.0,
        hang_limit: float = 60.0,
        observer: Observer | None = None,
        registry: Registry = REGISTRY,
        life: Life | None = None,
        start_of: Callable[[int], int | None] = start_of,
        family: str = "",
    ) -> None:
        instance = instance or f"{socket.gethostname()}-{os.getpid()}"
        id = f"{instance}/{clock.nonce()}"
        identity = Identity(instance, id, life or own_life(), lease, start_of, family)
        self.backend = backend
        self.registry = registry
        self.observer = observer = observer or Observer()
        self.duties = Duties(observer)
        self.workers = workers = Workers()
        self._group = group = DutyGroup(self.duties)
        self.health = health = Health(backend, lease, observer)
        self.presence = Presence(backend, identity, workers, health, group, registry, observer)
        self.wakeups = Wakeups(backend, workers, health, group)
        self.recovery = Recovery(
            backend, workers, health, self.wakeups, self.presence, group, registry, observer
        )
        self.timetable = Timetable(backend, health, self.duties, id)
        self.overstays = Overstays(observer)
        self.isolation = Isolation(self.overstays, self.wakeups.wake_all)
        self.leases = Leases(
            backend, lease, hang_limit, observer, self.duties, self.isolation.end_turn
        )
        self.events = EventPublisher(backend, observer, group)
        self.before_leave: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self.operations = Operations(backend, self.presence, self._group, observer)
        self._connect()

    def _connect(self) -> None:
        self.wakeups.on_recall = self.leases.look
        self.wakeups.on_watched = self._begin_to_tell
        self.presence.ask_watched = self.events.ask
        self.presence.on_operations = self.operations.look

    def _begin_to_tell(self) -> None:
        """Somebody watches, or may: at once, for the answer of a heartbeat comes too late."""
        self.events.listen()
        self.presence.beat_soon()  # whose answer says whether that is so

    async def __aenter__(self) -> Self:
        self.health.begin()
        self.leases.start()
        self.presence.start()
        self.recovery.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._group.end()
        self.health.end()
        self.overstays.close()
        await self.leases.stop()
        for last in (*self.before_leave, self.events.end):
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(_LEAVING):
                    await last()
        await self.presence.leave()
