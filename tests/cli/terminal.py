"""A terminal for a test: a command runs in it, and what it shows is read as it comes."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable, Sequence
from typing import Self

Spawn = Callable[..., subprocess.Popen[str]]


class Terminal:
    """One command on a pseudo-terminal of its own, 120 columns wide."""

    def __init__(self, spawn: Spawn, arguments: Sequence[str]) -> None:
        self._fd, theirs = pty.openpty()
        self.process = spawn(*arguments, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.shown = ""

    def read_until(self, text: str) -> str:
        """All that was shown, once `text` is part of it."""
        while text not in self.shown:
            self._read()
        return self.shown

    def type(self, text: str) -> None:
        """What somebody at the keyboard would type."""
        os.write(self._fd, text.encode())

    def end(self) -> int:
        """Read to the end; the exit code."""
        try:
            while True:
                self._read()
        except OSError:  # what Linux says once nobody has the other end open
            return self.process.wait()

    def _read(self) -> None:
        self.shown += os.read(self._fd, 65_536).decode(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
