"""What an application that sets nothing up logs by structlog or `logging`, led into our log.

It may set up both as it likes, before or after: nothing of ours depends on it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from functools import partial, partialmethod
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Protocol

_OF_RECORDS = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"}


class LogLine(Protocol):
    """What logs a line of the application."""

    def __call__(self, level: int, text: Any, fields: Mapping[str, Any]) -> None:
        """`level` is any number that `logging` may have for one."""


class _Logger:
    """What structlog calls last: with an event, or with what processors of the application made."""

    def __init__(self, log_line: LogLine) -> None:
        self._log_line = log_line

    def _log(self, level: int, /, *rendered: Any, **event: Any) -> None:
        text = rendered[0] if rendered else event.pop("event", "")
        if isinstance(text, bytes):
            text = text.decode(errors="backslashreplace")
        self._log_line(level, text, event)

    debug = partialmethod(_log, 10)
    info = msg = partialmethod(_log, 20)
    warning = warn = partialmethod(_log, 30)
    error = err = exception = failure = partialmethod(_log, 40)
    critical = fatal = partialmethod(_log, 50)
    log = _log


def _processors() -> list[Any]:
    import structlog

    text = structlog.dev.ConsoleRenderer(colors=False)

    def render(logger: Any, name: str, event: Any) -> Any:
        # The application may have put loggers of its own beside our processors.
        return event if isinstance(logger, _Logger) else text(logger, name, event)

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.StackInfoRenderer(),
        render,
    ]


def take_structlog(log_line: LogLine) -> None:
    """Have structlog log by `log_line`, as far as nobody sets it up otherwise: now, or once it is
    imported.
    """
    # To import it, and rich with it, takes a fifth of a start, and many applications use neither.
    if "structlog" in sys.modules:
        _configure(log_line)
    else:
        sys.meta_path.insert(0, _AtImport("structlog", lambda: _configure(log_line)))


class _AtImport:
    """Finds a module as Python would, and calls `then` as soon as it is imported."""

    def __init__(self, module: str, then: Callable[[], None]) -> None:
        self._module = module
        self._then = then

    def find_spec(self, name: str, *place: Any) -> ModuleSpec | None:
        """What a finder of Python's is asked, also by those who only look whether it is there."""
        if name != self._module:
            return None
        others = [each for each in sys.meta_path if each is not self]
        specs = (each.find_spec(name, *place) for each in others if hasattr(each, "find_spec"))
        spec = next((each for each in specs if each is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = partial(self._execute, spec.loader.exec_module)  # type: ignore[method-assign]
        return spec

    def _execute(self, execute: Callable[[ModuleType], None], module: ModuleType) -> None:
        execute(module)
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._then()


def _configure(log_line: LogLine) -> None:
    import structlog

    structlog.configure(
        processors=_processors(),
        # All levels: the present one may change, and what is bound is never made anew.
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=lambda *_: _Logger(log_line),
        cache_logger_on_first_use=False,
    )


def logger_to(log_line: LogLine) -> Any:
    """A structlog logger that no set-up of structlog reaches."""
    import structlog

    wrapper: Any = structlog.make_filtering_bound_logger(logging.DEBUG)
    return wrapper(_Logger(log_line), _processors(), {})


def take_records(log_line: LogLine, level: int) -> None:
    """Have `logging`, as long as nobody sets it up, log records of at least this level."""
    root = logging.getLogger()
    root.handlers = [_Records(log_line)]
    root.setLevel(level)


class _Records(logging.Handler):
    """Records of `logging`, with what they were given as `extra`."""

    def __init__(self, log_line: LogLine) -> None:
        super().__init__()
        self._log_line = log_line

    def createLock(self) -> None:  # noqa: N802 - the name is logging's
        """None is needed, and one that is held at a fork is never free in the child."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> Any:
        """As it is of old: from Python 3.13 on, `logging` enters the lock, also where none is."""
        wanted = self.filter(record)  # from 3.12 on it may be another record
        if wanted:
            self.emit(wanted if isinstance(wanted, logging.LogRecord) else record)
        return wanted

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name}
        fields |= {key: value for key, value in vars(record).items() if key not in _OF_RECORDS}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        if record.stack_info:
            fields["stack"] = record.stack_info
        try:
            self._log_line(record.levelno, record.getMessage(), fields)
        except Exception:  # noqa: BLE001 - a broken log call must not break the job that made it
            self.handleError(record)
