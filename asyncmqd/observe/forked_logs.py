"""Log lines of forked children on their way out: through the process that forked them.

Two processes that write into one pipe tear each other's lines. The child's come over a socket that
keeps messages apart, whole, and leave with ours.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable

_LIMIT = 1024 * 1024  # bytes of a line; the kernel lets no message through that is as long


class ForkedLines:
    """Takes what forked children `send`, until this process ends. Raises OSError or RuntimeError
    if there is no room for a socket or a thread more.
    """

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self._take = take
        self._lock = threading.Lock()  # what was received has been taken once it is free
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Not the event loop: it may be blocked, and a process that forks may have none.
        threading.Thread(target=self._read, name="asyncmqd-forked", daemon=True).start()

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._ours, select.POLLIN)
        while True:
            poll.poll()
            self.take_last()

    def take_last(self) -> None:
        """Take all that came by now; returns when it was taken."""
        with self._lock, contextlib.suppress(BlockingIOError):
            while line := self._ours.recv(_LIMIT, socket.MSG_DONTWAIT):
                self._take(line)

    def begin_anew(self) -> None:
        """In a forked child: only send from now on. It must not keep its own lines from ending."""
        self._ours.close()

    def send(self, line: bytes) -> int:
        """In a forked child: hand over a line; its length. Raises OSError without a parent."""
        return self._theirs.send(line)
