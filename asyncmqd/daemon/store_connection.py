"""Getting to the store, as often as it takes."""

from __future__ import annotations

import msgspec

from asyncmqd.backends.base import BaseBackend, StoreError, StoreOutdated, StoreRefused
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.process.context import ProcessContext


async def reach_store(context: ProcessContext) -> int:
    """Connect, and take back what dead former selves of this process held; how many jobs.

    Tries until the store answers. Raises StoreRefused if it does not want us.
    """
    failures = 0
    while True:
        try:
            await _connect(context.backend, context.observer)
            recovered = await context.recovery.reclaim()
        except StoreRefused:
            raise
        except StoreError as error:
            context.health.failed(error)
            await context.health.pause(failures)
            failures += 1
        else:
            context.health.answered()
            return recovered


async def _connect(backend: BaseBackend, observer: Observer) -> None:
    """Connect. A store that only this host uses is brought to our layout first.

    On a server, daemons of the older release may be at work on other hosts: there it is the
    administrator who says when.
    """
    try:
        await backend.connect()
    except StoreOutdated:
        if not backend.one_host:
            raise
        if done := await backend.migrate():
            observer.event("store.migrated", **msgspec.structs.asdict(done))
        await backend.connect()
