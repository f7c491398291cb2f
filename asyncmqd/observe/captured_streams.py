"""What the application prints, as events that carry their job's id."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
import threading
from collections.abc import Callable
from typing import Any

from asyncmqd.observe import log
from asyncmqd.observe.captured_pipes import Output, cut, log_printed, take_all, whole
from asyncmqd.observe.log import HasFields, running_job

# Is given the stream, what a line of it has by now, and its job.
Begun = Callable[[str, str, HasFields], object]

_captured: list[PrintedLines] = []
_before: list[Any] = []  # the streams that were there before
# Of all streams, so that each job has one look at them.
_unfinished: dict[tuple[str, HasFields | int], str] = {}  # lines, by stream and job, or thread
_job_pipes: dict[tuple[str, HasFields], tuple[Output, int]] = {}  # that are open


def capture_prints(
    *, descriptor: bool = False, pipes: bool = False, begun: Begun | None = None
) -> None:
    """Turn what this process prints from now on into log events.

    With `descriptor` also what goes to descriptor 1 by itself, of programs and of libraries in C;
    descriptor 2 stays as it is, for the last words of a process that crashes. With `pipes` the
    streams have a descriptor of its own for each job that asks for one. `begun` is told what a
    job has flushed of a line that is not whole: the process may end before it is.
    """
    if descriptor and sys.__stdout__ is not None:
        _capture_descriptor(1)
    _before[:] = [sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__]
    _unfinished.clear()
    out = PrintedLines("stdout", 1, pipes=pipes, begun=begun)
    errors = PrintedLines("stderr", 2, pipes=pipes, begun=begun)
    _captured[:] = [out, errors]
    _use(out, errors, out, errors)


def leave_input() -> None:
    """Have descriptor 0 lead nowhere, since the programs that jobs start inherit it.

    One that reads a terminal waits for whoever sits there, and in the background the terminal stops
    the whole group of processes for it, this one too. `sys.stdin` still is what it was: a debugger
    in a job reads it.
    """
    with contextlib.suppress(OSError):
        if sys.stdin is not None:
            sys.stdin = open(os.dup(0))  # noqa: SIM115 - until the end
        _lead_nowhere(0, os.O_RDONLY)


def leave_dead_stderr() -> None:
    """Have descriptor 2 lead nowhere once its reader is gone and will not come back.

    A journald that was stopped and started is such a reader, and a terminal that was closed.
    Programs that jobs start inherit the descriptor, and end by a line that nobody takes.
    """
    poll = select.poll()
    poll.register(2, 0)  # its end is told without being asked for
    if any(told & (select.POLLERR | select.POLLHUP) for _, told in poll.poll(0)):
        with contextlib.suppress(OSError):
            _lead_nowhere(2, os.O_WRONLY)


def _lead_nowhere(number: int, how: int) -> None:
    nowhere = os.open(os.devnull, how | os.O_CLOEXEC)
    os.dup2(nowhere, number)
    os.close(nowhere)


def release_prints() -> None:
    """Have Python's streams as before, for what a command has to say at its end."""
    if _captured:
        _use(*_before)
        _captured.clear()


def _use(*streams: Any) -> None:
    # The first ones too: code prints there to avoid what others have put into `sys.stdout`.
    sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__ = streams  # type: ignore[misc]


def _capture_descriptor(number: int) -> None:
    with contextlib.suppress(OSError):  # no room for a pipe: it stays as it was
        output = Output("stdout")
        output.widen()
        os.dup2(output.writer, number)
        os.close(output.writer)


def _after_fork() -> None:
    _unfinished.clear()  # what was begun is the parent's
    _job_pipes.clear()
    for stream in _captured:
        stream.after_fork()


os.register_at_fork(after_in_child=_after_fork)


def end_prints() -> None:
    """The running job has ended: what it printed last is a line, though it ends with none."""
    if not _captured:
        return
    out, errors = _captured
    if sys.stdout is not out:  # one of the application's, which may hold something
        with contextlib.suppress(Exception):
            sys.stdout.flush()
    if sys.stderr is not errors:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
    if _unfinished or _job_pipes:
        out.end_job()
        errors.end_job()


def finish() -> None:
    """Give what was printed and logged a last chance to leave, for at most a second."""
    take_all()
    log.finish()


