"""An application that uses the library that SETUP names, and tasks that use it, too."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from asyncmqd import task

SETUP = os.environ["SETUP"]
say: Any = print


def loguru() -> None:
    """As it is."""
    global say  # noqa: PLW0603
    from loguru import logger

    say = logger.info


def loguru_intercepts() -> None:
    """Its own recipe: records of `logging` go to it."""
    global say  # noqa: PLW0603
    from loguru import logger

    class Intercept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logger.opt(depth=6).log(record.levelname, record.getMessage())

    logging.basicConfig(handlers=[Intercept()], level=0, force=True)
    say = logging.getLogger("shop").info


def loguru_propagates() -> None:
    """The other one: what it is told goes to `logging`."""

    class Propagate(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logging.getLogger(record.name).handle(record)

    _loguru_to(Propagate())


def loguru_queue() -> None:
    """A thread of its own writes, and what it has not written by the end, it does at exit."""
    _loguru_to(sys.stdout, enqueue=True)


def _loguru_to(sink: Any, **options: Any) -> None:
    from loguru import logger

    loguru()
    logger.remove()
    logger.add(sink, format="{message}", **options)


def sentry() -> None:
    """Logs are sent every few seconds, and at exit."""
    import sentry_sdk

    # Without those for all frameworks that stand beside, which take seconds to import.
    sentry_sdk.init(
        os.environ["DSN"],
        enable_logs=True,
        traces_sample_rate=1.0,
        auto_enabling_integrations=False,
    )


def tqdm() -> None:
    """A bar on standard error, whose lines have no ends."""
    global say  # noqa: PLW0603
    import tqdm as bars

    def with_a_bar(text: str) -> None:
        for _ in bars.tqdm(range(3), desc="bar"):
            pass
        bars.tqdm.write(text)

    say = with_a_bar


globals()[SETUP]()


def _work() -> None:
    say("said by a job")
    if SETUP == "sentry":
        logging.getLogger("shop").error("wrong in a job")


@task(name="work", queue="mail")
async def work() -> None:
    _work()


@task(name="work_thread", queue="mail")
def work_thread() -> None:
    _work()


@task(name="work_process", queue="mail", executor="process")
def work_process() -> None:
    _work()
