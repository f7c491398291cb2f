"""`Output`: what comes out of a pipe as log lines, for all that does not print by Python's streams.

These are the programs that jobs start, libraries in C, and `os.write(1, ...)`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import threading
from collections.abc import Iterable

from asyncmqd.observe.log import HasFields, log_lines

PART_LIMIT = 10_000  # characters that an unfinished line may have; then it is logged as a line
_LEVELS = {"stdout": 20, "stderr": 30}
_READ = 64 * 1024  # bytes
_READS = 16  # at a time: a program that prints without end must not keep others from being read
_PIPE_SIZE = 1024 * 1024  # bytes; the most that a user without privileges may ask for


def cut(text: str) -> tuple[list[str], str]:
    """The lines of a text, and the rest that is none yet.

    Of what a carriage return has moved to the start of its line, the last state is the line, as a
    terminal would show it. Progress bars come to one line by that.
    """
    *lines, rest = text.split("\n")
    if "\r" in text:
        lines = [_shown(line) for line in lines]
        rest = _shown(rest) + "\r" * rest.endswith("\r")
    if len(rest) > PART_LIMIT:
        lines.append(rest)
        rest = ""
    return lines, rest


def _shown(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2]


def log_printed(stream: str, lines: Iterable[str], job: HasFields | None = None) -> None:
    """Log what was printed to a stream, but for blank lines."""
    shown = [whole(line) for line in lines if line.strip()]
    if shown:
        log_lines(_LEVELS[stream], shown, {"stream": stream}, job)


def whole(line: str) -> str:
    """Text that was decoded in parts, with `surrogateescape`: a cut may have split a character."""
    if line.isascii():
        return line
    try:
        return line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # other surrogates; the log escapes them
        return line


class Output:
    """Our end of a pipe. `writer` is the other one, for whoever is to print there.

    Raises OSError if no descriptor or no thread is left.
    """

    def __init__(self, stream: str, job: HasFields | None = None) -> None:
        self.job = job  # whose lines they are
        self.ended = False
        self._stream = stream
        self._rest = ""
        self._lock = threading.Lock()  # what was read has been logged once it is free
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        try:
            _READER.add(self._reader, self)
        except OSError:
            os.close(self._reader)
            os.close(self.writer)
            raise

    def widen(self) -> None:
        """Let more be printed at once by code that keeps Python, and so us, from running."""
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._reader, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)

    def take(self) -> None:
        """Log what was printed by now, without waiting for more."""
        with self._lock:
            for _ in range(_READS):
                if self.ended or not self._take_some():
                    return

    def _take_some(self) -> bool:
        try:
            data = os.read(self._reader, _READ)
        except BlockingIOError:
            return False
        if not data:
            self._end()
            return False
        lines, self._rest = cut(self._rest + data.decode("utf-8", "surrogateescape"))
        self._log(lines)
        return True

    def _log(self, lines: list[str]) -> None:
        log_printed(self._stream, lines, self.job)

    def _end(self) -> None:
        """Nobody has the other end any more."""
        self._log([self._rest])
        self.ended = True
        _READER.remove(self._reader)
        self.forget()

    def forget(self) -> None:
        """In a forked child: it is the parent that reads."""
        os.close(self._reader)


class _Reader:
    """The thread that reads all of them.

    Not the event loop: code that blocks it may wait for the very program whose pipe is full.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._outputs: dict[int, Output] = {}
        self._poll: select.epoll | None = None
        self._lock = threading.Lock()

    def add(self, descriptor: int, output: Output) -> None:
        with self._lock:
            if self._poll is None:
                self._poll = self._start()
            self._outputs[descriptor] = output
            self._poll.register(descriptor, select.EPOLLIN)

    def _start(self) -> select.epoll:
        poll = select.epoll()
        try:
            threading.Thread(
                target=self._read, args=(poll,), name="asyncmqd-output", daemon=True
            ).start()
        except RuntimeError as error:
            poll.close()
            raise OSError(errno.EAGAIN, str(error)) from None
        return poll

    def remove(self, descriptor: int) -> None:
        with self._lock:
            del self._outputs[descriptor]
            if self._poll is not None:
                self._poll.unregister(descriptor)

    def _read(self, poll: select.epoll) -> None:
        while True:
            for descriptor, _ in poll.poll():
                output = self._outputs.get(descriptor)
                # Without this thread, all who print would wait for ever.
                with contextlib.suppress(Exception):
                    if output is not None:
                        output.take()

    def take_all(self) -> None:
        for output in list(self._outputs.values()):
            output.take()

    def after_fork(self) -> None:
        """In a forked child, where this thread is not."""
        for output in self._outputs.values():
            output.forget()
        if self._poll is not None:
            self._poll.close()
        self._begin()


_READER = _Reader()
os.register_at_fork(after_in_child=_READER.after_fork)


def take_all() -> None:
    """Log what was printed by now, wherever."""
    _READER.take_all()
