"""Jobs in one SQLite file, shared by any number of processes of one host."""

from asyncmqd.backends.sqlite.store import SQLiteBackend

__all__ = ["SQLiteBackend"]
