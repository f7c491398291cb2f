"""`shared_node`: one node for all runners of a process on one store, without a daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from asyncmqd.backends.base import BaseBackend
from asyncmqd.runtime.node import Node

_shared: WeakKeyDictionary[BaseBackend, tuple[Node, int]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_node(backend: BaseBackend) -> AsyncIterator[Node]:
    """The node of this process on `backend`: started for the first worker, ended by the last."""
    node, users = _shared.get(backend, (None, 0))
    if node is None:
        node = Node(backend)
        _shared[backend] = (node, 1)
        await node.__aenter__()
    else:
        _shared[backend] = (node, users + 1)
    try:
        yield node
    finally:
        node, users = _shared[backend]
        if users > 1:
            _shared[backend] = (node, users - 1)
        else:
            del _shared[backend]
            await node.__aexit__()
