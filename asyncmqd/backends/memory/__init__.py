"""The store in this process's memory."""

from asyncmqd.backends.memory.store import InMemoryBackend, forget

__all__ = ["InMemoryBackend", "forget"]
