"""A job by the name of its task, as `task.enqueue` makes it: with its key, its name, its cost."""

from __future__ import annotations

from typing import Any

import msgspec

from asyncmqd.admin.errors import AdminError, WrongArguments
from asyncmqd.backends.base import BaseBackend
from asyncmqd.client.pending import CallOptions, PendingJob, pending
from asyncmqd.client.result_waits import serving
from asyncmqd.domain.tasks import REGISTRY, TaskDef
from asyncmqd.domain.told_options import NOTHING, ToldOptions, told_options


class Undecided(AdminError):
    """Only the code of the task could say what these options of its job are."""

    def __init__(self, task: str, options: list[str]) -> None:
        self.task = task
        self.options = options
        decided = " and ".join(options)
        super().__init__(
            f"{options[0]}: expected one, for the code of task {task} decides the {decided} of its"
            " jobs, and it is not known here"
        )

    def __reduce__(self) -> Any:
        return type(self), (self.task, self.options), self.__dict__


async def job_by_name(
    store: BaseBackend, task: str, args: list[Any], kwargs: dict[str, Any], options: CallOptions
) -> PendingJob:
    """A job that is not enqueued yet. Of a task that this process has not, others tell.

    Raises Undecided, WrongArguments, AdminError for an error of the task's own code, StoreError.
    """
    known = REGISTRY.get(task)
    if known is not None:
        return _of_known(known, args, kwargs, options)
    told = await _told(store, task)
    if missing := [name for name in told.decides if getattr(options, name) is None]:
        raise Undecided(task, missing)
    try:
        return pending(task, args, kwargs, options, told.options)
    except ValueError as error:
        raise WrongArguments(str(error)) from None


def _of_known(
    task: TaskDef, args: list[Any], kwargs: dict[str, Any], options: CallOptions
) -> PendingJob:
    """Functions of the task get values of the types that it declares; the job has what was sent."""
    by_arguments = bool(told_options(task).decides)
    try:
        typed_args, typed = task.typed(args, kwargs) if by_arguments else (args, kwargs)
        job = pending(task, typed_args, typed, options)
    except (ValueError, TypeError) as error:
        raise WrongArguments(str(error)) from None
    except Exception as error:  # noqa: BLE001 - of a function that decides an option
        notes = ", ".join(getattr(error, "__notes__", ()))
        raise AdminError(f"{type(error).__name__}: {error} ({notes})") from None
    spec = msgspec.structs.replace(job.spec, args=args, kwargs=kwargs)
    return msgspec.structs.replace(job, spec=spec)


async def _told(store: BaseBackend, task: str) -> ToldOptions:
    """What the living processes say of it. While a release comes, whoever decides more is right."""
    said = [(process.declared or {}).get(task, NOTHING) for process in await serving(store)]
    return max(said, key=lambda each: len(each.decides), default=NOTHING)
