"""Structured logs: one JSON object a line, entries of the journal, or coloured lines on a terminal.

`application_logs.py` brings what the application logs, `captured_streams.py` and
`captured_pipes.py` what it prints. `json_lines.py` renders events, and `line_writer.py` sees them
off, in one write per turn of the event loop.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple, Protocol, TextIO

from asyncmqd.domain import clock
from asyncmqd.domain.safe_text import clean, clean_lines
from asyncmqd.observe import journal
from asyncmqd.observe.application_logs import logger_to, take_records, take_structlog
from asyncmqd.observe.json_lines import HEAD, Fields, json_line, json_lines, with_common
from asyncmqd.observe.line_writer import LineWriter
from asyncmqd.observe.log_sinks import journal_outlet, outlet_of

Format = Literal["auto", "json", "console"]
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_OF_MANY_LINES = ("exception", "stack")
_LEVEL_NAMES = {number: name for name, number in LEVELS.items()} | {50: "critical"}


class HasFields(Protocol):
    """What a running job is to the log."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """queue, worker, job_id, task, attempt, and job_key if it has a key.

        They are on every line that its code logs or prints.
        """

    @property
    def context(self) -> Any:
        """What `current_job()` returns to its code."""

    def keep(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Its code has logged or printed these lines. From any thread."""


running_job: ContextVar[HasFields | None] = ContextVar("asyncmqd_job", default=None)
"""The job that the present execution context is part of."""


class Render(Protocol):
    """Makes of an event what the writer takes."""

    def __call__(self, event: dict[str, Any], job: Mapping[str, Any], *, ours: bool) -> bytes:
        """`job` has the fields of the job that the event belongs to, if any."""


class Writer(Protocol):
    """What takes rendered lines: a `LineWriter`, or the way to a parent that has one."""

    dropped: int

    def write(self, *lines: bytes) -> None:
        """Take lines, in this order. Never raises."""

    def finish(self) -> None:
        """Give them a last chance to leave."""

    def before_fork(self) -> None:
        """A child is about to be forked."""

    def after_fork(self) -> None:
        """In a forked child."""


class _Log(NamedTuple):
    """Where this process logs to, and in which form."""

    writer: Writer
    render: Render
    level: int  # less than this is not logged


