"""Structured logs: one JSON object a line, entries of the journal, or coloured lines on a terminal.

structlog builds the events of the application; our own take a shorter way. `lines.py` renders them,
and `writer.py` sees them off, in one write per turn of the event loop.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TextIO

from asyncmqd.domain import clock
from asyncmqd.domain.text import clean, clean_lines
from asyncmqd.observe import journal
from asyncmqd.observe.lines import json_line
from asyncmqd.observe.outlets import journal_outlet, outlet_of
from asyncmqd.observe.writer import LineWriter

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

Format = Literal["auto", "json", "console"]
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_OF_MANY_LINES = ("exception", "stack")
_LEVEL_NAMES = {number: name for name, number in LEVELS.items()}


class HasFields(Protocol):
    """What a running job is to the log."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """queue, worker, job_id, task, attempt: on every line that its code logs or prints."""


running_job: ContextVar[HasFields | None] = ContextVar("asyncmqd_job", default=None)
"""The job that the present execution context is part of."""


class Render(Protocol):
    """Makes of an event what the writer takes."""

    def __call__(self, event: dict[str, Any], job: Mapping[str, Any], *, ours: bool) -> bytes:
        """`job` has the fields of the job that the event belongs to, if any."""


OwnEvent = tuple[int, str, dict[str, Any]]
"""Its level, its name, its fields."""


class _Log(NamedTuple):
    """Where this process logs to, and in which form."""

    writer: LineWriter
    render: Render
    level: int  # less than this is not logged


_log: _Log | None = None
_bound: Any = None


def logs(level: int) -> bool:
    """Whether lines of that level are written: for callers whose fields cost something."""
    return _log is None or level >= _log.level


def least_level() -> int:
    """The level that a line needs to be written."""
    return LEVELS["info"] if _log is None else _log.level


def dropped() -> int:
    """How many lines found no way out since the start."""
    return 0 if _log is None else _log.writer.dropped


def finish() -> None:
    """Give what was logged a last chance to leave, for at most a second."""
    if _log is not None:
        _log.writer.finish()


def _before_fork() -> None:
    if _log is not None:
        _log.writer.before_fork()


def _after_fork() -> None:
    if _log is not None:
        _log.writer.after_fork()


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def own_event(level: int, event: str, fields: dict[str, Any]) -> None:
    """Log an event of ours. An exception may be given as `exc_info`.

    It takes the short way: building a line through structlog's processors costs 6 us, a fifth of
    all that a job of no work costs.
    """
    if "exc_info" in fields:
        fields = _with_traceback(fields)
    own_events([(level, event, fields)])


def own_events(events: Iterable[OwnEvent]) -> None:
    """Log events of ours, in one go."""
    if _log is None:
        for level, event, fields in events:
            logger().log(level, event, **fields)
        return
    least, render = _log.level, _log.render
    lines = [
        render(_event(level, event, fields), fields, ours=True)
        for level, event, fields in events
        if level >= least
    ]
    if lines:
        _log.writer.write(*lines)


def _event(level: int, event: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "timestamp": clock.utc_now(),  # as text it costs a third of the line; the encoder is fast
        "level": _LEVEL_NAMES[level],
        "event": event,
        **fields,
    }


def _with_traceback(fields: dict[str, Any]) -> dict[str, Any]:
    import structlog

    return dict(structlog.processors.format_exc_info(None, "", dict(fields)))


def logger() -> Any:
    """The process's logger, bound once: structlog's lazy proxy costs more than the line itself."""
    global _bound  # noqa: PLW0603 - one logger a process, made anew by `setup`
    if _bound is None:
        import structlog

        _bound = structlog.get_logger().bind()
    return _bound


def log_line(level: int, text: str, fields: Mapping[str, Any]) -> None:
    """Log a line of the application; `level` is any number that `logging` may have for one."""
    logger().log(min(max(level // 10 * 10, 10), 40), text, **fields)


# ---------------------------------------------------------------------- setting it up


def setup(
    level: str = "info",
    format: Format = "auto",
    stream: TextIO | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    journal_socket: str = journal.SOCKET,
) -> LineWriter:
    """Send all logs of this process to `stream` (default: the present standard output).

    `format` "auto" means JSON unless the stream is a terminal. JSON on a stream that leads to the
    journal goes there by its own protocol instead. Standard library logging is taken along. The
    writer that is returned has to `finish` before the process ends.
    """
    stream = stream or sys.__stdout__ or sys.stdout
    fd = os.open(os.devnull, os.O_WRONLY) if stream is None else stream.fileno()  # `asyncmqd >&-`
    console = format == "console" or (format == "auto" and os.isatty(fd))
    render: Render = _ConsoleRenderer() if console else _json_line
    # A service with a root directory of its own may have the stream, but not the socket.
    if not console and journal.is_journal(fd, environ) and os.access(journal_socket, os.W_OK):
        outlet, render = journal_outlet(journal_socket), journal.entry
    else:
        outlet = outlet_of(fd)

    def report(count: int, reason: str) -> bytes:
        fields = {"dropped": count, "reason": reason}
        return render(_event(LEVELS["warning"], "log.dropped", fields), {}, ours=True)

    writer = LineWriter(outlet, report)
    _use(_Log(writer, render, LEVELS[level]))
    return writer


def set_level(level: str) -> None:
    """Log from this level on."""
    if _log is not None:
        _use(_log._replace(level=LEVELS[level]))


def _use(log: _Log) -> None:
    # structlog takes 100 ms to import with rich beside it: producers, who never log, do without.
    import structlog

    global _bound, _log  # what was bound before logs as before
    _bound, _log = None, log
    processors: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_job_fields,
        structlog.processors.format_exc_info,
        _last(log.render),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(log.level),
        logger_factory=lambda *_: _Logger(log.writer),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_StandardHandler()]
    root.setLevel(log.level)


class _Logger:
    """What structlog calls with a rendered line."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def msg(self, line: bytes) -> None:
        self._writer.write(line)

    debug = info = warning = error = critical = exception = msg


