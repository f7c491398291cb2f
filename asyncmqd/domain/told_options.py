"""What tasks declare of their jobs, as one process tells others that do not have their code."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from asyncmqd.domain.options import DEFAULT_PRIORITY
from asyncmqd.domain.tasks import TaskDef, TaskOptions
from asyncmqd.domain.typed_keywords import OnConflict, UniqueWhile

_BY_ARGUMENTS = ("key", "unique", "cost")  # options that may be decided by the arguments of a call


class ToldOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What decides about a job when it is enqueued, as in `TaskOptions`."""

    priority: int = DEFAULT_PRIORITY
    ttl: float | None = None
    cost: int = 1
    unique_while: UniqueWhile = "live"
    unique_for: float = 0.0
    on_conflict: OnConflict = "existing"
    push_for: float | None = None
    decides: tuple[str, ...] = ()  # options that only the code of the task can decide

    @property
    def options(self) -> TaskOptions:
        """As far as they are known here, those of the task."""
        told = {name: getattr(self, name) for name in _FIXED}
        return msgspec.structs.replace(TaskOptions(), **told)


_FIXED = tuple(name for name in ToldOptions.__struct_fields__ if name != "decides")
NOTHING = ToldOptions()


def told_options(task: TaskDef) -> ToldOptions:
    """What a process tells of a task."""
    options = task.options
    decides = [name for name in _BY_ARGUMENTS if name in task.rules]
    if options.unique is True:
        decides.append("unique")
    fixed = {name: getattr(options, name) for name in _FIXED}
    if "cost" in decides:
        fixed["cost"] = 1
    return ToldOptions(decides=tuple(decides), **fixed)


def all_told(tasks: Iterable[TaskDef]) -> dict[str, ToldOptions] | None:
    """Of those tasks that declare anything of it; None: none does."""
    told = {task.name: told_options(task) for task in tasks}
    return {name: each for name, each in told.items() if each != NOTHING} or None
