"""`Queue`: one queue as application code sees it: add jobs, look at them, administer them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, TypeVar, Unpack, overload

import msgspec

from asyncmqd.backends.base import BaseBackend
from asyncmqd.client.acting_user import system_user
from asyncmqd.client.connection import NotConfigured
from asyncmqd.client.events import watch
from asyncmqd.client.job import Job
from asyncmqd.client.job_references import OfStore, PublicURL, store_of
from asyncmqd.client.operations import pause
from asyncmqd.client.pending import (
    NO_OPTIONS,
    PendingJob,
    add_all,
    add_one,
    add_one_sync,
    pending,
)
from asyncmqd.client.task_lookup import known_task
from asyncmqd.client.tasks import Task
from asyncmqd.domain.codec import DEFAULT_PAYLOAD_LIMIT
from asyncmqd.domain.events import Event
from asyncmqd.domain.job import Counts
from asyncmqd.domain.options import (
    IN_PAYLOAD,
    OF_CALL,
    OF_INSTANTS,
    TASK,
    Seconds,
    check_queue_name,
    refuse_unknown,
)
from asyncmqd.domain.pause import REASON
from asyncmqd.domain.schedule import Repeatable, check, check_size
from asyncmqd.domain.states import State
from asyncmqd.domain.typed_keywords import AddKeywords, RepeatableKeywords

Result = TypeVar("Result")

_OF_ADD = OF_CALL.keys() - {"queue"}  # a queue adds to itself


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


class Queue(OfStore):
    """A named queue in a store: `backend` is a URL, an instance, or None for the configured one.

    The numbers are for `run`, as in `run_worker`. Producers need none of them.
    """

    def __init__(
        self,
        name: str,
        backend: str | BaseBackend | None = None,
        *,
        concurrency: int = 3,
        rate_limit: float | None = None,
        rate_interval: float = 1.0,
        scan_interval: float | None = None,
    ) -> None:
        self.name = check_queue_name(name)
        self.concurrency = concurrency
        self.rate_limit = rate_limit
        self.rate_interval = rate_interval
        self.scan_interval = scan_interval
        self.repeatables: list[Repeatable] = []
        self._named = backend

    @property
    def backend(self) -> BaseBackend:
        """The store."""
        return store_of(self._named)

    def __repr__(self) -> str:
        return f"<Queue {self.name}>"

    def __getstate__(self) -> dict[str, Any]:
        # Without the password that a store's URL may have, as jobs and tasks are handed on.
        store = None if self._named is None else PublicURL(self.backend.url)
        return {**vars(self), "_named": store}

    # ------------------------------------------------------------------ producing

    @overload
    async def add(
        self,
        task: Task[..., Result],
        *args: Any,
        kwargs: dict[str, Any] | None = None,
        **options: Unpack[AddKeywords],
    ) -> Job[Result]: ...

    @overload
    async def add(
        self,
        task: str,
        *args: Any,
        kwargs: dict[str, Any] | None = None,
        **options: Unpack[AddKeywords],
    ) -> Job[Any]: ...

    async def add(
        self,
        task: Task[..., Any] | str,
        *args: Any,
        kwargs: dict[str, Any] | None = None,
        **options: Unpack[AddKeywords],
    ) -> Job[Any]:
        """Enqueue a job of `task` (a task or its name) here, whatever queue the task declares.

        Keyword arguments of the task go into `kwargs`; all other keywords are options of the job
        (`CallOptions`), and override those of `task.options(...)`. Raises like `Task.enqueue`,
        TypeError for an option with the name of a parameter that has no value, and ValueError if
        the task's options name another queue.
        """
        job = self._pending(task, args, kwargs or {}, options)
        return await add_one(self.backend, self.name, job)

    @overload
    def add_sync(
        self,
        task: Task[..., Result],
        *args: Any,
        kwargs: dict[str, Any] | None = None,
        **options: Unpack[AddKeywords],
    ) -> Job[Result]: ...

    @overload
    def add_sync(
        self,
        task: str,
        *args: Any,
        kwargs: dict[str, Any] | None = None,
        **options: Unpack[AddKeywords],
    ) -> Job[Any]: ...

    def add_sync(
        self,
        task: Task[..., Any] | str,
        *args: Any,
        kwargs: dict[str, Any] | None = None,
        **options: Unpack[AddKeywords],
    ) -> Job[Any]:
        """`add` for code without an event loop; blocks until the job is safe in the store."""
        job = self._pending(task, args, kwargs or {}, options)
        return add_one_sync(self.backend, self.name, job)

    def _pending(
        self,
        task: Task[..., Any] | str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: AddKeywords,
    ) -> PendingJob:
        refuse_unknown(options, _OF_ADD)
        asked = task.asked if isinstance(task, Task) else NO_OPTIONS
        if asked.queue not in {None, self.name}:
            raise ValueError(f"queue: expected {self.name!r}, got {asked.queue!r}")
        if isinstance(task, Task) and not options:  # its options were read once, for all its jobs
            return task.job(*args, **kwargs)
        call = msgspec.structs.replace(asked, **_given(options)) if options else asked
        definition = task.definition if isinstance(task, Task) else known_task(task)
        if definition is None:
            return pending(str(TASK.check(task)), args, kwargs, call)
        definition.check_call(args, kwargs)
        definition.check_options(args, kwargs, options)
        return pending(definition, args, kwargs, call)

    async def add_bulk(self, jobs: Iterable[PendingJob]) -> list[Job[Any]]:
        """Enqueue many jobs made by `task.job(...)`, in order: one round trip for each 10,000.

        The jobs go to this queue, whatever their tasks declare. Raises ValueError if the options of
        a job name another queue.
        """
        return await add_all(self.backend, self.name, list(jobs))

    def add_repeatable(
        self,
        task: Task[..., Any] | str,
        *,
        every: Seconds | None = None,
        cron: str | None = None,
        timezone: str = "UTC",
        name: str = "",
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
        **options: Unpack[RepeatableKeywords],
    ) -> Repeatable:
        """Declare a schedule for `run`: `every` (seconds, or text like "5m") or `cron`.

        It fires once for each instant over all workers that declare it. Its identity is (queue,
        `name`), by default the task's name. `missed` and `catch_up` are about instants at which no
        worker ran, the others about its jobs, as in `task.options(...)`. Raises ValueError with the
        name of the wrong key, TypeError for an unknown option and for arguments that do not fit the
        task, NotSerialisable, and PayloadTooLarge if its jobs would be too large.
        """
        refuse_unknown(options, OF_INSTANTS)
        asked: dict[str, Any] = {}
        if isinstance(task, Task):
            asked = _given(msgspec.structs.asdict(task.asked))
            if asked.get("queue") == self.name:
                del asked["queue"]
            refuse_unknown(asked, IN_PAYLOAD)
        args, kwargs = list(args), kwargs or {}
        definition = task.definition if isinstance(task, Task) else known_task(task, 3)
        if definition is not None:
            definition.check_call(tuple(args), kwargs)
            definition.check_options(args, kwargs, options)
        periods: dict[str, Any] = {**asked, **_given(options), "every": every}  # `check` reads them
        new = check(
            Repeatable(
                task=task.name if isinstance(task, Task) else task,
                name=name,
                cron=cron,
                timezone=timezone,
                args=args,
                kwargs=kwargs,
                **periods,
            )
        )
        check_size(new, self._payload_limit)
        self.repeatables = [r for r in self.repeatables if r.identity != new.identity] + [new]
        return new

    @property
    def _payload_limit(self) -> int:
        try:
            return self.backend.payload_limit
        except NotConfigured:  # a schedule may be declared before the store is named
            return DEFAULT_PAYLOAD_LIMIT

    # ------------------------------------------------------------------ looking

    async def counts(self) -> Counts:
        """How many jobs are in each state."""
        return (await self.backend.counts([self.name]))[self.name]

    async def get(self, job_id: str) -> Job[Any] | None:
        """The job with this id, or None if the store does not have it."""
        backend = self.backend
        (record,) = await backend.get(self.name, [job_id])
        return None if record is None else Job.of(record, backend)

    async def jobs(self, state: State | str, offset: int = 0, limit: int = 100) -> list[Job[Any]]:
        """A page of the jobs in a state: the next to run first; of ended jobs the newest first."""
        backend = self.backend
        records = await backend.list(self.name, State(state), offset, limit)
        return [Job.of(record, backend) for record in records]

    def events(self, after: str | None = None) -> AsyncIterator[Event]:
        """What happens to this queue and its jobs, in all daemons, from now on, until it is closed.

        `after` is the `position` of an event: it goes on behind that one. If some are gone by then,
        an event `events.missed` says so. It raises StoreError when the store does not answer, and
        ValueError for a position that is none. See docs/events.md.
        """
        return watch(self.backend, self.name, after)

    # ------------------------------------------------------------------ administration

    async def pause(self, reason: str = "") -> None:
        """Stop all daemons from claiming jobs of this queue; running jobs go on.

        The store keeps the system user, the time and `reason` of the last such call:
        `asyncmq queue why` shows them. Raises ValueError for a reason that is no line of text or
        has more than 500 characters.
        """
        try:
            reason = REASON.check(reason)
        except ValueError as error:
            raise ValueError(f"reason: {error}") from None
        await pause(self.backend, self.name, paused=True, by=system_user(), reason=reason)

    async def resume(self) -> None:
        """Let daemons claim jobs of this queue again."""
        await pause(self.backend, self.name, paused=False, by=system_user())

    async def purge(self, state: State | str = State.WAITING) -> int:
        """Delete all jobs in a state and return how many there were."""
        backend, total = self.backend, 0
        while count := await backend.purge(self.name, State(state)):
            total += count
        return total

    async def run(self) -> None:
        """Run a worker for this queue, with these numbers and repeatables, until cancelled."""
        from asyncmqd.runtime.runners import run_worker  # the layer above: only for this shortcut

        await run_worker(
            self.name,
            self.backend,
            concurrency=self.concurrency,
            rate_limit=self.rate_limit,
            rate_interval=self.rate_interval,
            repeatables=list(self.repeatables),
            scan_interval=self.scan_interval,
        )
