"""What runs in a child process of the daemon: its share of the queues, served as it is told.

`process.py` starts it, with the number of a socket's descriptor; it dies with its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from asyncmqd.admin.enqueue import enqueue
from asyncmqd.admin.errors import AdminError, WrongArguments
from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.backends.factory import open_backend
from asyncmqd.client.connection import connect
from asyncmqd.config.models import Settings
from asyncmqd.config.settings_transfer import unpacked
from asyncmqd.daemon import trace_setup
from asyncmqd.daemon.application_import import Application, Problems, told
from asyncmqd.daemon.children.ipc import (
    IN_ORDER,
    Answer,
    Hello,
    Order,
    pack_answer,
    read_frame,
    receive_frame,
)
from asyncmqd.daemon.children.limit_split import share_of, slots_of
from asyncmqd.daemon.guarded_loop import run_loop
from asyncmqd.daemon.hang_monitor import LoopMonitor
from asyncmqd.daemon.queue_processes import CLOSE_LIMIT, OwnProcess
from asyncmqd.daemon.signals import SIGNALS
from asyncmqd.daemon.store_connection import reach_store
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.tasks import REGISTRY
from asyncmqd.observe.captured_streams import capture_prints
from asyncmqd.observe.listeners import LogLines
from asyncmqd.observe.log import setup
from asyncmqd.observe.metrics import Metrics
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.forks import take_signals
from asyncmqd.runtime.leases import LEASES
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.process.marks import code_stamp
from asyncmqd.runtime.process_exit import leave

FAILED = 1


def main() -> None:
    """Be a child; ends the process."""
    # They are for the parent; not ignored, which programs that jobs start would inherit.
    take_signals(SIGNALS, lambda *_: None)
    faulthandler.enable()  # the parent's SIGABRT then shows where the loop was stuck
    line = socket.socket(fileno=int(sys.argv[1]))
    line.set_inheritable(False)
    code = FAILED
    try:
        code = _serve(line)
    finally:
        leave(code)


def _serve(line: socket.socket) -> int:
    hello = msgspec.json.decode(receive_frame(line), type=Hello)
    settings = unpacked(bytes(hello.settings))
    sys.path[:] = hello.path
    backend = _set_up(hello, settings)
    application = Application(Path(hello.config), os.environ)
    application.extend_path(settings)
    scanners, problems = application.attempt(settings)
    problems = problems or trace_setup.export(settings.otel, os.environ)
    code = code_stamp(REGISTRY) if hello.number == 1 else ""
    line.sendall(pack_answer(Answer(problems=list(problems.items()), code=code)))
    lines = ChildLogLines(hello.number)
    metrics = Metrics() if settings.http.listen else None
    observer = Observer([lines, metrics] if metrics else [lines])

    async def serve() -> int:
        context = _context(backend, hello, settings, observer)
        own = OwnProcess(
            context,
            settings,
            application,
            scanners,
            partial(_share, number=hello.number, processes=hello.processes),
            advises=hello.number == 1,
            metrics=metrics,
        )
        child = Child(own, settings, hello.beat)
        if settings.webhooks:
            from asyncmqd.daemon.webhooks.sending import Failures  # nobody else pays for it

            Failures(context, settings.webhooks, lambda: child.settings.queues).start()
        lines.on_health = child.beat
        own.on_overstays = child.end
        context.duties.on_hopeless = child.replace
        return await child.run(line)

    return run_loop(serve(), observer)


def _context(
    backend: BaseBackend, hello: Hello, settings: Settings, observer: Observer
) -> ProcessContext:
    return ProcessContext(
        backend,
        # Its claims begin with the daemon's instance too, which takes back all of them.
        instance=f"{hello.instance}/{hello.number}",
        lease=settings.lease,
        hang_limit=settings.hang_limit,
        observer=observer,
        family=f"{hello.instance}/",  # the parent takes back what any of them held
    )


def _share(
    settings: Settings, number: int, processes: int
) -> tuple[Mapping[str, QueueOptions], int | None]:
    slots = settings.max_concurrency
    queues = share_of(settings.served, number, processes, slots)
    return queues, slots_of(slots, number, processes)


def _set_up(hello: Hello, settings: Settings) -> BaseBackend:
    """The log and the store, before any code of the application."""
    _log_to(hello, settings)
    backend = open_backend(settings.backend_url, settings.payload_limit)
    connect(backend)  # modules may ask for their queue's store while imported
    return backend


def _log_to(hello: Hello, settings: Settings) -> None:
    if hello.log_fd is None:
        setup(settings.log_level, hello.log_format)
    else:
        with os.fdopen(hello.log_fd, "w") as stream:
            setup(settings.log_level, hello.log_format, stream)
    capture_prints(descriptor=True, pipes=True)


class ChildLogLines(LogLines):
    """Says which process an event comes from, and leaves it to the daemon to tell of the store."""

    def __init__(self, number: int) -> None:
        self.on_health: Callable[[], None] = lambda: None
        self._number = number

    def event(self, name: str, fields: dict[str, Any]) -> None:
        """See `Listener`."""
        if name in {"daemon.degraded", "daemon.recovered"}:
            self.on_health()
        else:
            super().event(name, {"process": self._number, **fields})


class Child:
    """Obeys the parent until it says stop, or is gone."""

    def __init__(self, own: OwnProcess, settings: Settings, beat: float) -> None:
        self._own = own
        self._wanted = self.settings = settings  # those of the last order, and those in force
        self._beat_every = beat
        self._started = False
        self._declares = True  # the limits of these settings, at the start
        self._starting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer: asyncio.StreamWriter | None = None

    async def run(self, line: socket.socket) -> int:
        """Serve; the exit code."""
        reader, self._writer = await asyncio.open_connection(sock=line)
        duties = self._own.context.duties
        monitor = LoopMonitor(self._own.context.observer, self._own.runs)
        self._own.monitor = monitor
        begun = [
            duties.begin("loop monitor", monitor.run),
            duties.begin("signs of life", self._beat),
            duties.begin("orders", partial(self._read, reader)),
        ]
        code = await self._ended
        for duty in begun:
            duty.end()
        await self._say_last()
        return code

    async def _say_last(self) -> None:
        """What all jobs came to, those of the drain included: nobody can ask any more."""
        writer, self._writer = self._writer, None  # nothing may follow
        if writer is None or writer.is_closing():
            return
        counted = self._own.count() if self._own.metrics is not None else None
        writer.write(pack_answer(Answer(report=self._own.last_report(), counted=counted)))
        writer.close()
        with contextlib.suppress(TimeoutError, OSError):  # the parent hangs, or is gone
            async with asyncio.timeout(CLOSE_LIMIT):
                await writer.wait_closed()

    def _begin(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        """A child that failed at an order is of no use: the parent starts another."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._own.context.observer.event("process.failed", error=str(error), exc_info=error)
            self._leave(FAILED)

    def _leave(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(code)

    # ------------------------------------------------------------------ the parent

    async def _read(self, reader: asyncio.StreamReader) -> None:
        decoder = msgspec.json.Decoder(Order)
        try:
            while True:
                order = decoder.decode(await read_frame(reader))
                task = self._begin(self._obey(order))
                if order.name == "serve":
                    self._starting = task
        except (EOFError, OSError):
            self._leave(FAILED)  # without its parent nobody knows of it

    def beat(self) -> None:
        """Say how it goes, unasked."""
        self._tell(Answer(report=self._own.report()))

    async def _beat(self) -> None:
        while True:
            self._own.look_after()
            self.beat()
            await asyncio.sleep(self._beat_every)

    def _tell(self, answer: Answer) -> None:
        if self._writer is not None:
            self._writer.write(pack_answer(answer))

    # ------------------------------------------------------------------ orders

    async def _obey(self, order: Order) -> None:
        problems: Problems = {}
        warnings: list[str] = []
        error = ""
        match order.name:
            case "serve":
                self._declares = order.declares
                error = await self._start(unpacked(bytes(order.settings)))
            case "prepare":
                problems = await self._own.import_scanners(unpacked(bytes(order.settings)))
            case "apply":
                problems = await self._apply(unpacked(bytes(order.settings)))
                warnings = [] if problems else await self._own.applied()
            case "dump":
                self._own.dump()
            case "stop":
                self.end()
                await self._own.drain()
            case "hand_back":
                await self._own.hand_back()
            case "enqueue":
                self._tell(await self._enqueue(order))
                return
            case "count":
                self._tell(Answer(order.id, counted=self._own.count()))
                return
            case "report":
                pass
        report = self._own.report()
        self._tell(Answer(order.id, error, list(problems.items()), warnings, report))

    async def _enqueue(self, order: Order) -> Answer:
        """The code of the task is here, and says what it decides about its jobs."""
        assert order.job is not None
        try:
            return Answer(order.id, enqueued=await enqueue(self._own.context.backend, order.job))
        except (AdminError, StoreError) as error:
            return Answer(order.id, refused=str(error), is_wrong=isinstance(error, WrongArguments))

    async def _start(self, settings: Settings) -> str:
        """Serve as soon as the store lets us; why it does not, if it never will."""
        self._wanted = self.settings = settings
        self._own.context.observer.set_level(settings.log_level)
        # A reload may have come since the application was imported.
        if problems := await self._own.import_scanners(settings):
            return told(problems)
        connect(self._own.context.backend)  # what jobs enqueue goes where they came from
        try:
            await reach_store(self._own.context)
        except StoreError as error:
            return str(error)
        self._started = True
        await self._own.start(self.settings, declares=self._declares)  # they may be newer by now
        return ""

    async def _apply(self, settings: Settings) -> Problems:
        # No lock: an import that hangs would keep out the very reload that does without it.
        self._wanted = settings
        # A child that was not there yet when the others prepared has something to import.
        problems = await self._own.import_scanners(settings)
        if self._wanted is not settings:  # a later order came meanwhile
            return {}
        if problems:
            self.end(told(problems))
            return problems
        self.settings, self._declares = settings, True
        self._own.context.observer.set_level(settings.log_level)
        if self._started and self._stopping is None:
            self._own.apply(settings)
        return {}

    def end(self, reason: str = "") -> None:
        """Drain, and leave; for a `reason` of its own, another child is to follow."""
        if self._stopping is None:
            if reason:
                self._own.context.observer.event("process.restarting", error=reason)
            self._stopping = self._begin(self._stop())

    def replace(self, duty: str, reason: str) -> None:
        """A duty crashes again and again: another child is to follow.

        Without renewals running jobs go to others: then nothing is waited for.
        """
        self.end(reason)
        if duty == LEASES:
            self._begin(self._own.hand_back())

    async def _stop(self) -> None:
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
        await self._own.stop()
        await self._own.leave()
        self._leave(IN_ORDER)