_log: _Log | None = None
_host: tuple[Any, Any] | None = None  # what the logger of a program of others was bound to, and it


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

    Nothing that an application can set up stands in its way, and it is the short one: structlog's
    processors cost 6 us a line, a fifth of all that a job of no work costs.
    """
    if not logs(level):
        return
    if "exc_info" in fields:
        fields = _with_traceback(fields)
    whole = head(level, event) | fields
    if _log is None:
        _log_whole_as_host(whole)
    else:
        _log.writer.write(_log.render(whole, whole, ours=True))


def own_events(common: Mapping[str, Any], events: Sequence[Fields]) -> None:
    """Log events of ours, of a level that is logged, in one go.

    `common` is what all begin with: a head, and more. Each has fields of its own.
    """
    if _log is not None and _log.render is _json_line:
        _log.writer.write(*json_lines(common, events))
        return
    wholes = [with_common(common, event) for event in events]
    if _log is not None:
        render = _log.render
        _log.writer.write(*(render(whole, whole, ours=True) for whole in wholes))
        return
    for whole in wholes:
        _log_whole_as_host(whole)


def head(level: int, event: Any) -> dict[str, Any]:
    """What a line begins with. Several of one moment may have copies of one head."""
    return {
        "timestamp": clock.utc_now(),  # as text it costs a third of the line; the encoder is fast
        "level": _LEVEL_NAMES[level],
        "event": event,
    }


def _with_traceback(fields: Mapping[str, Any]) -> dict[str, Any]:
    """With `exception` for `exc_info`: an error, what `sys.exc_info` returns, or just True."""
    shown = dict(fields)
    error = shown.pop("exc_info")
    if isinstance(error, tuple):
        error = error[1]
    elif error and not isinstance(error, BaseException):
        error = sys.exception()
    if error:
        shown["exception"] = "".join(traceback.format_exception(error)).rstrip("\n")
    return shown


def log_line(level: int, text: Any, fields: Mapping[str, Any]) -> None:
    """Log a line of the application. `level` is any number that `logging` may have for one."""
    log_lines(level, (text,), fields)


def log_lines(
    level: int, texts: Iterable[Any], fields: Mapping[str, Any], job: HasFields | None = None
) -> None:
    """Log lines of the application that belong to `job`, or else to the one that runs here."""
    level = min(max(level // 10 * 10, 10), 50)
    if not logs(level):
        return
    if "exc_info" in fields:
        fields = _with_traceback(fields)
    # Its own words for the level or the time do not make it a line of another one.
    shown = {key: fields[key] for key in fields if key not in HEAD}
    job = job or running_job.get()
    events = [head(level, text) | shown for text in texts]
    if job is None:
        pass_on(events, {})
    else:
        job.keep(events)
        pass_on(events, job.fields)


def pass_on(events: Iterable[dict[str, Any]], job: Mapping[str, Any]) -> None:
    """Log events of the application that have their heads; `job` has their job's fields.

    A field of the application that is called job_id, too, does not make it another's line.
    """
    if _log is None:
        for event in events:
            _log_whole_as_host({**job, **event})
        return
    render = _log.render
    lines = []
    for event in events:
        whole = event | {key: job[key] for key in job if key not in event}
        lines.append(render(whole, job or whole, ours=False))
    _log.writer.write(*lines)


def logger() -> Any:
    """A structlog logger for the application: of ours, or of the program that we are part of."""
    if _log is not None:
        return logger_to(log_line)
    import structlog

    return structlog.get_logger()


def log_as_host(level: int, event: Any, fields: Mapping[str, Any]) -> None:
    """In a program of others: by its structlog, which may be set up in a way that fails."""
    try:
        _host_logger().log(level, event, **fields)
    except Exception:
        logging.getLogger("asyncmqd").exception("%s could not be logged", event)


def _log_whole_as_host(event: dict[str, Any]) -> None:
    level, text = event.pop("level"), event.pop("event")
    del event["timestamp"]
    log_as_host(LEVELS.get(level, 40), text, event)


def _host_logger() -> Any:
    """The program's logger, bound anew only once something that it was bound to has changed.

    What `get_logger` returns binds itself for each line: a third of what a job of no work costs.
    """
    global _host  # noqa: PLW0603 - one a process
    import structlog

    now = (structlog.get_config(), sys.stdout)
    if _host is None or _host[0] != now:
        _host = (now, structlog.get_logger().bind())
    return _host[1]


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
    # One of our own: what is descriptor 1 now is captured later. No stream: `asyncmqd >&-`.
    fd = os.open(os.devnull, os.O_WRONLY) if stream is None else os.dup(stream.fileno())
    console = format == "console" or (format == "auto" and os.isatty(fd))
    render: Render = _ConsoleRenderer() if console else _json_line
    # A service with a root directory of its own may have the stream, but not the socket.
    if not console and journal.is_journal(fd, environ) and os.access(journal_socket, os.W_OK):
        outlet, render = journal_outlet(journal_socket), journal.entry
        os.close(fd)
    else:
        outlet = outlet_of(fd)

    def report(count: int, reason: str) -> bytes:
        fields = {"dropped": count, "reason": reason}
        return render(head(LEVELS["warning"], "log.dropped") | fields, {}, ours=True)

    writer = LineWriter(outlet, report)
    log_to(writer, render, LEVELS[level])
    take_structlog(log_line)
    return writer


def log_to(writer: Writer, render: Render, level: int) -> None:
    """Send all logs of this process there, those of `logging` too, unless the application wants
    them elsewhere.
    """
    global _log  # noqa: PLW0603 - one log a process
    _log = _Log(writer, render, level)
    take_records(log_line, level)


def set_level(level: str) -> None:
    """Log from this level on. What the application has set up since the start stays."""
    global _log  # noqa: PLW0603 - one log a process
    if _log is not None:
        root = logging.getLogger()
        if root.level == _log.level:
            root.setLevel(LEVELS[level])
        _log = _log._replace(level=LEVELS[level])


# ---------------------------------------------------------------------- rendering


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