class PrintedLines(io.TextIOBase):
    """A standard stream whose lines become events.

    Code can use it as any standard stream, but cannot close it: a job that wraps, replaces or
    closes its stream knows nothing of the other jobs that print here.
    """

    encoding = "utf-8"
    errors = "backslashreplace"
    line_buffering = True
    write_through = True
    mode = "w"

    def __init__(
        self, stream: str, number: int, *, pipes: bool = False, begun: Begun | None = None
    ) -> None:
        self.name = f"<{stream}>"
        self.buffer = _PrintedBytes(self)
        self._stream = stream
        self._number = number
        self._pipes = _JobPipes(stream, number)
        self._gives_pipes = pipes
        self._begun = begun
        self._forked = False

    def writable(self) -> bool:
        """They can be printed to."""
        return True

    def write(self, text: str) -> int:
        """Log each whole line; how many characters were taken."""
        printed = self._stream, _printer()
        lines, rest = cut(_unfinished.pop(printed, "") + text)
        if rest:
            _unfinished[printed] = rest
            if self._begun is not None and self._stream == "stderr":  # which has no buffer
                self.flush()
        if lines:
            log_printed(self._stream, lines)
        return len(text)

    def flush(self) -> None:
        """In a forked child it may be the last call: multiprocessing and we end with one."""
        if self._forked:
            self.end_line()
            log.finish()
        elif self._begun is not None:
            job = running_job.get()
            if job is not None and (begun := _unfinished.get((self._stream, job))) is not None:
                self._begun(self._stream, whole(begun), job)

    def fileno(self) -> int:
        """A descriptor to print to: where it can be, one for the present job."""
        job = running_job.get()
        if job is None or self._forked or not self._gives_pipes:
            return self._number
        return self._pipes.of(job)

    def reconfigure(self, **_options: Any) -> None:
        """Nothing here depends on how text becomes bytes."""

    def detach(self) -> Any:
        """The binary stream; this one can still be used."""
        return self.buffer

    def close(self) -> None:
        """See the class."""
        self.flush()

    def after_fork(self) -> None:
        """In a forked child."""
        self._forked = True

    def end_job(self) -> None:
        """Log what the present job has printed."""
        job = running_job.get()
        if job is not None and (self._stream, job) in _job_pipes:
            self._pipes.end(job)
        self.end_line()

    def end_line(self) -> None:
        """Log what the present job or thread has printed of a line."""
        if begun := _unfinished.pop((self._stream, _printer()), ""):
            log_printed(self._stream, [begun])


class _PrintedBytes(io.BufferedIOBase):
    """The binary stream below."""

    mode = "wb"

    def __init__(self, lines: PrintedLines) -> None:
        self.name = lines.name
        self._lines = lines

    @property
    def raw(self) -> Any:
        """There is no buffer between."""
        return self

    def writable(self) -> bool:
        """They can be written to."""
        return True

    def write(self, data: Any) -> int:
        """Log each whole line; how many bytes were taken."""
        taken = bytes(data)
        self._lines.write(taken.decode("utf-8", "surrogateescape"))
        return len(taken)

    def flush(self) -> None:
        """See `PrintedLines`."""
        self._lines.flush()

    def fileno(self) -> int:
        """See `PrintedLines`."""
        return self._lines.fileno()

    def detach(self) -> Any:
        """The same again."""
        return self

    def close(self) -> None:
        """See `PrintedLines`."""


class _JobPipes:
    """A descriptor for each job that hands its stream to a program, so that its lines are known.

    The numbers are never closed: code may have kept one, and would write into whatever file or
    connection got it next. After its job, a number leads where the stream itself does.
    """

    def __init__(self, stream: str, number: int) -> None:
        self._stream = stream
        self._number = number
        self._free: list[int] = []

    def of(self, job: HasFields) -> int:
        found = _job_pipes.get((self._stream, job))
        if found is None:
            try:
                output = Output(self._stream, job)
            except OSError:
                return self._number
            found = _job_pipes[self._stream, job] = output, self._place(output.writer)
        return found[1]

    def _place(self, writer: int) -> int:
        if not self._free:
            return writer
        place = self._free.pop()
        os.dup2(writer, place, inheritable=False)
        os.close(writer)
        return place

    def end(self, job: HasFields) -> None:
        output, place = _job_pipes.pop((self._stream, job))
        output.take()
        os.dup2(self._number, place, inheritable=False)
        self._free.append(place)


def _printer() -> HasFields | int:
    return running_job.get() or threading.get_ident()
