"""Which task is meant, as far as this process knows: what looks like a slip is said at once."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.did_you_mean import nearest
from asyncmqd.domain.tasks import REGISTRY, TaskDef

_LIKE = 0.9  # how much a name is like another that was meant

_told: set[str] = set()  # names that were looked at: once is enough, and it takes a while


def known_task(name: str, stacklevel: int = 4) -> TaskDef | None:
    """The task of that name; None if this process has none.

    That is no error: a daemon with other code may have it. But a name that differs in a letter
    or two from one that is known is warned of. Raises TypeError for what is no name.
    """
    if not isinstance(name, str):
        raise TypeError(f"task: expected a task or the name of one, got {_given(name)}")
    found = REGISTRY.get(name)
    if found is not None or name in _told:
        return found
    _told.add(name)
    if (near := nearest(name, REGISTRY.names(), _LIKE)) is not None:
        warning = f"task {name!r} is not known here: did you mean {near!r}?"
        warnings.warn(warning, RuntimeWarning, stacklevel=stacklevel)
    return None


def _given(value: Any) -> str:
    if callable(value):
        return f"{value!r}, which is no task without @task"
    return (
        f"a value of type {type(value).__name__}: pass the task, then its arguments, without a call"
    )


def warn_of_main(task: str, backend: BaseBackend) -> None:
    """Warn of a task that is named after the program that is run: no daemon has it by this name.

    Not where this process runs jobs itself: it has the name.
    """
    if (
        backend.url.startswith("memory:")
        or task in _told
        or "asyncmqd.runtime.runners" in sys.modules
    ):
        return
    _told.add(task)
    warnings.warn(
        f"task {task} is named after the program that runs now, and no daemon will know it: put the"
        " function into a module that is imported, or give it a name= that the daemon has, too",
        RuntimeWarning,
        stacklevel=5,
    )
