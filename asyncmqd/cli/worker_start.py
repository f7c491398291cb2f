"""`asyncmq worker start`: one queue, served from a terminal or a container, without a daemon."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn

from asyncmqd.backends.base import BaseBackend
from asyncmqd.cli.errors import Misconfigured
from asyncmqd.cli.output import complain
from asyncmqd.cli.store_choice import Target
from asyncmqd.client.connection import connect, connect_within
from asyncmqd.config.file_permissions import directory_problem
from asyncmqd.daemon.guarded_loop import run_loop
from asyncmqd.observe.captured_streams import capture_prints, finish, leave_input, release_prints
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.forks import take_signals
from asyncmqd.runtime.pid_one import leave_orphans_to_parent
from asyncmqd.runtime.process_exit import leave

BETWEEN_SIGNALS = 0.05  # seconds

Work = Callable[[BaseBackend], Awaitable[None]]


def serve(
    target: Target, queue: str, tasks: Sequence[str], work: Work, set_up_log: Callable[[], object]
) -> NoReturn:
    """Import `tasks` and do `work` on the store until a signal ends it; leave with exit code 0.

    Raises Misuse and Misconfigured, and StoreError when the store cannot be reached at the start.
    """
    leave_orphans_to_parent()
    target.open()  # a URL that names no store is refused before application code runs
    connect_within(*target.keys)  # what modules and jobs enqueue goes to the same store
    if not tasks:
        complain("no --tasks: jobs are parked for workers that know their tasks")
    set_up_log()
    capture_prints(descriptor=True, pipes=True)
    try:
        with _traced(target.file):
            import_tasks(tasks)
        leave_input()
        code = _until_signal(work, queue)
    except BaseException:
        release_prints()  # it is told on standard error
        raise
    leave(code)


def _traced(file: Path | None) -> AbstractContextManager[None]:
    """What is round the import of the application: traces, if the configuration has `[otel]`."""
    from asyncmqd.config.backend import has_traces

    if file is None or not has_traces(file):
        return contextlib.nullcontext()
    from asyncmqd.cli.worker_traces import traced

    return traced(file)


def import_tasks(modules: Sequence[str]) -> None:
    """Import the application's modules, found from the current directory on.

    Raises Misconfigured, naming the first that cannot be imported and why, and where everybody
    could put modules there.
    """
    if modules and (problem := directory_problem(Path.cwd(), sticky=False)):
        raise Misconfigured(f"--tasks: {problem}")
    # A script of its own has the directory of `asyncmq` there, where no application is.
    sys.path.insert(0, os.getcwd())
    for name in modules:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the application's code
            raise Misconfigured(
                f"--tasks {name}: expected a module that can be imported,"
                f" got {type(error).__name__}: {error}"
            ) from None


def _until_signal(work: Work, queue: str) -> int:
    observer = Observer()
    try:
        return run_loop(_serve(work, queue, observer), observer)
    except BaseException:
        finish()
        raise


async def _serve(work: Work, queue: str, observer: Observer) -> int:
    store = connect()
    _obey_signals(lambda: observer.event("daemon.draining", queue=queue))
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await store.connect()
            observer.event("queue.started", queue=queue)
            await work(store)
    finally:
        await store.close()
    observer.event("queue.stopped", queue=queue)
    return 0


def _obey_signals(on_first: Callable[[], None]) -> None:
    """Have TERM and INT cancel this task: the first drains, a second one hands back at once."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None

    def stop() -> None:
        if task.cancelling():
            # Two cancellations in the same moment would count as one.
            loop.call_later(BETWEEN_SIGNALS, task.cancel)
        else:
            on_first()
            task.cancel()

    take_signals((signal.SIGTERM, signal.SIGINT), lambda *_: loop.call_soon_threadsafe(stop))
