"""What a store in use holds on to: two threads and a socket, of one process."""

from __future__ import annotations

import asyncio
import contextlib
import os

from asyncmqd.backends.sqlite.address import Address
from asyncmqd.backends.sqlite.clock import HostClock
from asyncmqd.backends.sqlite.file import DatabaseFile
from asyncmqd.backends.sqlite.reader import Reader
from asyncmqd.backends.sqlite.threads import Request
from asyncmqd.backends.sqlite.wakeups import Listener
from asyncmqd.backends.sqlite.writer import Writer

CLOSE_LIMIT = 5.0  # seconds that closing waits for the commit under way

_abandoned: list[Life] = []


class Life:
    """From the first use of an instance until it is closed."""

    def __init__(self, address: Address, host: HostClock) -> None:
        self.file = DatabaseFile(address, host)
        self.listener = Listener(address.path, self.file.look)
        self.writer = Writer(self.file)
        self.reader = Reader(self.file)
        # Whether a writer has looked at the clocks: after a reboot, only that ends the leases.
        self.reached = False
        self._pid = os.getpid()

    async def end(self) -> None:
        """Close the file; what has not begun by now is refused."""
        self.listener.close()
        loop = asyncio.get_running_loop()
        farewells = []
        for thread in (self.reader, self.writer):
            farewells.append(loop.create_future())
            thread.stop(Request(_nothing, farewells[-1], loop))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT):
                await asyncio.gather(*farewells)

    def stop(self) -> None:
        """Have the threads end by themselves: nobody waits for it."""
        if not self.is_of_another_process():
            self.reader.stop()
            self.writer.stop()

    def is_of_another_process(self) -> bool:
        """Whether this process is a fork of the one that began it."""
        return self._pid != os.getpid()

    def abandon(self) -> None:
        """Leave it, in a fork, to the process that began it.

        Its connections are kept and never closed: SQLite, closing them here, would act on locks
        that only the other process holds.
        """
        self.listener.abandon()
        _abandoned.append(self)


def _nothing(_: object) -> None:
    """A farewell asks for nothing."""
