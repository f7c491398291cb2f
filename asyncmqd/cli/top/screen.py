"""The terminal, by curses: without colours, mouse or letters of its own, so a VT100 can do it."""

from __future__ import annotations

import contextlib
import curses
import os
import select
import sys
from collections.abc import Iterator, Sequence
from typing import Self

from asyncmqd.cli.errors import Misuse
from asyncmqd.cli.top.view import Line

_ESCAPE_DELAY = 100  # ms in which the rest of a key that begins with escape comes, also by ssh
_NAMES = {
    curses.KEY_UP: "up",
    curses.KEY_DOWN: "down",
    curses.KEY_LEFT: "left",
    curses.KEY_RIGHT: "right",
    curses.KEY_PPAGE: "page_up",
    curses.KEY_NPAGE: "page_down",
    curses.KEY_HOME: "home",
    curses.KEY_END: "end",
    curses.KEY_ENTER: "enter",
    curses.KEY_BACKSPACE: "backspace",
    curses.KEY_DC: "backspace",
    curses.KEY_BTAB: "back_tab",
    "\n": "enter",
    "\r": "enter",
    "\t": "tab",
    "\x1b": "escape",
    "\x7f": "backspace",
    "\b": "backspace",
    "\x0c": "redraw",
}
_STYLES = {"": curses.A_NORMAL, "bold": curses.A_BOLD, "reverse": curses.A_REVERSE}


class Screen:
    """Standard input and output, as long as it is entered. Raises Misuse for an odd terminal."""

    def __enter__(self) -> Self:
        try:
            self._window = curses.initscr()
        except curses.error as error:
            name = os.environ.get("TERM", "")
            raise Misuse(f"TERM={name}: {error}; text is printed by: asyncmq top | cat") from None
        curses.noecho()
        curses.cbreak()
        curses.set_escdelay(_ESCAPE_DELAY)
        self._window.keypad(True)
        self._window.nodelay(True)
        with contextlib.suppress(curses.error):  # a VT100 cannot hide it
            curses.curs_set(0)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(curses.error):
            curses.curs_set(1)
        curses.endwin()

    @property
    def size(self) -> tuple[int, int]:
        """Its width and height in cells."""
        height, width = self._window.getmaxyx()
        return width, height

    @property
    def is_there(self) -> bool:
        """Whether somebody has the other end: else it can be read for ever, and has nothing."""
        poll = select.poll()
        poll.register(sys.stdin, select.POLLIN)
        return not any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))

    def resized(self) -> None:
        """Take the size that the terminal has now."""
        with contextlib.suppress(OSError, curses.error):
            width, height = os.get_terminal_size(sys.stdout.fileno())
            curses.resizeterm(height, width)
            self._window.clear()

    def redraw(self) -> None:
        """Write all of it at the next `draw`: something else may have written there."""
        self._window.clear()

    def draw(self, lines: Sequence[Line]) -> None:
        """Write what has changed since the last call."""
        self._window.erase()
        for row, line in enumerate(lines):
            # Where the locale has no letter for something, an escape is better than no answer.
            encoding = self._window.encoding
            text = line.text.encode(encoding, "backslashreplace").decode(encoding)
            with contextlib.suppress(curses.error):  # the last cell of the last line is written
                self._window.addstr(row, 0, text, _STYLES[line.style])
        self._window.refresh()

    def pressed(self) -> Iterator[str]:
        """The keys that were pressed since the last call."""
        while True:
            try:
                key = self._window.get_wch()
            except curses.error:
                return
            name = _NAMES.get(key, key)
            if isinstance(name, str):
                yield name
