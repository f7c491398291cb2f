"""`shared_context`: one context for all runners of a process on one store, without a daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncmqd.backends.base import BaseBackend
from asyncmqd.runtime.process.context import ProcessContext

# By store, and by event loop: a context belongs to one.
_Key = tuple[BaseBackend, asyncio.AbstractEventLoop]
_shared: dict[_Key, tuple[ProcessContext, int]] = {}


@asynccontextmanager
async def shared_context(backend: BaseBackend) -> AsyncIterator[ProcessContext]:
    """The context of this loop on `backend`: started for the first worker, ended by the last."""
    key = backend, asyncio.get_running_loop()
    context, users = _shared.get(key, (None, 0))
    if context is None:
        context = ProcessContext(backend)
        _shared[key] = (context, 1)
        await context.__aenter__()
    else:
        _shared[key] = (context, users + 1)
    try:
        yield context
    finally:
        context, users = _shared[key]
        if users > 1:
            _shared[key] = (context, users - 1)
        else:
            del _shared[key]
            await context.__aexit__()
