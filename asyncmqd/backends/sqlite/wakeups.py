"""Wake-ups between the processes of a host, without polling.

Who waits for jobs binds a datagram socket in the directory `<database>-wake`; who commits something
that makes a job claimable sends the queue's name to every socket there. Those whose name begins
with `ended-` wait for results instead, and are sent the ids of jobs that ended (`ended_jobs.py`). A
datagram arrives whole, cannot block its sender, and nobody has to be running for it.

Sockets are addressed through /proc/self/fd, because the path of a socket may have no more than 107
bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from asyncmqd.backends.base import StoreError
from asyncmqd.backends.sqlite.wake_directory import (
    Identity,
    directory_of,
    identity,
    made,
    open_to_group,
    opened,
    socket_in,
)
from asyncmqd.domain import clock

# A socket holds at least ten unread datagrams (net.unix.max_dgram_qlen). Who finds as many may
# have missed some, and looks at all queues.
FULL = 10
LOOK_EVERY = 2.0  # seconds between looks at the database file: one call of the kernel
_MANY = 1_000  # queues that nobody here waits for are not remembered for ever
_SIZE = 512  # bytes; the longest queue name has 128


_ENDED = "ended-"  # begins the names of sockets of those who wait for jobs to end
_PAGE = 500  # ids of one message
_COARSE = 1.0  # seconds: more than the time of a change may be inexact by
_NONE: Mapping[str, Sequence[str]] = {}


def name_of_ear() -> str:
    """A name for the socket of somebody who waits for jobs to end."""
    return f"{_ENDED}{clock.nonce()}"


def _hears_ends(name: str) -> bool:
    return name.startswith(_ENDED)


_silent: dict[str, int] = {}  # directories in which nobody waits for ends, by their last change


def _nobody_hears_ends(directory: str) -> bool:
    """Nearly every commit of a busy store ends jobs, and mostly nobody waits for them."""
    changed = os.stat(directory).st_mtime_ns
    if _silent.get(directory) == changed:
        return True
    nobody = not any(map(_hears_ends, os.listdir(directory)))
    if nobody and clock.wall() - changed / 1e9 > _COARSE:
        _silent[directory] = changed
    return nobody


@functools.lru_cache(maxsize=16)
def _listed(database: Path) -> str:
    return str(directory_of(database))


def _messages(ended: Mapping[str, Sequence[str]]) -> list[bytes]:
    """A queue and ids of jobs that ended, as one message each; see `ended_jobs.py`."""
    return [
        msgspec.msgpack.encode((queue, ids[at : at + _PAGE]))
        for queue, ids in ended.items()
        for at in range(0, len(ids), _PAGE)
    ]


def _datagrams() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)


def ring(database: Path, queues: Iterable[str], ended: Mapping[str, Sequence[str]] = _NONE) -> None:
    """Wake all who wait for jobs of these queues, and all who wait for the end of these jobs.

    Whoever cannot be reached looks again by itself.
    """
    listed = _listed(database)
    if not os.access(listed, os.F_OK):  # an exception would cost ten times as much
        return
    with contextlib.suppress(OSError):
        if not queues and _nobody_hears_ends(listed):
            return
    with contextlib.suppress(OSError), opened(database) as directory:
        # Listed again each time: while sockets come and go, the time of the last change is too
        # coarse to tell that a listing is still true.
        names = os.listdir(directory)
        if names:
            with _datagrams() as sender:
                wakeups = [queue.encode() for queue in queues]
                endings: Sequence[bytes] | None = None
                for name in names:
                    if not _hears_ends(name):
                        _send(sender, directory, name, wakeups)
                        continue
                    if endings is None:
                        endings = _messages(ended)
                    _send(sender, directory, name, endings)


def _send(sender: socket.socket, directory: int, name: str, messages: Sequence[bytes]) -> None:
    if not messages:
        return
    with contextlib.suppress(OSError):  # it has just been closed
        fd = socket_in(directory, name)
        if fd is None:
            return  # no process that waits for jobs made it
        try:
            for message in messages:
                sender.sendto(message, f"/proc/self/fd/{fd}")
        except ConnectionRefusedError:  # its process died without closing it
            os.unlink(name, dir_fd=directory)
        except OSError:
            pass  # full: it will look at all queues; or it is being closed; or not ours to reach
        finally:
            os.close(fd)


class Listener:
    """The waiting side, in one event loop."""

    def __init__(self, database: Path, name: str = "") -> None:
        self._database = database
        self._path = directory_of(database) / (name or clock.nonce())
        self._identity: Identity | None = None  # of the socket's name, which others may remove
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()
        self._woken: set[str] = set()
        self._missed = False  # wake-ups may have been: all queues are to be looked at

    async def wait(
        self, queues: Collection[str], timeout: float, look: Callable[[], None] = lambda: None
    ) -> set[str]:
        """See `BaseBackend.wait`.

        `look` is called now and then; it raises StoreError when the database is not there any more,
        of which a process without work would learn from nobody else.
        """
        if self._socket is None:
            self._listen()
            return set(queues)
        wanted = set(queues)
        deadline = asyncio.get_running_loop().time() + timeout
        while not (self._missed or self._woken & wanted):
            look()
            if identity(self._path) != self._identity:  # the directory was removed, or its names
                self.abandon()
                return await self.wait(queues, timeout, look)
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return set()
            self._event.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, LOOK_EVERY)):
                    await self._event.wait()
        woken = wanted if self._missed else self._woken & wanted
        self._woken -= woken
        self._missed = False
        return woken

    async def close(self) -> None:
        """Stop listening."""
        self.abandon()

    def abandon(self) -> None:
        """The same, also when the loop is closed."""
        listener, self._socket = self._socket, None
        if listener is None:
            return
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(listener)
        listener.close()
        name = self._path.name
        with contextlib.suppress(OSError), opened(self._database) as directory:
            if identity(name, directory) == self._identity:
                os.unlink(name, dir_fd=directory)

    # ------------------------------------------------------------------ the socket

    def _listen(self) -> None:
        listener = _datagrams()
        name = self._path.name
        try:
            with made(self._database) as fd:
                listener.bind(f"/proc/self/fd/{fd}/{name}")
                open_to_group(fd, name)
                self._identity = identity(name, fd)
        except OSError as error:
            listener.close()
            raise StoreError(
                f"{self._path.parent}: no process can wait for jobs there: {error}"
            ) from error
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listener, self._receive, listener)
        self._socket = listener

    def _receive(self, listener: socket.socket) -> None:
        received = 0
        with contextlib.suppress(BlockingIOError):
            for _ in range(FULL):  # a turn: whoever floods it is not to hold the loop
                self._woken.add(listener.recv(_SIZE).decode(errors="replace"))
                received += 1
        if received >= FULL or len(self._woken) > _MANY:
            self._missed = True
            self._woken.clear()
        if received:
            self._event.set()
