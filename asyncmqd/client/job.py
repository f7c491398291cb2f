"""`Job`: the handle on one job that application code holds."""

from __future__ import annotations

import asyncio
from typing import Any

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.codec import CorruptPayload, convert, decode, decode_spec
from asyncmqd.domain.job import JobSpec, Record
from asyncmqd.domain.settle import allowed, cancel, decode_failure, hurry, replay
from asyncmqd.domain.states import State
from asyncmqd.domain.tasks import REGISTRY

_FIRST_LOOK, _LAST_LOOK = 0.005, 0.25  # seconds between looks for a result, doubling


class JobFailed(Exception):
    """The job ended without a result: `state` says how, `failure` why."""

    def __init__(self, record: Record) -> None:
        self.id, self.state = record.id, record.state
        self.failure = decode_failure(record.error)
        why = f": {self.failure.type}: {self.failure.message}" if self.failure else ""
        super().__init__(f"job {record.id} is {record.state}{why}")


class JobGone(Exception):
    """The store has no such job: it was removed, or its record's time is over."""


class Job:
    """A job that was enqueued. Its data are those of the request; the state is asked for.

    `created` is False when a job of this id was there already, and nothing was enqueued.
    """

    def __init__(
        self, queue: str, spec: JobSpec, backend: BaseBackend, *, created: bool = True
    ) -> None:
        self.queue = queue
        self.spec = spec
        self.created = created
        self._backend = backend

    id = property(lambda self: self.spec.id)
    task = property(lambda self: self.spec.task)
    args = property(lambda self: self.spec.args)
    kwargs = property(lambda self: self.spec.kwargs)
    priority = property(lambda self: self.spec.priority)

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.task} in {self.queue}>"

    @classmethod
    def of(cls, record: Record, backend: BaseBackend) -> Job:
        """The handle on a stored job; one whose payload is corrupt has an empty task name."""
        try:
            spec = decode_spec(record.payload, limit=len(record.payload))
        except CorruptPayload:
            spec = JobSpec(id=record.id, task="", priority=record.priority)
        return cls(record.queue, spec, backend, created=False)

    async def record(self) -> Record:
        """All that the store knows of the job now. Raises JobGone."""
        (record,) = await self._backend.get(self.queue, [self.id])
        if record is None:
            raise JobGone(f"job {self.id} is not in queue {self.queue}")
        return record

    async def state(self) -> State:
        """The job's state now. Raises JobGone."""
        return (await self.record()).state

    async def progress(self) -> Any:
        """What the run last reported, or None. Raises JobGone."""
        record = await self.record()
        return decode(record.progress) if record.progress else None

    async def result(self, timeout: float | None = None) -> Any:
        """What the task returned, waiting for it up to `timeout` seconds (None: for ever).

        Raises JobFailed when the job ended otherwise, JobGone, or TimeoutError.
        """
        async with asyncio.timeout(timeout):
            pause = _FIRST_LOOK
            while not (record := await self.record()).state.terminal:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LAST_LOOK)
        if record.state is not State.COMPLETED:
            raise JobFailed(record)
        return self._typed(decode(record.result)) if record.result else None

    def _typed(self, value: Any) -> Any:
        """The result as the task's return hint declares it, where this process knows the task."""
        task = REGISTRY.get(self.task)
        if task is None or task.returns is None:
            return value
        try:
            return convert(value, task.returns)
        except (ValueError, TypeError, NotImplementedError):
            return value

    async def cancel(self) -> bool:
        """Cancel it, running or not; False if it had ended already. Raises JobGone."""
        return await self._command("cancel")

    async def retry(self) -> bool:
        """Run it again with fresh attempts if it ended, or now if it is delayed; False otherwise.

        Raises JobGone.
        """
        return await self._command("replay") or await self._command("hurry")

    async def _command(self, edge: str) -> bool:
        decide = {"cancel": cancel, "replay": replay, "hurry": hurry}[edge]
        while True:
            record = await self.record()
            if not allowed(record, edge):
                return False
            (answer,) = await self._backend.apply(self.queue, [decide(record)])
            if answer == "applied":
                return True  # otherwise it moved between the two calls: look again

    async def remove(self) -> bool:
        """Delete it, whatever its state; False if it was gone."""
        return (await self._backend.remove(self.queue, [self.id]))[0]
