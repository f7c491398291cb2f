"""Structured logs: one JSON object a line, or coloured lines on a terminal.

structlog builds the event, msgspec renders it, and lines leave in one write per turn of the event
loop: a write for each line costs more than everything else about it, and a writer thread would
lose the last lines before a kill.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import sys
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

import msgspec

from asyncmqd.domain import clock

if TYPE_CHECKING:
    from structlog.typing import EventDict

LINE_LIMIT = 48 * 1024  # bytes: the journal splits a longer line into several entries
_FIELD_LIMIT = 4_000  # characters that a field of an overlong line keeps

Format = Literal["auto", "json", "console"]
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_LEVEL_NAMES = {number: name for name, number in LEVELS.items()}


class LineWriter:
    """Gathers lines and writes them to a file descriptor once per turn of the event loop.

    Without a running loop (start-up, plain threads) each line is written at once.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: list[bytes] = []
        self._lock = threading.Lock()
        self._scheduled = False

    def write(self, line: bytes) -> None:
        """Take a line without its newline."""
        with self._lock:
            self._lines.append(line)
            if self._scheduled:
                return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._scheduled = True
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what was gathered. A reader that went away is no reason to stop working."""
        with self._lock:
            self._scheduled = False
            lines, self._lines = self._lines, []
            if not lines:
                return
            data = memoryview(b"\n".join(lines) + b"\n")
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except OSError:
                return


class HasFields(Protocol):
    """What a running job is to the log."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """queue, worker, job_id, task, attempt: on every line that its code logs or prints."""


running_job: ContextVar[HasFields | None] = ContextVar("asyncmqd_job", default=None)
"""The job that the present execution context is part of."""

_bound: Any = None
_job_lines: tuple[LineWriter, int] | None = None  # where they go as JSON, and from which level on


def logs(level: int) -> bool:
    """Whether lines of that level are written: for callers whose fields cost something."""
    return _job_lines is None or level >= _job_lines[1]


def job_line(level: int, event: str, fields: dict[str, Any]) -> None:
    """Log one of the lines that every job causes.

    As JSON they take the short way: building them through structlog's processors costs 6 us, a
    fifth of all that a job of no work costs.
    """
    if _job_lines is None:
        logger().log(level, event, **fields)
        return
    writer, least = _job_lines
    if level >= least:
        head = {
            "timestamp": clock.utc_now().isoformat()[:-6] + "Z",
            "level": _LEVEL_NAMES[level],
            "event": event,
        }
        writer.write(_bounded({**head, **fields}))


def logger() -> Any:
    """The process's logger, bound once: structlog's lazy proxy costs more than the line itself."""
    global _bound  # noqa: PLW0603 - one logger a process, made anew by `setup`
    if _bound is None:
        import structlog

        _bound = structlog.get_logger().bind()
    return _bound


class _Logger:
    """What structlog calls with a rendered line."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def msg(self, line: bytes) -> None:
        self._writer.write(line)

    debug = info = warning = error = critical = exception = msg


_encoder = msgspec.json.Encoder(enc_hook=str)


def _add_job_fields(_logger: Any, _name: str, event: EventDict) -> EventDict:
    job = running_job.get()
    if job is None:
        return event
    for key, value in job.fields.items():
        event.setdefault(key, value)
    return event


def _render_json(_logger: Any, _name: str, event: EventDict) -> bytes:
    head = {key: event.pop(key) for key in ("timestamp", "level", "event")}
    return _bounded({**head, **event})


def _bounded(event: Mapping[str, Any]) -> bytes:
    """The line, with its long fields cut if it would be too long for one entry of the journal."""
    line = _encode(event)
    if len(line) > LINE_LIMIT:
        line = _encode({key: _shorten(value) for key, value in event.items()} | {"cut": True})
    return line


def _encode(event: Mapping[str, Any]) -> bytes:
    try:
        return _encoder.encode(event)
    except (TypeError, ValueError, RecursionError, UnicodeEncodeError):
        # a field that JSON cannot carry must not lose the line
        safe = {str(key): repr(value) for key, value in event.items()}
        return _encoder.encode({k: v.encode("ascii", "replace").decode() for k, v in safe.items()})


def _shorten(value: Any) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _FIELD_LIMIT else text[:_FIELD_LIMIT] + "..."


class _ConsoleRenderer:
    """structlog's coloured lines, as bytes, with the event's own fields after it."""

    def __init__(self) -> None:
        import structlog

        self._render = structlog.dev.ConsoleRenderer(colors=True, pad_event_to=22)

    def __call__(self, logger: Any, name: str, event: EventDict) -> bytes:
        event["timestamp"] = event["timestamp"][11:23]
        return str(self._render(logger, name, event)).encode("utf-8", "replace")


def setup(level: str = "info", format: Format = "auto", stream: TextIO | None = None) -> LineWriter:
    """Send all logs of this process to `stream` (default: the present standard output).

    `format` "auto" means JSON unless the stream is a terminal. Standard library logging is taken
    along. May be called again, to change the level. Returns the writer, for a last `flush`.
    """
    # structlog takes 100 ms to import with rich beside it: producers, who never log, do without.
    import structlog

    global _bound, _job_lines  # noqa: PLW0603 - what was bound before logs as before
    _bound = None
    stream = stream or sys.__stdout__ or sys.stdout
    writer = LineWriter(stream.fileno())
    console = format == "console" or (format == "auto" and stream.isatty())
    _job_lines = None if console else (writer, LEVELS[level])
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_job_fields,
            structlog.processors.format_exc_info,
            _ConsoleRenderer() if console else _render_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: _Logger(writer),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_StandardHandler()]
    root.setLevel(LEVELS[level])
    return writer


class _StandardHandler(logging.Handler):
    """Standard library records as events, with the job that logged them."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        try:
            level = min(max(record.levelno // 10 * 10, 10), 40)
            logger().log(level, record.getMessage(), **fields)
        except Exception:  # noqa: BLE001 - a broken log call must not break the job that made it
            self.handleError(record)


class _PrintedLines(io.TextIOBase):
    """A standard stream whose lines become events, so that prints carry their job's id."""

    def __init__(self, name: str, level: int) -> None:
        self._name = name
        self._level = level
        self._parts: dict[int, str] = {}  # unfinished lines, by thread

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        thread = threading.get_ident()
        *lines, rest = (self._parts.pop(thread, "") + text).split("\n")
        if rest:
            self._parts[thread] = rest
        for line in lines:
            if line.strip():
                logger().log(self._level, line, stream=self._name)
        return len(text)


def capture_prints() -> None:
    """Turn what this process prints from now on into log events."""
    sys.stdout = _PrintedLines("stdout", 20)
    sys.stderr = _PrintedLines("stderr", 30)
