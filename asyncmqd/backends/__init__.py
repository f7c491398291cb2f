"""Where jobs live: one contract (`BaseBackend`), three stores."""

from typing import TYPE_CHECKING, Any

from asyncmqd.backends.base import BaseBackend, StoreError, StoreRefused, StoreUncertain
from asyncmqd.backends.memory import InMemoryBackend

if TYPE_CHECKING:
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


def __getattr__(name: str) -> Any:
    # Imported when they are asked for: a process uses one store, and redis-py alone takes 100 ms.
    if name == "RedisBackend":
        from asyncmqd.backends.redis import RedisBackend

        return RedisBackend
    if name == "SQLiteBackend":
        from asyncmqd.backends.sqlite import SQLiteBackend

        return SQLiteBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
