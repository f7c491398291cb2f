"""What the application prints, as events that carry their job's id."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable

from asyncmqd.observe.log import HasFields, finish, log_line, running_job

_PART_LIMIT = 10_000  # characters that an unfinished line may have; then it is one all the same

LogLine = Callable[[int, str, str], None]
"""Logs a line: its level (10 debug to 40 error), the text, the name of the stream."""

_captured: list[PrintedLines] = []


def _log_here(level: int, text: str, stream: str) -> None:
    log_line(level, text, {"stream": stream})


def capture_prints(log: LogLine = _log_here) -> None:
    """Turn what this process prints from now on into log events."""
    out, errors = PrintedLines("stdout", 20, log), PrintedLines("stderr", 30, log)
    _captured[:] = [out, errors]
    sys.stdout, sys.stderr = out, errors


def _after_fork() -> None:
    for stream in _captured:
        stream.after_fork()


os.register_at_fork(after_in_child=_after_fork)


def end_prints() -> None:
    """The running job has ended: what it printed last is a line, though it ends with none."""
    for stream in _captured:
        stream.end_line()


class PrintedLines(io.TextIOBase):
    """A standard stream whose lines become events."""

    def __init__(self, name: str, level: int, log: LogLine = _log_here) -> None:
        self._name = name
        self._level = level
        self._log = log
        # By job, for many of them take turns in one thread; by thread outside of jobs.
        self._parts: dict[HasFields | int, str] = {}  # unfinished lines
        self._forked = False

    def writable(self) -> bool:
        """They can be printed to."""
        return True

    def write(self, text: str) -> int:
        """Log each whole line; how many characters were taken."""
        printer = _printer()
        *lines, rest = (self._parts.pop(printer, "") + text).split("\n")
        if len(rest) > _PART_LIMIT:
            lines.append(rest)
        elif rest:
            self._parts[printer] = rest
        for line in lines:
            self._end(line)
        return len(text)

    def flush(self) -> None:
        """In a forked child it may be the last call: multiprocessing and we end with one."""
        if self._forked:
            self.end_line()
            finish()

    def after_fork(self) -> None:
        """In a forked child: what was begun is the parent's."""
        self._parts.clear()
        self._forked = True

    def end_line(self) -> None:
        """Log what the present job or thread has printed of a line."""
        if self._parts:
            self._end(self._parts.pop(_printer(), ""))

    def _end(self, line: str) -> None:
        if line.strip():
            self._log(self._level, line, self._name)


def _printer() -> HasFields | int:
    return running_job.get() or threading.get_ident()
