"""An application that sets its logs up in the way that SETUP names, and tasks that talk."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import sys
import warnings
from typing import Any

import structlog

from asyncmqd import current_job, task

EARLY = structlog.get_logger().bind(made="early")  # before anybody set anything up
OLD = logging.getLogger("shop.old")
OLD_HANDLER = logging.StreamHandler(sys.stdout)


def nothing() -> None:
    """As most applications do."""


def default_factory() -> None:
    structlog.reset_defaults()


def cached() -> None:
    structlog.configure(cache_logger_on_first_use=True)


def json_only() -> None:
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()], cache_logger_on_first_use=True
    )


def _json(*values: Any, **options: Any) -> bytes:
    return json.dumps(*values, **options).encode()


def json_bytes() -> None:
    structlog.configure(
        processors=[
            structlog.processors.JSONRenderer(lambda *a, **k: json.dumps(*a, **k).encode())
        ],
        logger_factory=structlog.BytesLoggerFactory(),
    )


def stdlib() -> None:
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def formatter() -> None:
    """structlog's own recipe, with a dictConfig that switches off what was there."""
    as_json = structlog.stdlib.ProcessorFormatter(processor=structlog.processors.JSONRenderer())
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": True,
            "formatters": {"json": {"()": lambda: as_json}},
            "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"handlers": ["out"], "level": "INFO"},
        }
    )
    OLD.disabled = False  # or the task could not speak by it
    structlog.configure(
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def broken() -> None:
    """What a `PrintLogger` has no answer to, so that each call of the application raises."""
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level],
        logger_factory=structlog.PrintLoggerFactory(),
    )


def prints_to_logging() -> None:
    """The usual recipe by which prints become records, and records that are printed."""

    class Records:
        def write(self, text: str) -> int:
            if text.strip():
                logging.getLogger("print").info(text.rstrip())
            return len(text)

        def flush(self) -> None:
            pass

    OLD_HANDLER.setLevel(logging.INFO)
    logging.getLogger().addHandler(OLD_HANDLER)
    sys.stdout = Records()  # type: ignore[assignment]


def first_streams() -> None:
    """Past what stands in `sys.stdout`, with all warnings as records."""
    logging.captureWarnings(True)
    warnings.simplefilter("always")
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(sys.__stdout__))
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115


SETUPS = {
    each.__name__: each
    for each in (
        nothing,
        default_factory,
        cached,
        json_only,
        json_bytes,
        stdlib,
        formatter,
        broken,
        prints_to_logging,
        first_streams,
    )
}

SETUPS[os.environ["SETUP"]]()
LATE = structlog.get_logger().bind(made="late")


def _speak() -> str:
    said = []
    for call in (_by_structlog, _by_logging, _by_print):
        try:
            call()
        except Exception as error:
            said.append(type(error).__name__)
    current_job().log.info("by job", of="the job")
    return ",".join(said)


def _by_structlog() -> None:
    EARLY.info("early structlog")
    LATE.info("late structlog", amount=3)


def _by_logging() -> None:
    OLD.warning("by logging")
    warnings.warn("by warnings", stacklevel=1)


def _by_print() -> None:
    print("by print")
    print("by first stream", file=sys.__stdout__, flush=True)


@task(name="speak")
async def speak() -> str:
    return _speak()


@task(name="speak_thread")
def speak_thread() -> str:
    return _speak()


@task(name="speak_process", executor="process")
def speak_process() -> str:
    return _speak()
