"""`Gate`: where every run of a process begins. It is closed while a suspect is tried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asyncmqd.runtime.overstays import Overstays
from asyncmqd.runtime.run import Run


class Gate:
    """Knows what runs in this process, and lets nothing begin beside a suspect that is tried.

    Only who was alone can be convicted of a crash: of two jobs on board either may be the cause.
    `on_open` is called when others may begin again. Use it in the event loop only.
    """

    def __init__(self, overstays: Overstays, on_open: Callable[[], None]) -> None:
        self.suspect: Run | None = None  # whose turn it is, of all suspects here
        self.closed = False
        self._overstays = overstays
        self._on_open = on_open
        self._inside: set[Run] = set()
        self._opened = asyncio.Event()
        self._left = asyncio.Event()

    def admits(self, run: Run) -> bool:
        """Whether the run may begin now."""
        return not self.closed or run is self.suspect

    async def wait(self) -> None:
        """Return when others than a suspect may begin."""
        while self.closed:
            self._opened.clear()
            await self._opened.wait()

    def enter(self, run: Run) -> None:
        """The run begins."""
        self._inside.add(run)

    def leave(self, run: Run) -> None:
        """Its code runs no more, or only in a thread that overstays."""
        self._inside.discard(run)
        self._left.set()

    # ------------------------------------------------------------------ trials

    def close(self, suspect: Run) -> bool:
        """Let nothing begin but this suspect; False if another one has its turn."""
        if self.suspect is not None:
            return False
        self.suspect, self.closed = suspect, True
        return True

    async def quiet(self, limit: float) -> bool:
        """Wait until nothing else runs; False if something does after `limit` seconds."""
        try:
            async with asyncio.timeout(limit):
                while self._inside:
                    self._left.clear()
                    await self._left.wait()
        except TimeoutError:
            pass  # the answer says what still runs: it may have left in this very moment
        return not (self._inside or self._overstays)

    def open(self) -> None:
        """Let others begin beside the suspect."""
        if self.closed:
            self.closed = False
            self._opened.set()
            self._on_open()

    def end_turn(self, suspect: Run) -> None:
        """The next suspect may have its turn, if it was this one's."""
        if self.suspect is suspect:
            self.open()
            self.suspect = None
