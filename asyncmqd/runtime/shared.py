"""`shared_node`: one node for all runners of a process on one store, without a daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncmqd.backends.base import BaseBackend
from asyncmqd.runtime.node import Node

# By store, and by event loop: a node belongs to one.
_Key = tuple[BaseBackend, asyncio.AbstractEventLoop]
_shared: dict[_Key, tuple[Node, int]] = {}


@asynccontextmanager
async def shared_node(backend: BaseBackend) -> AsyncIterator[Node]:
    """The node of this loop on `backend`: started for the first worker, ended by the last."""
    key = backend, asyncio.get_running_loop()
    node, users = _shared.get(key, (None, 0))
    if node is None:
        node = Node(backend)
        _shared[key] = (node, 1)
        await node.__aenter__()
    else:
        _shared[key] = (node, users + 1)
    try:
        yield node
    finally:
        node, users = _shared[key]
        if users > 1:
            _shared[key] = (node, users - 1)
        else:
            del _shared[key]
            await node.__aexit__()
