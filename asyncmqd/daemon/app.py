"""`run`: the whole process, from reading its configuration to its exit code."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import NoReturn

from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.factory import open_backend
from asyncmqd.client.connection import connect
from asyncmqd.config.errors import ConfigErrors
from asyncmqd.config.load import load
from asyncmqd.config.models import Settings
from asyncmqd.daemon.application_import import Application
from asyncmqd.daemon.guarded_loop import run_loop
from asyncmqd.daemon.instance_lock import CannotStart, Instance
from asyncmqd.daemon.queue_processes import OwnProcess, Serving
from asyncmqd.daemon.reload.reloading import Configuration
from asyncmqd.daemon.service import Daemon
from asyncmqd.daemon.signals import Signals
from asyncmqd.daemon.systemd import Systemd
from asyncmqd.observe.captured_streams import capture_prints, leave_input
from asyncmqd.observe.journal import is_journal, tell_errors
from asyncmqd.observe.line_writer import LineWriter
from asyncmqd.observe.listeners import LogLines
from asyncmqd.observe.log import setup
from asyncmqd.observe.metrics import Metrics
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.pid_one import leave_orphans_to_parent
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.process_exit import leave

OK, FAILED, BAD_CONFIG = 0, 1, 78
"""Exit codes; systemd does not restart a service that ends with 78."""


def run(config: Path, environ: MutableMapping[str, str]) -> NoReturn:
    """Be the daemon. Ends the process: with 0, with 1 for a start that failed, with 78 for a
    configuration that cannot be used.
    """
    leave_orphans_to_parent()
    signals = Signals()
    signals.catch()
    faulthandler.enable()  # a watchdog's SIGABRT then shows where the loop was stuck
    systemd = Systemd(environ, Observer())
    try:
        code = _run(config, environ, signals, systemd)
    except ConfigErrors as errors:
        systemd.status(str(errors.errors[0]))
        _complain(str(errors), environ)
        code = BAD_CONFIG
    except CannotStart as reason:
        systemd.status(str(reason))
        _complain(f"asyncmqd: {reason}", environ)
        code = FAILED
    finally:
        systemd.close()
    leave(code)


def _run(
    config: Path, environ: MutableMapping[str, str], signals: Signals, systemd: Systemd
) -> int:
    given = dict(environ)  # a reload reads it again
    settings = load(config, given)
    environ.pop("CREDENTIALS_DIRECTORY", None)  # not for the programs that jobs start
    writer = setup(settings.log_level, settings.log_format)
    here = settings.processes == 1  # else the jobs' code runs in children
    capture_prints(descriptor=here, pipes=here)
    if systemd.problem:
        Observer().event("daemon.warning", warning=systemd.problem)
    systemd.extend("starting: importing the application")
    instance = Instance(settings.control_socket)
    instance.lock()
    application = Application(config, environ)
    try:
        backend = open_backend(settings.backend_url, settings.payload_limit)
    except ValueError as error:
        raise application.refusal(settings, {("backend",): str(error)}) from None
    connect(backend)  # modules may ask for their queue's store while imported
    configuration = Configuration(config, given, settings)
    if settings.processes == 1:
        application.extend_path(settings)
        scanners = application.load(settings)
        application.send_traces(settings)
    leave_input()

    metrics = _metrics(settings)
    observer = Observer() if metrics is None else Observer([LogLines(), metrics])

    async def serve() -> int:
        context = _context(backend, settings, instance, observer)
        serving: Serving
        if settings.processes == 1:
            serving = OwnProcess(context, settings, application, scanners, metrics=metrics)
        else:
            serving = await _load_children(context, configuration, application, systemd, writer)
        return await Daemon(configuration, serving, systemd, observer.set_level).run(signals)

    return run_loop(serve(), observer)


def _metrics(settings: Settings) -> Metrics | None:
    """Counters for /metrics, where this process runs the jobs and somebody may ask for them."""
    return Metrics() if settings.http.listen and settings.processes == 1 else None


async def _load_children(
    context: ProcessContext,
    configuration: Configuration,
    application: Application,
    systemd: Systemd,
    writer: LineWriter,
) -> Serving:
    # A daemon of one process does without their code.
    from asyncmqd.daemon.children.pool import ChildPool

    children = ChildPool(
        context,
        configuration.path,
        configuration.settings,
        application,
        systemd.watchdog_limit,
        writer,
    )
    await children.load()
    return children


def _context(
    backend: BaseBackend, settings: Settings, instance: Instance, observer: Observer
) -> ProcessContext:
    return ProcessContext(
        backend,
        instance=instance.id,
        life=instance.life,
        lease=settings.lease,
        hang_limit=settings.hang_limit,
        observer=observer,
    )


def _complain(text: str, environ: Mapping[str, str]) -> None:
    # Not to sys.stderr, which carries the application's prints by now.
    lines = text.splitlines()
    if is_journal(2, environ) and tell_errors(lines):
        return
    os.write(2, "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace"))
