"""What a store in use has: two threads in a process, for all that use it there.

All instances of a process on one file share them, whatever their event loops and threads: then a
process has one set of connections, and an instance costs next to nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

from asyncmqd.backends.sqlite.address import Address
from asyncmqd.backends.sqlite.clock import HostClock
from asyncmqd.backends.sqlite.file import DatabaseFile
from asyncmqd.backends.sqlite.forks import Pauses
from asyncmqd.backends.sqlite.reader import Reader
from asyncmqd.backends.sqlite.threads import Request, StoreThread, running
from asyncmqd.backends.sqlite.writer import Writer
from asyncmqd.domain import os_threads

CLOSE_LIMIT = 5.0  # seconds that closing waits for the commit under way


class Life:
    """From the first use of a file in a process until all its users have left."""

    def __init__(self, address: Address, host: HostClock) -> None:
        self.file = DatabaseFile(address, host)
        self.writer = Writer(self.file)
        self.reader = Reader(self.file)
        # Whether a writer has looked at the clocks: after a reboot, only that ends the leases.
        self.reached = False
        self.users: set[object] = set()
        self._pid = os.getpid()

    @property
    def threads(self) -> tuple[Reader, Writer]:
        """Both."""
        return self.reader, self.writer

    def is_here(self) -> bool:
        """Whether this process began it: its threads do not live in a fork."""
        return self._pid == os.getpid()

    async def end(self) -> None:
        """Close the file; what has not begun by now is refused."""
        loop = asyncio.get_running_loop()
        farewells = []
        for thread in self.threads:
            farewells.append(loop.create_future())
            thread.stop(Request(_nothing, farewells[-1], loop))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT):
                await asyncio.gather(*farewells)

    def stop(self) -> None:
        """Have the threads end by themselves: nobody waits for it."""
        for thread in self.threads:
            thread.stop()


def _nothing(_: object) -> None:
    """The last request asks for nothing."""


# ------------------------------------------------------------------ those of this process

_Key = tuple[object, ...]  # the file, how it is written, and the clocks
_lives: dict[_Key, Life] = {}
_pid = os.getpid()  # the process whose lives they are
_lock = os_threads.rlock()  # garbage collection may have somebody leave inside of it


def join(address: Address, host: HostClock, user: object) -> Life:
    """The life of this file in this process, which goes on until its users have left."""
    if _pid != os.getpid():  # code in C forked, and ran no hooks
        _forget_parent()
    key = (address.path, address.synchronous, host.key)
    with _lock:
        while True:
            life = _lives.get(key)
            if life is None:
                life = _lives[key] = Life(address, host)
            life.users.add(user)
            if _lives.get(key) is life:  # else its last user left just before we came
                return life


def leave(life: Life, user: object) -> bool:
    """Whether nobody uses it any more: then whoever left is to end it."""
    with _lock:
        life.users.discard(user)
        if life.users or life not in _lives.values():
            return False
        for key in [key for key, each in _lives.items() if each is life]:
            del _lives[key]
        return True


def leave_behind(life: Life, user: object) -> None:
    """The same for a user that was forgotten, or whose event loop is gone."""
    if life.is_here() and leave(life, user):
        life.stop()


def _threads() -> list[StoreThread[Any]]:
    if _pid != os.getpid():
        _forget_parent()
    return list(running)


def _forget_parent() -> None:
    """In a fork: its threads stayed behind, and a connection that is open must not be closed."""
    global _pid, _lock
    _pid, _lock = os.getpid(), os_threads.rlock()  # whoever held it stayed behind
    for thread in running:
        thread.file.keep_connections()
    running.clear()
    _lives.clear()


_pauses = Pauses(_threads)
os.register_at_fork(after_in_child=_forget_parent)
