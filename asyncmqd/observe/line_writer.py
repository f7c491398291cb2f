"""`LineWriter`: lines wait here for the end of the turn, and for a reader that is slow."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable

from asyncmqd.domain import clock
from asyncmqd.observe.forked_logs import ForkedLines
from asyncmqd.observe.log_sinks import Forked, Outlet

BUFFER_LIMIT = 4 * 1024 * 1024  # bytes that wait for a reader; what comes then is dropped
LAST_FLUSH = 1.0  # seconds that a reader gets at the end of the process
FIRST_PAUSE, LAST_PAUSE = 0.002, 0.256  # seconds between two attempts when there is no room
_BATCH = 1_000  # lines in one write; the kernel takes 1,024 pieces
_FULL = "buffer full"

Report = Callable[[int, str], bytes]
"""Makes the line that tells how many lines were dropped, and why."""


class LineWriter:
    """Gathers lines and writes them once per turn of the event loop, without waiting.

    A line from a thread without a running loop leaves at once, together with what waits: it may be
    the one that says that the loop is stuck. What finds no room waits, in order. Once the
    buffer is full, all further lines are dropped until it is empty; then one line reports the gap.

    Tried again by a timer, not by `add_writer`: uvloop makes the description behind a descriptor
    non-blocking for that, and a socket's is shared with other processes.
    """

    def __init__(self, outlet: Outlet, report: Report, limit: int = BUFFER_LIMIT) -> None:
        self.outlet = outlet
        self._forked: ForkedLines | None = None  # takes the lines of forked children
        self._report = report
        self._limit = limit  # bytes
        self._begin()

    def _begin(self) -> None:
        """With nothing written yet."""
        self.dropped = 0  # lines, since the start
        self._told = 0  # of them, those that a line which has left told of
        self._telling: int | None = None  # `_told` once the first waiting line, a report, has left
        self._reason = ""
        self._lines: list[bytes] = []  # they wait
        self._size = 0  # bytes
        self._begun = False  # a part of the first line has left
        self._stalled = False  # there was no room at the last attempt
        self._sending = False
        self._pause = FIRST_PAUSE
        # Entered again by signal handlers and finalisers that log while a line is written. Held
        # while lines are sent, which never waits but for a disk: that would hold up the loop too.
        self._lock = threading.RLock()
        self._due: asyncio.AbstractEventLoop | None = None  # a flush is due at the end of its turn
        self._home: asyncio.AbstractEventLoop | None = None  # the loop that wrote last
        self._alarm: asyncio.AbstractEventLoop | None = None  # which will try again by itself

    def write(self, *lines: bytes) -> None:
        """Take lines with their newlines, or entries of the journal. Never raises, never waits."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write_at_once(lines)
            return
        with self._lock:
            size = sum(map(len, lines)) + self._size  # read last: see `_append`
            if size > self._limit or self.dropped != self._told:
                self._take(lines)
            else:  # the usual case, of every line of every job
                self._lines += lines
                self._size = size
            if self._due is loop:
                return
            self._due = self._home = loop
        loop.call_soon(self._end_turn, loop)

    def flush(self) -> None:
        """Write what was gathered, as far as there is room."""
        with self._lock:
            self._send()

    def finish(self, limit: float = LAST_FLUSH) -> None:
        """Give the reader up to `limit` seconds to take what waits."""
        ends = clock.monotonic() + limit
        if self._forked is not None:
            self._forked.take_last()
        self.flush()
        while self._stalled and clock.monotonic() < ends:
            time.sleep(FIRST_PAUSE)
            self.flush()

    def before_fork(self) -> None:
        """A child is about to be forked, which may not write where only one process may."""
        if self._forked is None and not self.outlet.shared:
            with contextlib.suppress(OSError, RuntimeError):  # no room: torn lines are better
                self._forked = ForkedLines(self.write)

    def after_fork(self) -> None:
        """In a forked child: what waits is the parent's to write, and a thread may hold the lock
        that is not there.
        """
        if self._forked is not None:
            self._forked.begin_anew()
            self.outlet.close()  # or whoever reads our lines would wait for the child's end
            self.outlet, self._forked = Forked(self._forked), None
        self._begin()

    # ------------------------------------------------------------------ when to write

    def _write_at_once(self, lines: Iterable[bytes]) -> None:
        with self._lock:
            self._take(lines)
            self._send()
            home = self._home
            if self._stalled and home is not None and self._alarm is not home:
                self._alarm = home
                try:
                    home.call_soon_threadsafe(self._try_again, home)
                except RuntimeError:  # it was closed
                    self._home = self._alarm = None

    def _end_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._due = None
            self._send()
            if self._stalled and self._alarm is not loop:
                self._alarm = loop
                loop.call_later(self._pause, self._try_again, loop)
                self._pause = min(2 * self._pause, LAST_PAUSE)

    def _try_again(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._alarm = None
            self._end_turn(loop)

    # ------------------------------------------------------------------ what to write

    def _take(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self._take_one(line)

    def _take_one(self, line: bytes) -> None:
        if self._is_full(line) and not self._untold():
            self._send()  # perhaps it was only a long turn
        if self._untold():
            if self._lines:
                self._drop(1, self._reason)
                return
            self._tell()
        elif self._is_full(line):
            self._drop(1, _FULL)
            return
        self._append(line)

    def _append(self, line: bytes) -> None:
        """A signal handler may log at each call, so `_size` is read after the last."""
        size = len(line)
        self._lines.append(line)
        self._size += size

    def _is_full(self, line: bytes) -> bool:
        return self._size + len(line) > self._limit

    def _untold(self) -> bool:
        """Whether there is a gap, and no report of it waits yet."""
        return self.dropped != self._told and self._telling is None

    def _drop(self, count: int, reason: str) -> None:
        self.dropped += count
        self._reason = reason

    def _tell(self) -> None:
        """Have the report of the gap wait, alone."""
        self._telling = self.dropped
        self._append(self._report(self.dropped - self._told, self._reason))

    def _send(self) -> None:
        if self._sending:  # entered again: whoever sends takes the new lines along
            return
        while self._send_all() and self._lines:
            pass  # one came from within, after the last look and before the mark was taken away

    def _send_all(self) -> bool:
        """Whether the way out was open, and had room."""
        self._sending, self._stalled = True, False
        try:
            while self._something_waits():
                batch = self._lines[:_BATCH]
                self._advance(batch, self.outlet.send(batch))
        except BlockingIOError:
            self._stalled = True
        except OSError as error:
            self._lose(error.strerror or str(error))
        else:
            return True
        finally:
            self._sending = False
        return False

    def _something_waits(self) -> bool:
        if not self._lines and self._untold():
            self._tell()
        return bool(self._lines)

    def _advance(self, batch: list[bytes], sent: int) -> None:
        """So many bytes have left: go on with the rest of the very line that was cut off."""
        self._size -= sent
        count = len(batch)
        if sent < sum(map(len, batch)):
            count = 0
            while sent >= len(batch[count]):
                sent -= len(batch[count])
                count += 1
        else:
            sent = 0
        self._begun = sent > 0
        if self._begun:
            self._lines[count] = self._lines[count][sent:]
        del self._lines[:count]
        if count and self._telling is not None:
            self._told, self._telling = self._telling, None
        self._pause = FIRST_PAUSE

    def _lose(self, reason: str) -> None:
        """The way out is closed: drop all but the rest of a line that has begun to leave."""
        kept, lost = int(self._begun), len(self._lines)
        del self._lines[kept:lost]
        self._size = sum(map(len, self._lines))
        lost -= kept
        if self._telling is not None and not kept:
            lost -= 1  # the report itself
            self._telling = None
        self._drop(lost, reason)
