"""`Daemon`: from the first attempt to reach the store to the last job handed back."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import asyncmqd
from asyncmqd.backends.base import StoreError, StoreRefused
from asyncmqd.client.connection import connect
from asyncmqd.config.errors import ConfigErrors
from asyncmqd.daemon.control_server import Call, Control, Refused
from asyncmqd.daemon.hang_monitor import LoopMonitor
from asyncmqd.daemon.instance_lock import CannotStart
from asyncmqd.daemon.queue_processes import CLOSE_LIMIT, LOOK_EVERY, OwnProcess, Serving
from asyncmqd.daemon.reload.preview import Previewer
from asyncmqd.daemon.reload.reloading import Configuration, Reloader
from asyncmqd.daemon.signals import Command, Signals
from asyncmqd.daemon.status import Status
from asyncmqd.daemon.store_connection import reach_store
from asyncmqd.daemon.systemd import Systemd
from asyncmqd.daemon.systemd_unit import Unit
from asyncmqd.domain import clock
from asyncmqd.domain.heartbeat import About
from asyncmqd.domain.marks import Mark
from asyncmqd.runtime.leases import LEASES
from asyncmqd.runtime.process.marks import note

if TYPE_CHECKING:
    from asyncmqd.daemon.http import Http
    from asyncmqd.daemon.webhooks.service import Webhooks

QUEUES_A_SECOND = 400  # that are looked at
HAND_BACK_LIMIT = 1.5  # seconds that a second TERM leaves for handing jobs back
LAST_COMMANDS = {Command.STOP, Command.FAILED, Command.RESTART}


class Daemon:
    """One life of the daemon. Make it and run it in the loop that it is to have."""

    def __init__(
        self,
        configuration: Configuration,
        serving: Serving,
        systemd: Systemd,
        set_log_level: Callable[[str], None],
    ) -> None:
        settings, observer = configuration.settings, serving.context.observer
        self._configuration = configuration
        self._serving = serving
        serving.on_overstays = self._restart
        serving.context.duties.on_hopeless = self._replace
        self._backend = serving.context.backend
        self._systemd = systemd
        self._observer = observer
        self._status = Status(serving, configuration)
        self._unit = Unit(os.environ)
        serving.context.presence.about = self._about
        self._previewer = Previewer(self._backend)
        self._reloader = Reloader(
            configuration, serving, self._previewer, systemd, observer, set_log_level
        )
        self._monitor = LoopMonitor(observer, serving.runs)
        if isinstance(serving, OwnProcess):
            serving.monitor = self._monitor
        self._control = Control(
            settings.control_socket, self, group_operates=settings.control_group == "operate"
        )
        self._http: Http | None = None
        self._webhooks = _webhooks(serving, configuration)
        self._commands: asyncio.Queue[Command] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()  # what signals have begun

    # ------------------------------------------------------------------ life

    async def run(self, signals: Signals) -> int:
        """Start, serve until told to stop, stop. The exit code."""
        signals.attach(self._commands)
        begin = self._serving.context.duties.begin
        monitor = begin("loop monitor", self._monitor.run)
        duties = [begin("status line", self._tell_status), begin("watchdog", self._feed)]
        start = asyncio.create_task(self._start())
        start.add_done_callback(self._check_start)
        while (command := await self._commands.get()) not in LAST_COMMANDS:
            self._obey(command)
        start.cancel()
        await asyncio.wait([start], timeout=CLOSE_LIMIT)
        stop = asyncio.create_task(self._stop())
        stop.add_done_callback(lambda _: self._commands.put_nowait(Command.LEAVE))
        code = 0 if command is Command.STOP else 1  # systemd restarts what ends with 1
        while (command := await self._commands.get()) is not Command.LEAVE:
            self._obey(command)
        for duty in (monitor, *duties):
            duty.end()
        if stop.done():
            stop.result()
        self._observer.event("daemon.stopped")
        return code

    def _obey(self, command: Command) -> None:
        match command:
            case Command.RELOAD:
                self._reloader.request()
            case Command.DUMP:
                self._begin(self._status.dump())
            case Command.STOP:
                self._begin(self._hand_back_now())
            case _:
                pass

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)  # somebody may ask for the state every minute

    # ------------------------------------------------------------------ starting

    async def _start(self) -> None:
        began = asyncio.get_running_loop().time()
        settings, code = self._configuration.settings, self._serving.code()
        self._observer.event(
            "daemon.starting",
            version=asyncmqd.__version__,
            config=str(self._configuration.path),
            store=settings.backend_shown,
            worker=self._serving.context.presence.id,
        )
        if warning := await self._control.start():
            self._observer.event("daemon.warning", warning=warning)
        await self._start_http()
        connect(self._backend)  # what jobs enqueue goes where they came from
        # Before anybody serves: a dead former self's claims must not look like a living one's.
        recovered = await reach_store(self._serving.context)
        for warning in await self._warnings():
            self._observer.event("daemon.warning", warning=warning)
        await self._serving.start(self._configuration.settings)
        if self._webhooks is not None:
            self._webhooks.start()
        self._reloader.start()
        self._status.phase = "ready"
        self._systemd.ready(self._status.numbers(self._serving.report()))
        self._observer.event(
            "daemon.ready",
            queues=sorted(settings.queues),
            recovered=recovered or None,
            duration_ms=round((asyncio.get_running_loop().time() - began) * 1000),
        )
        await self._note_start(code)

    def _about(self) -> About:
        generation, unit = self._configuration.generation, self._unit
        return About(self._status.phase, generation, unit.name, unit.restarts)

    async def _note_start(self, code: str) -> None:
        await self._unit.ask()
        self._serving.context.presence.beat_soon()
        context = self._serving.context
        what = f"version {asyncmqd.__version__}"
        await note(self._backend, Mark("started", context.presence.id, what, code))

    async def _start_http(self) -> None:
        """Answer over HTTP if [http] says so. Raises CannotStart."""
        keys = self._configuration.settings.http
        if keys.listen is not None:
            from asyncmqd.daemon.http import Http  # nobody else pays for it

            self._http = Http(keys, self._serving, self._status, self)
            await self._http.start()

    def _check_start(self, start: asyncio.Task[None]) -> None:
        if start.cancelled() or start.exception() is None:
            return
        error = start.exception()
        known = isinstance(error, CannotStart | StoreRefused)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        self._observer.event("daemon.failed", error=reason, exc_info=None if known else error)
        self._systemd.status(reason)
        self._commands.put_nowait(Command.FAILED)

    async def _warnings(self) -> list[str]:
        with contextlib.suppress(StoreError):
            return await self._backend.warnings()
        return []

    # ------------------------------------------------------------------ stopping

    async def _stop(self) -> None:
        self._status.phase = "draining"
        self._systemd.stopping(self._status.line())
        await self._reloader.stop()
        await self._serving.drain()
        if self._webhooks is not None:
            await self._webhooks.stop()
        report = self._serving.report()
        self._observer.event(
            "daemon.draining", running=report.running, unacknowledged=report.unacknowledged or None
        )
        await self._serving.stop()
        await self._control.stop()
        if self._http is not None:
            await self._http.stop()
        await self._serving.leave()
        for task in self._tasks:
            task.cancel()

    async def _hand_back_now(self) -> None:
        """The second TERM: hand back, and leave even if that cannot be done."""
        asyncio.get_running_loop().call_later(
            HAND_BACK_LIMIT, self._commands.put_nowait, Command.LEAVE
        )
        await self._serving.hand_back()

    def _restart(self, reason: str) -> None:
        """Drain, and end with 1 to be started anew."""
        if self._status.phase == "ready":
            self._observer.event("daemon.restarting", error=reason)
            self._status.restarting, self._status.restarting_since = reason, clock.wall()
            self._serving.context.presence.tell_restart(reason, self._status.restarting_since)
            self._commands.put_nowait(Command.RESTART)

    def _replace(self, duty: str, reason: str) -> None:
        """Only a new process may help. Without renewals running jobs go to others: do not wait."""
        self._restart(reason)
        if duty == LEASES:
            self._commands.put_nowait(Command.STOP)

    # ------------------------------------------------------------------ standing duties

    async def _feed(self) -> None:
        await self._systemd.feed(lambda: self._serving.is_well)

    async def _tell_status(self) -> None:
        while True:
            self._serving.look_after()
            if warning := await self._control.look_after():
                self._observer.event("daemon.warning", warning=warning)
            if self._systemd.listens:
                self._status.look_after()
            tell = self._systemd.status if self._status.phase == "ready" else self._systemd.extend
            tell(self._status.line())
            # A look at thousands of queues costs ten milliseconds: not each second.
            queues = len(self._configuration.settings.queues)
            await asyncio.sleep(LOOK_EVERY * max(1.0, queues / QUEUES_A_SECOND))

    # ------------------------------------------------------------------ the control socket

    async def status(self) -> dict[str, Any]:
        """What the daemon is doing."""
        return await self._status.snapshot()

    async def plan(self, *, conceals: bool = False) -> dict[str, Any]:
        """See `Commands`."""
        try:
            _, plan = await self._configuration.look()
        except ConfigErrors as errors:
            raise Refused(str(errors), concealed="\n".join(errors.places)) from None
        preview = (await self._previewer.of(plan)).shown(conceals=conceals)
        return {"plan": preview.values, "lines": preview.lines}

    async def config(self) -> dict[str, Any]:
        """What is in force: all keys that are not as usual."""
        from asyncmqd.config.shown import in_force  # nobody else pays for it

        return in_force(self._configuration.settings)

    async def verb(self, call: Call) -> Any:
        """What the store is asked for by name. Raises Refused."""
        from asyncmqd.daemon.verbs import Verbs  # nobody else pays for it

        verbs = Verbs(self._serving, lambda: self._configuration.settings.queues)
        return await verbs.do(call)

    async def reload(self, by: str, *, conceals: bool = False) -> dict[str, Any]:
        """See `Commands`."""
        if self._status.phase == "starting":  # the answer would come when the store does, if ever
            raise Refused(f"the daemon is still {self._status.line()}; restart it instead")
        return (await self._reloader.request(by)).told(conceals=conceals)


def _webhooks(serving: Serving, configuration: Configuration) -> Webhooks | None:
    webhooks = configuration.settings.webhooks
    if not webhooks:
        return None
    from asyncmqd.daemon.webhooks.service import Webhooks  # nobody else pays for it

    queues = lambda: configuration.settings.queues  # noqa: E731
    return Webhooks(serving.context, webhooks, queues, os.environ)
