"""Where lines leave the process: descriptors of every kind, none of which is ever waited for.

O_NONBLOCK belongs to the open file description, which standard output shares with the shell and
with its neighbours in a pipeline: set there, their writes fail. So each kind has a way of its own.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import stat
from collections.abc import Callable
from typing import Protocol

from asyncmqd.observe.forked_logs import ForkedLines

_SEND_BUFFER = 8 * 1024 * 1024  # bytes; the kernel gives less if its limit is lower


class Outlet(Protocol):
    """Takes lines, each with its newline, or entries of the journal."""

    shared: bool  # whether children that inherit the descriptor may write there, too, line by line

    def send(self, lines: list[bytes]) -> int:
        """How many bytes of them were taken, at least one; without waiting.

        Raises BlockingIOError when there is no room now, and another OSError when the way out is
        closed, missing or full for good.
        """

    def close(self) -> None:
        """Let go of what was opened for it."""


def outlet_of(fd: int) -> Outlet:
    """The way to write to that descriptor, which it takes over."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        return _socket_outlet(fd)
    if stat.S_ISREG(mode):
        # Whoever cuts it (logrotate's copytruncate) would find zeros up to our old place. To append
        # is no harm to those who share the description.
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    if not stat.S_ISFIFO(mode) and not os.isatty(fd):
        return File(fd, shared=True)
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
    try:
        anew = os.open(f"/proc/self/fd/{fd}", flags)
    except OSError:
        # A pipe or terminal of another user (sudo, a container), a named pipe without a reader.
        return Shared(fd)
    os.close(fd)
    return File(anew, shared=False)


def _socket_outlet(fd: int) -> Outlet:
    line = socket.socket(fileno=fd)
    return Stream(line) if line.type == socket.SOCK_STREAM else Datagrams(line, line.send)


def journal_outlet(path: str) -> Outlet:
    """Entries as datagrams to the socket at that path.

    The path is looked up for each, so that a journal that was started anew is found again.
    """
    line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    return Datagrams(line, lambda data, flags: line.sendto(data, flags, path))


class File:
    """A regular file, or a description of our own that does not block."""

    def __init__(self, fd: int, *, shared: bool) -> None:
        self._fd = fd
        # The kernel lets one writer of a description at a time into a file.
        self.shared = shared

    def send(self, lines: list[bytes]) -> int:
        """See `Outlet`."""
        return os.writev(self._fd, lines)

    def close(self) -> None:
        """See `Outlet`."""
        os.close(self._fd)


class Shared:
    """A pipe or terminal that blocks, and cannot be opened anew.

    A pipe with any room takes PIPE_BUF bytes at once. Two cases stay in which a write may wait: a
    neighbour that fills the pipe just then, and a terminal, which promises no amount.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.shared = False
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def send(self, lines: list[bytes]) -> int:
        """See `Outlet`."""
        if not self._poll.poll(0):
            raise BlockingIOError
        return os.write(self._fd, lines[0][: select.PIPE_BUF])

    def close(self) -> None:
        """See `Outlet`."""
        os.close(self._fd)


class Stream:
    """A stream socket."""

    def __init__(self, line: socket.socket) -> None:
        self.shared = False
        self._socket = line

    def send(self, lines: list[bytes]) -> int:
        """See `Outlet`."""
        return self._socket.sendmsg(lines, (), socket.MSG_DONTWAIT)

    def close(self) -> None:
        """See `Outlet`."""
        self._socket.close()


class Datagrams:
    """A socket that takes each line as a message of its own."""

    def __init__(self, line: socket.socket, send: Callable[[bytes, int], int]) -> None:
        self.shared = True
        self._socket = line
        self._send = send

    def send(self, lines: list[bytes]) -> int:
        """See `Outlet`."""
        sent = 0
        for line in lines:
            try:
                sent += self._send(line, socket.MSG_DONTWAIT)
            except OSError:
                if not sent:
                    raise
                break  # the next call meets it again, if it lasts
        return sent

    def close(self) -> None:
        """See `Outlet`."""
        self._socket.close()


class Forked:
    """The process that forked this one. It is waited for, as nobody here serves anything else."""

    def __init__(self, lines: ForkedLines) -> None:
        self.shared = True
        self._lines = lines

    def send(self, lines: list[bytes]) -> int:
        """See `Outlet`."""
        return self._lines.send(lines[0])

    def close(self) -> None:
        """See `Outlet`."""
