"""Where jobs live: one contract (`BaseBackend`), three stores."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from asyncmqd.backends.base import BaseBackend, StoreError, StoreRefused, StoreUncertain

if TYPE_CHECKING:
    from asyncmqd.backends.memory import InMemoryBackend
    from asyncmqd.backends.redis import RedisBackend
    from asyncmqd.backends.sqlite import SQLiteBackend

__all__ = [
    "BaseBackend",
    "InMemoryBackend",
    "RedisBackend",
    "SQLiteBackend",
    "StoreError",
    "StoreRefused",
    "StoreUncertain",
]


# Imported when they are asked for: a process uses one store, and redis-py alone takes 100 ms.
_HOMES = {"InMemoryBackend": "memory", "RedisBackend": "redis", "SQLiteBackend": "sqlite"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"asyncmqd.backends.{_HOMES[name]}"), name)
