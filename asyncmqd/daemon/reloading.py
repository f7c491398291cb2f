"""Reload: validate in full, compare, apply queue by queue; what is refused changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from asyncmqd.config import ConfigErrors, Plan, Settings, diff, load
from asyncmqd.daemon.application import Application, Scanners
from asyncmqd.daemon.control import Refused
from asyncmqd.daemon.supervisor import Supervisor, wanted_options
from asyncmqd.daemon.systemd import Systemd
from asyncmqd.domain import clock
from asyncmqd.observe.events import Observer


class Configuration:
    """What the daemon runs with, and where it came from."""

    def __init__(
        self, path: Path, environ: Mapping[str, str], settings: Settings, scanners: Scanners
    ) -> None:
        self.path = path
        self.settings = settings  # keys that need a restart have the values from the start
        self.scanners = scanners
        self.generation = 1  # rises by one at each reload that is applied
        self.loaded_at = clock.utc_now()
        self.refusal = ""  # the first error of the last reload, if that was refused
        self._environ = environ

    async def look(self) -> tuple[Settings, Plan]:
        """What the files say now, and how that differs. Raises ConfigErrors."""
        # In a thread: fifty queues take longer to read than a job should have to wait.
        new = await asyncio.to_thread(load, self.path, self._environ)
        return new, diff(self.settings, new)

    async def import_scanners(self, new: Settings) -> Scanners:
        """The scanners that the new settings name. Raises ConfigErrors."""
        application = Application(self.path, self._environ)
        return await asyncio.to_thread(application.load, new, tasks=False)

    def take(self, new: Settings, plan: Plan, scanners: Scanners) -> None:
        """Run with the new settings, but for what only a restart can change."""
        kept = {change.key: change.old for change in plan.restart}
        self.settings = new.model_copy(update=kept)
        self.scanners = scanners
        self.generation += 1
        self.loaded_at = clock.utc_now()
        self.refusal = ""


class Reloader:
    """Reloads one at a time; requests that come meanwhile share the next one."""

    def __init__(
        self,
        configuration: Configuration,
        supervisor: Supervisor,
        systemd: Systemd,
        observer: Observer,
        set_log_level: Callable[[str], None],
    ) -> None:
        self._configuration = configuration
        self._supervisor = supervisor
        self._systemd = systemd
        self._observer = observer
        self._set_log_level = set_log_level
        self._requests: asyncio.Queue[asyncio.Future[dict[str, Any]]] = asyncio.Queue()

    def request(self) -> asyncio.Future[dict[str, Any]]:
        """Ask for a reload; the future says what it changed, or raises Refused."""
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        # Who sends a signal does not wait for the answer; the log has it.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._requests.put_nowait(future)
        return future

    async def run(self) -> None:
        """Carry out requests until cancelled; then those that wait are refused."""
        waiting: list[asyncio.Future[dict[str, Any]]] = []
        try:
            while True:
                waiting = [await self._requests.get()]
                while not self._requests.empty():
                    waiting.append(self._requests.get_nowait())
                await self._answer(waiting)
        finally:
            while not self._requests.empty():
                waiting.append(self._requests.get_nowait())
            for future in waiting:
                if not future.done():
                    future.set_exception(Refused("the daemon is stopping"))

    async def _answer(self, waiting: list[asyncio.Future[dict[str, Any]]]) -> None:
        self._systemd.reloading()
        self._observer.event("daemon.reloading", config=str(self._configuration.path))
        try:
            result = await self._reload()
        except ConfigErrors as errors:
            self._refuse(waiting, [str(each) for each in errors.errors])
        except Exception as error:  # noqa: BLE001 - whatever it is, the old configuration serves
            self._refuse(waiting, [f"{type(error).__name__}: {error}"])
        else:
            for future in waiting:
                if not future.done():
                    future.set_result(result)
        # Even after a refusal: systemd waits for the end of the reload, whatever that is.
        self._systemd.ready(self._configuration.refusal or "reloaded")

    async def _reload(self) -> dict[str, Any]:
        new, plan = await self._configuration.look()
        scanners = await self._configuration.import_scanners(new)
        self._configuration.take(new, plan, scanners)
        self._set_log_level(new.log_level)
        self._supervisor.apply(wanted_options(self._configuration.settings, scanners))
        result = {
            "generation": self._configuration.generation,
            "plan": plan.to_dict(),
            "lines": plan.lines(),
            "draining": sorted({*plan.removed, *self._supervisor.draining}),
        }
        self._observer.event(
            "daemon.reloaded",
            generation=self._configuration.generation,
            changes=plan.lines(),
            needs_restart=[change.key for change in plan.restart] or None,
        )
        return result

    def _refuse(self, waiting: list[asyncio.Future[dict[str, Any]]], errors: list[str]) -> None:
        self._configuration.refusal = f"reload refused: {errors[0]}"
        self._observer.event("daemon.reload_refused", error=errors[0], errors=errors)
        for future in waiting:
            if not future.done():
                future.set_exception(Refused("\n".join(errors)))
