"""What the configuration and the application's code leave to guess: told at start, not refused.

Another daemon may serve what this one does not, so these are warnings. They are problems like those
that stop a start: by the path of their key.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Collection, Iterator
from types import ModuleType

from asyncmqd.client.tasks import Task
from asyncmqd.config.errors import Path
from asyncmqd.config.http import address_of
from asyncmqd.config.models import Settings
from asyncmqd.daemon.application_import import Problems
from asyncmqd.domain.did_you_mean import did_you_mean
from asyncmqd.domain.middleware import AROUND_ENQUEUE, AROUND_RUN
from asyncmqd.domain.schedule import Repeatable
from asyncmqd.domain.tasks import REGISTRY, Registry


def on_all(settings: Settings) -> Problems:
    """All that can be told without a store."""
    problems = {**on_modules(settings), **on_queues(settings)}
    for found in on_schedules(settings):
        problems |= found
    return problems


def on_host(settings: Settings) -> Problems:
    """What a start needs, and may still come before it; the daemon then says it with an error."""
    path = address_of(settings.http.listen).path if settings.http.listen else None
    # The daemon makes the directory of its control socket, and systemd that of the unit.
    if path is None or path.parent == settings.control_socket.parent or path.parent.is_dir():
        return {}
    problem = f"expected a directory for the socket before the start, got {path.parent}: none there"
    return {("http", "listen"): problem}


def on_modules(settings: Settings, registry: Registry = REGISTRY) -> Problems:
    """Modules of `tasks`, imported by now, that have no task, nor what is round each."""
    homes = {task.module for task in registry} | {*AROUND_RUN.modules, *AROUND_ENQUEUE.modules}
    return {
        ("tasks", index): f"expected a module that has tasks, got {name!r}: {_what(module)}"
        for index, name in enumerate(settings.tasks)
        if (module := sys.modules.get(name)) is not None and not _has_tasks(module, homes)
    }


def _has_tasks(module: ModuleType, homes: Collection[str]) -> bool:
    """Whether it, or what is in it or was imported into it, has some."""
    inside = list(vars(module).values())
    names = [each.__name__ for each in (module, *inside) if isinstance(each, ModuleType)]
    return any(isinstance(each, Task) for each in inside) or any(
        home == name or home.startswith(f"{name}.") for home in homes for name in names
    )


def _what(module: ModuleType) -> str:
    name = module.__name__
    if name.partition(".")[0] in sys.stdlib_module_names:
        return f"a module of Python itself ({module.__file__ or 'built in'})"
    parts = [part.name for part in pkgutil.iter_modules(getattr(module, "__path__", ()))]
    if not parts:
        return f"no function in {module.__file__} is a @task"
    meant = "tasks" if "tasks" in parts else parts[0]
    return f"a package; name its modules one by one, such as '{name}.{meant}'"


def on_schedules(settings: Settings, registry: Registry = REGISTRY) -> Iterator[Problems]:
    """Of each schedule, why its jobs would not run here; one at a time: there may be many."""
    for queue, options in settings.queues.items():
        for index, schedule in enumerate(options.repeatables):
            path = ("queues", queue, "repeatables", index)
            yield {(*path, *key): problem for key, problem in _problems(schedule, registry)}


def _problems(schedule: Repeatable, registry: Registry) -> Iterator[tuple[Path, str]]:
    """Why its jobs would not run, by the path of a key in it."""
    task = registry.get(schedule.task)
    if task is None:
        near = did_you_mean(schedule.task, registry.names())
        yield (
            ("task",),
            f"expected a task that a module of `tasks` has, got {schedule.task!r}{near}",
        )
        return
    try:
        task.typed(list(schedule.args), dict(schedule.kwargs))
    except (TypeError, ValueError) as error:
        yield (), f"expected arguments that fit the task, got {error}"


def on_queues(
    settings: Settings, served: Collection[str] = (), registry: Registry = REGISTRY
) -> Problems:
    """Queues that tasks name, and that are neither of this daemon nor `served` by another."""
    problems: dict[Path, str] = {}
    for task in sorted(registry, key=lambda each: each.name):
        queue = task.options.queue
        if queue not in settings.queues and queue not in served:
            problem = f"expected this queue, which task {task.name} names, got none of that name"
            near = did_you_mean(queue, settings.queues)
            problems.setdefault(("queues", queue), problem + near)
    return problems
