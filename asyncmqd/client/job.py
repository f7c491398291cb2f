"""`Job`: the handle on one job that application code holds."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.client.acting_user import system_user
from asyncmqd.client.events import tell
from asyncmqd.client.job_references import OfStore, PublicURL, read_ref, ref_of, store_of
from asyncmqd.client.sync_calls import run_sync
from asyncmqd.domain.codec import CorruptPayload, decode, decode_spec
from asyncmqd.domain.job import Failure, JobSpec, Record
from asyncmqd.domain.options import TIMEOUT, Seconds
from asyncmqd.domain.settle import allowed, cancel, decode_failure, replay, run_now
from asyncmqd.domain.states import State
from asyncmqd.domain.tasks import REGISTRY
from asyncmqd.domain.unique import name_taken

if TYPE_CHECKING:
    from asyncmqd.client.result_waits import Waits

Value_co = TypeVar("Value_co", covariant=True)

_EVENTS = {"cancel": "job.cancelled", "replay": "job.replayed", "run_now": "job.run_now"}
_LAST_LOOK = 2.0  # seconds that a look may take once the time for a result is over


class JobFailed(Exception):
    """The job ended without a result: `state` says how, `failure` why."""

    def __init__(self, id: str, state: State, failure: Failure | None = None) -> None:
        self.id, self.state, self.failure = id, state, failure
        why = f": {failure.type}: {failure.message}" if failure else ""
        super().__init__(f"job {id} is {state}{why}")

    @classmethod
    def of(cls, record: Record) -> JobFailed:
        """From what the store has of the job."""
        return cls(record.id, record.state, decode_failure(record.error))

    def __reduce__(self) -> Any:
        return type(self), (self.id, self.state, self.failure), self.__dict__


class NameTaken(Exception):
    """The job cannot run again now: another live job, `holder`, has its unique name."""

    def __init__(self, id: str, holder: str) -> None:
        self.id, self.holder = id, holder
        super().__init__(name_taken(id, holder))

    def __reduce__(self) -> Any:
        return type(self), (self.id, self.holder), self.__dict__


class JobGone(Exception):
    """The store has no such job: it was removed, or the time for which it is kept is over."""


class Job(OfStore, Generic[Value_co]):
    """A job that was enqueued. It has the data of the request, and asks the store for the state.

    `Job[T]` is a job whose task returns a T.

    `created` is False, and `existed` True, if the store had a job of this id already, or one that
    holds its unique name: then nothing was enqueued, and this is the job that is there. `replaced`
    says that it has the arguments and options of this enqueue now (`on_conflict`). A job
    can be pickled, and `ref` is its name as text: neither contains the store's password. A process
    that gets one of them finds the store as `connect()` does.
    """

    def __init__(
        self,
        queue: str,
        spec: JobSpec,
        backend: str | BaseBackend | None,
        *,
        created: bool = True,
        replaced: bool = False,
    ) -> None:
        self.queue = queue
        self.spec = spec
        self.created = created
        self.replaced = replaced
        self._named = backend

    @property
    def id(self) -> str:
        """The id, which no other job of the queue has."""
        return self.spec.id

    @property
    def existed(self) -> bool:
        """Whether the enqueue found this job, by its id or its unique name, and added none."""
        return not self.created

    @property
    def task(self) -> str:
        """The name of the job's task."""
        return self.spec.task

    @property
    def args(self) -> list[Any]:
        """The positional arguments."""
        return self.spec.args

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments."""
        return self.spec.kwargs

    @property
    def priority(self) -> int:
        """From 0 to 255; lower numbers run first."""
        return self.spec.priority

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.task} in {self.queue}>"

    def __reduce__(self) -> Any:
        return _restored, (self.queue, self.spec, self._backend.url, self.created)

    @property
    def _backend(self) -> BaseBackend:
        return store_of(self._named)

    @property
    def ref(self) -> str:
        """The job as text, for `from_ref`: queue and id, in characters that are safe in a URL."""
        return ref_of(self.queue, self.id)

    @classmethod
    def from_ref(cls, ref: str, backend: str | BaseBackend | None = None) -> Job[Any]:
        """The job that has this `ref`; `backend` is as in `Queue`.

        The store is not asked yet: task and arguments are known after the first look at the store.
        Raises ValueError if the text is no ref.
        """
        queue, id = read_ref(ref)
        return cls(queue, JobSpec(id=id, task=""), backend, created=False)

    @classmethod
    def of(cls, record: Record, backend: BaseBackend) -> Job[Any]:
        """The handle on a stored job; one whose payload is corrupt has an empty task name."""
        return cls(record.queue, _spec_of(record), backend, created=False)

    async def record(self) -> Record:
        """Everything that the store knows about the job now. Raises JobGone."""
        backend = self._backend
        return self._seen(await _waits(backend).looks.look(backend, self.queue, self.id))

    def _seen(self, record: Record | None) -> Record:
        if record is None:
            raise JobGone(f"job {self.id} is not in queue {self.queue}")
        if not self.task:
            self.spec = _spec_of(record)
        return record

    async def state(self) -> State:
        """The job's state now. Raises JobGone."""
        return (await self.record()).state

    async def progress(self) -> Any:
        """The progress that the run reported last, or None. Raises JobGone."""
        record = await self.record()
        return decode(record.progress) if record.progress else None

    async def result(self, timeout: Seconds | None = None) -> Value_co:
        """Wait up to `timeout` seconds (None: for ever) and return what the task returned.

        A `timeout` of 0 looks once; it may also be text like "5m" or a timedelta. Raises JobFailed
        if the job did not complete, JobGone, TimeoutError, which says in which state the job is,
        StoreError, or ValueError for a `timeout` that is no time.
        """
        if timeout is not None and not isinstance(timeout, int | float):
            timeout = float(TIMEOUT.check(timeout))
        record = await self._end(timeout)
        if record.state is not State.COMPLETED:
            raise JobFailed.of(record)
        value: Any = self._typed(decode(record.result)) if record.result else None
        result: Value_co = value
        return result

    async def _end(self, timeout: float | None) -> Record:
        """Its record, once it has ended."""
        if timeout is None:
            return await self._wait()
        if timeout > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    return await self._wait()
        # It may have ended just now; and who asks for 0 seconds is to have a result that is there.
        try:
            async with asyncio.timeout(_LAST_LOOK):
                record = await self.record()
                if record.state.terminal:
                    return record
                state, why = f"is {record.state}", await self._why(record)
        except (StoreError, TimeoutError) as error:
            state, why = "did not end", str(error) or "the store does not answer"
        task = f" ({self.task})" if self.task else ""
        raise TimeoutError(
            f"job {self.id}{task} in queue {self.queue} {state} after {timeout:g} s"
            + (f": {why}" if why else "")
        )

    async def _why(self, record: Record) -> str:
        """Why it does not end, as far as the list of workers tells."""
        if record.state is State.ACTIVE:
            return ""
        backend = self._backend
        processes = await _waits(backend).serving(backend)
        if record.place != record.state:
            from asyncmqd.domain.heartbeat import NOBODY_KNOWS, unknown

            return unknown(self.task, self.queue, processes) or NOBODY_KNOWS
        served = any(process.serves(self.queue) for process in processes)
        return "" if served else "nobody serves the queue"

    async def _wait(self) -> Record:
        backend = self._backend
        return self._seen(await _waits(backend).end(backend, self.queue, self.id))

    def _typed(self, value: Any) -> Any:
        """The result as the task's return hint declares it, where this process knows the task."""
        task = REGISTRY.get(self.task)
        if task is None or task.result is None:
            return value
        try:
            return task.result.read(value)
        except (ValueError, TypeError):
            return value

    async def cancel(self) -> bool:
        """Cancel the job, running or not; False if it had ended already. Raises JobGone."""
        return await self._command("cancel")

    async def retry(self) -> bool:
        """Run an ended job again with fresh attempts, or a delayed job now; False for other jobs.

        Raises JobGone, and NameTaken while another live job has its unique name.
        """
        return await self._command("replay") or await self._command("run_now")

    async def _command(self, edge: str) -> bool:
        decide = {"cancel": cancel, "replay": replay, "run_now": run_now}[edge]
        while True:
            record = await self.record()
            if not allowed(record, edge):
                return False
            if edge == "replay" and record.holder not in {"", self.id}:
                raise NameTaken(self.id, record.holder)
            (answer,) = await self._backend.apply(self.queue, [decide(record)])
            if answer == "applied":
                await self._done(edge, record)
                return True  # otherwise it moved between the two calls: look again

    async def _done(self, edge: str, record: Record) -> None:
        """Tell who has to know."""
        if edge == "cancel" and record.state is State.ACTIVE:
            await self._backend.recall()  # the holder tells watchers of it
        else:
            await self._tell(_EVENTS[edge])

    async def remove(self) -> bool:
        """Delete the job in any state; False if it was gone."""
        [was_there] = await self._backend.remove(self.queue, [self.id])
        if was_there:
            await self._backend.recall()  # it may have been running
            await self._tell("job.removed")
        return was_there

    async def _tell(self, event: str) -> None:
        by = system_user()
        await tell(self._backend, event, queue=self.queue, job_id=self.id, task=self.task, by=by)

    # ------------------------------------------------------------------ without an event loop

    def result_sync(self, timeout: Seconds | None = None) -> Value_co:
        """`result` for code without an event loop."""
        return run_sync(self.result(timeout))

    def state_sync(self) -> State:
        """`state` for code without an event loop."""
        return run_sync(self.state())

    def cancel_sync(self) -> bool:
        """`cancel` for code without an event loop."""
        return run_sync(self.cancel())

    def retry_sync(self) -> bool:
        """`retry` for code without an event loop."""
        return run_sync(self.retry())


def _restored(queue: str, spec: JobSpec, url: str, created: bool) -> Job[Any]:
    """A pickled job."""
    return Job(queue, spec, PublicURL(url), created=created)


def _spec_of(record: Record) -> JobSpec:
    """The request; of a payload that is corrupt, one with an empty task name."""
    try:
        return decode_spec(record.payload, len(record.payload), id=record.id)
    except CorruptPayload:
        return JobSpec(id=record.id, task="", priority=record.priority)


def _waits(backend: BaseBackend) -> Waits:
    from asyncmqd.client.result_waits import waits  # most producers wait for nothing

    return waits(backend)
