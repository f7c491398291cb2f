"""Where jobs live: one contract (`BaseBackend`), three stores."""

from asyncmqd.backends.base import BaseBackend, StoreError, StoreRefused
from asyncmqd.backends.memory import InMemoryBackend

__all__ = ["BaseBackend", "InMemoryBackend", "StoreError", "StoreRefused"]