class _StandardHandler(logging.Handler):
    """Standard library records as events, with the job that logged them."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        try:
            log_line(record.levelno, record.getMessage(), fields)
        except Exception:  # noqa: BLE001 - a broken log call must not break the job that made it
            self.handleError(record)


# ---------------------------------------------------------------------- rendering


def _add_job_fields(_logger: Any, _name: str, event: EventDict) -> EventDict:
    job = running_job.get()
    if job is None:
        return event
    for key, value in job.fields.items():
        event.setdefault(key, value)
    return event


def _last(render: Render) -> Callable[[Any, str, EventDict], bytes]:
    """The last of structlog's processors, which renders an event of the application."""

    def process(_logger: Any, _name: str, event: EventDict) -> bytes:
        head = {key: event.pop(key) for key in ("timestamp", "level", "event")}
        whole, job = {**head, **event}, running_job.get()
        # A field of the application that is called job_id, too, does not make it another's line.
        return render(whole, whole if job is None else job.fields, ours=False)

    return process


def _json_line(event: dict[str, Any], job: Mapping[str, Any], *, ours: bool) -> bytes:  # noqa: ARG001 - see Render
    return json_line(event) + b"\n"


class _ConsoleRenderer:
    """structlog's coloured lines, as bytes, with the event's own fields after it."""

    def __init__(self) -> None:
        import structlog

        self._render = structlog.dev.ConsoleRenderer(colors=True, pad_event_to=22)

    def __call__(self, event: dict[str, Any], job: Mapping[str, Any], *, ours: bool) -> bytes:  # noqa: ARG002
        shown = {key: _clean(key, value) for key, value in event.items()}
        shown["timestamp"] = f"{event['timestamp']}"[11:23]
        return str(self._render(None, "", shown)).encode("utf-8", "replace") + b"\n"


def _clean(key: str, value: object) -> object:
    """A field for a terminal. Indented, no line of a traceback looks like an event."""
    if not isinstance(value, str):
        return value
    return clean_lines(value, "  ") if key in _OF_MANY_LINES else clean(value)
