"""The application's code: imported at start, so that what cannot run is known before it must."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from asyncmqd.config.errors import ConfigError, ConfigErrors, Place, dotted
from asyncmqd.config.errors import Path as KeyPath
from asyncmqd.config.models import Settings
from asyncmqd.daemon import trace_setup
from asyncmqd.domain.queue_options import CustomScanner

Scanners = Mapping[str, CustomScanner]
"""Custom scanners by their `module:function`."""

Problems = Mapping[KeyPath, str]
"""What is wrong, by the path of the key."""

Found = TypeVar("Found")

_ASYNCMQD = str(Path(__file__).parents[1]) + os.sep


class Application:
    """Imports what `tasks` and `scanners` name. Problems carry the place of the key."""

    def __init__(self, config: Path, environ: Mapping[str, str]) -> None:
        self._config = config
        self._environ = environ

    def extend_path(self, settings: Settings) -> None:
        """Make the modules of `python_path` importable, before all others."""
        named = [str(each) for each in settings.python_path]
        sys.path[:0] = [each for each in named if each not in sys.path]

    def load(self, settings: Settings) -> Scanners:
        """Import tasks and scanners. Raises ConfigErrors naming all that cannot be had."""
        scanners, problems = self.attempt(settings)
        if problems:
            raise self.refusal(settings, problems)
        return scanners

    def send_traces(self, settings: Settings) -> None:
        """Begin to, where `[otel]` says so. Raises ConfigErrors for what the SDK refuses."""
        if problems := trace_setup.export(settings.otel, self._environ):
            raise self.refusal(settings, problems)

    def attempt(self, settings: Settings) -> tuple[Scanners, Problems]:
        """The same, with what cannot be had by the places of their keys."""
        problems = {**trace_setup.declare(settings.otel, self._environ)}
        for index, name in enumerate(settings.tasks):
            if (reason := _import(name)) is not None:
                problems["tasks", index] = f"expected a module to import, got {name!r}: {reason}"
        scanners, missing = _find_scanners(named_scanners(settings))
        problems |= missing
        if problems:
            problems |= _unreadable(settings)
        return scanners, problems

    async def attempt_scanners(
        self, settings: Settings, known: Scanners, limit: float
    ) -> tuple[Scanners, Problems]:
        """Import the scanners that are not known, beside the event loop, in `limit` seconds.

        In a thread of its own: an import that never comes back would keep one of the few that
        `asyncio.to_thread` has, and with them whatever else needs one.
        """
        new = [(path, name) for path, name in named_scanners(settings) if name not in known]
        if not new:
            return {}, {}
        try:
            async with asyncio.timeout(limit):
                scanners, problems = await _in_thread(lambda: _find_scanners(new))
        except TimeoutError:
            late = f"which is not imported after {limit:g} s"
            return {}, {path: f"expected a scanner, got {name!r}, {late}" for path, name in new}
        return scanners, {**problems, **(_unreadable(settings) if problems else {})}

    def refusal(self, settings: Settings, problems: Problems) -> ConfigErrors:
        """Problems that only use could show, as errors at the places of their keys."""
        return ConfigErrors(self._errors(settings, problems))

    def _errors(self, settings: Settings, problems: Problems) -> Iterator[ConfigError]:
        # Only needed here, and too slow to import at every start.
        from asyncmqd.config.environment import read_variables
        from asyncmqd.config.files import read_files

        layers = list(read_files(self._config))
        layers += read_variables(len(layers), self._environ, settings.queues)
        for path, problem in problems.items():
            inherited = ("defaults", *path[2:])
            found = [
                layer.place(each)
                for layer in layers
                for each in (path, inherited)
                if layer.has(each)
            ]
            place = found[-1] if found else Place(0, 1, str(self._config))
            yield ConfigError(place, dotted(path), problem)


def told(problems: Problems) -> str:
    """All of it in one line, for a log."""
    return "; ".join(f"{dotted(path)}: {problem}" for path, problem in problems.items())


def named_scanners(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    """The custom scanners that the settings name, each with the path of its key."""
    for queue, options in settings.queues.items():
        for index, name in enumerate(options.scanners):
            yield ("queues", queue, "scanners", index), name


def _find_scanners(
    named: Iterable[tuple[KeyPath, str]],
) -> tuple[dict[str, CustomScanner], dict[KeyPath, str]]:
    scanners: dict[str, CustomScanner] = {}
    problems: dict[KeyPath, str] = {}
    for path, name in named:
        try:
            scanners[name] = _find_scanner(name)
        except ValueError as error:
            problems[path] = str(error)
    return scanners, problems


async def _in_thread(call: Callable[[], Found]) -> Found:
    """What the call returns. When cancelled, its thread goes on alone, for nobody."""
    found: Future[Found] = Future()
    found.set_running_or_notify_cancel()  # nobody can cancel what a thread is at

    def work() -> None:
        try:
            found.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            found.set_exception(error)

    threading.Thread(target=work, name="asyncmqd-import", daemon=True).start()
    return await asyncio.wrap_future(found)


def _unreadable(settings: Settings) -> dict[KeyPath, str]:
    """The directories that may be why a module was not found."""
    found: dict[KeyPath, str] = {}
    for index, directory in enumerate(settings.python_path):
        try:
            os.listdir(directory)
        except OSError as error:
            found["python_path", index] = (
                f"expected a directory to read, got {error.strerror} for {directory}"
                " (a unit with ProtectHome= has no home directories)"
            )
    return found


def _import(name: str) -> str | None:
    """Why the module cannot be imported, in one line; None if it was."""
    try:
        importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001 - a module may well call sys.exit()
        return _reason(error)
    return None


def _find_scanner(name: str) -> CustomScanner:
    module, _, attribute = name.partition(":")
    if (reason := _import(module)) is not None:
        raise ValueError(f"expected a module to import, got {module!r}: {reason}")
    found: Any = getattr(sys.modules[module], attribute, None)
    if not inspect.iscoroutinefunction(found):
        raise ValueError(f"expected an async function, got {name!r}, which is none")
    scanner: CustomScanner = found
    return scanner


def _reason(error: BaseException) -> str:
    """The error with its place in the application's code, which is where it is mended."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_of_application(frame.filename)]
    where = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    if isinstance(error, SyntaxError):
        where = f" ({error.filename}:{error.lineno})"
    return f"{type(error).__name__}: {getattr(error, 'msg', None) or error}{where}"


def _is_of_application(file: str) -> bool:
    """Not what imports it, nor `@task`, which names a wrong option of the line that has it."""
    return "importlib" not in file and not file.startswith(_ASYNCMQD)
