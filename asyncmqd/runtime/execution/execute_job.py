"""`execute`: from a claim to the outcome of its run, as small steps over one `Run`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from asyncmqd.domain.codec import (
    NOT_STORED,
    CorruptPayload,
    NotSerialisable,
    PayloadTooLarge,
    decode_spec,
    encode_result,
)
from asyncmqd.domain.failpoints import ARMED, failpoint
from asyncmqd.domain.job import Failure, JobSpec
from asyncmqd.domain.middleware import AROUND_RUN
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.settle import (
    Crashed,
    Expired,
    Outcome,
    Raised,
    Refused,
    Released,
    Succeeded,
    Unknown,
)
from asyncmqd.domain.tasks import TaskDef, is_awaitable
from asyncmqd.observe.captured_streams import end_prints
from asyncmqd.observe.log import running_job
from asyncmqd.runtime.claiming.start_shortage import CannotBegin
from asyncmqd.runtime.execution.failures import cancellation, failure_of, forget
from asyncmqd.runtime.execution.middleware import JobRun
from asyncmqd.runtime.execution.process_executor import ChildCrashed, EncodedResult, Processes
from asyncmqd.runtime.execution.run import Rules, Run
from asyncmqd.runtime.execution.thread_executor import Threads, Thrown
from asyncmqd.runtime.forks import end_if_forked
from asyncmqd.runtime.process.context import ProcessContext

LARGE = 32 * 1024  # bytes of a payload; ten times as many may take 200 ms to decode
_MOST_RULES = 1_000  # that are kept: `retries` of a job may be any number
_NO_RESULT = Succeeded()
_enter_job = running_job.set  # looked up once, as are others that each job needs


class JobTimeout(Exception):
    """The run took longer than its limit."""


class Execution:
    """Where and how runs of one queue are executed."""

    def __init__(self, queue: str, options: QueueOptions, context: ProcessContext) -> None:
        self.options = options
        self._begun = context.observer.begun_in(queue)
        # As long as the options hold: what a job of a task gets, by the task and its own retries.
        self._rules: dict[tuple[TaskDef, int | None], Rules] = {}
        self.rules_of_unknown = Rules(options.policy(None, None))
        self.observer = context.observer
        self._backend = context.backend
        self.registry = context.registry
        self.isolation = context.isolation
        self.on_cannot_begin: Callable[[CannotBegin], None] = lambda _: None
        self.threads = Threads(context.overstays)
        self.processes = Processes(context.registry, context.backend)
        # Whether the worker is made to end by whoever ends the whole loop, without telling it.
        self.ending: Callable[[], bool] = lambda: False

    def change(self, options: QueueOptions) -> None:
        """Run by other limits from the next job on."""
        self.options = options
        self._rules.clear()
        self.rules_of_unknown = Rules(options.policy(None, None))

    def _make_rules(self, task: TaskDef, retries: int | None) -> Rules:
        if len(self._rules) >= _MOST_RULES:
            self._rules.clear()
        rules = self._rules[task, retries] = Rules(
            self.options.policy(task, retries),
            task,
            self.options.time_limit(task, None),
            (task.options.executor or self.options.executor) == "process",
        )
        return rules

    async def execute(self, run: Run) -> None:
        """Run the claimed job, and tell its `on_end` what came of it: None when the claim was lost,
        and nothing may be written.

        Never raises what the task raised.
        """
        if not self.isolation.enter(run):
            run.on_end(run, Released())
            return
        run.begun = True
        try:
            if len(run.claim.payload) > LARGE:
                outcome = await self._execute_large(run)
            else:
                outcome = self._prepare(run) or await self._call_in_time(run)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - of ours, or of a value's own code
            outcome = Refused(failure_of(error))
        finally:
            self.isolation.leave(run)
        # Not to be awaited: each coroutine around that of the task costs a job one percent.
        run.on_end(run, outcome)

    async def _execute_large(self, run: Run) -> Outcome | None:
        """The same for a payload that the loop would have to wait for while it is decoded."""
        try:
            refused = await self.threads.run(functools.partial(self._prepare, run), run)
        except asyncio.CancelledError as error:
            return self._raised(run, error)
        if isinstance(refused, Thrown):
            raise refused.error
        return refused or await self._call_in_time(run)

    # ------------------------------------------------------------------ steps

    def _prepare(self, run: Run) -> Outcome | None:
        """Decode, look up, check the age. An outcome here means that the task is not called."""
        try:
            claim = run.claim
            spec = decode_spec(claim.payload, self._backend.payload_limit, claim.size, id=claim.id)
        except (CorruptPayload, PayloadTooLarge) as error:
            return Refused(Failure(type(error).__name__, str(error)))
        run.spec = spec
        if spec.key is not None:
            run.claim = msgspec.structs.replace(run.claim, labels={"job_key": spec.key})
        task = self.registry.get(spec.task)
        if task is None:
            return Unknown(spec.task)
        run.rules = self._rules.get((task, spec.retries)) or self._make_rules(task, spec.retries)
        if spec.ttl and claim.age >= spec.ttl:
            return Expired()
        return None

    async def _call_in_time(self, run: Run) -> Outcome | None:
        spec, rules = run.spec, run.rules
        assert spec is not None
        if run.limiter is not None and spec.cost is not None:
            run.limiter.charge(spec.cost - 1)
        limit = rules.time_limit if spec.timeout is None else spec.timeout
        timer = run.stop_in(limit) if limit else None
        try:
            try:
                value = await self._call(run, rules, spec)
                # A plain function may wrap an async one.
                while value is not None and is_awaitable(value):
                    value = await value
            finally:
                end_prints()
            end_if_forked()
        except BaseException as error:  # noqa: BLE001 - SystemExit of a task must not end the daemon
            end_if_forked(error)
            return self._raised(run, error)
        finally:
            if ARMED:
                failpoint("ran")
            if timer is not None:
                timer.cancel()
        if run.stop_reason in {"lost", "timeout", "exited"}:  # it ignored the cancellation
            return self.stopped(run)
        if value is None:
            return _NO_RESULT
        if isinstance(value, Thrown):
            return self._raised(run, value.error)
        return self._succeeded(value)

    def _call(self, run: Run, rules: Rules, spec: JobSpec) -> Awaitable[Any]:
        """The call of the task, to be awaited; no coroutine of ours stands around the usual one."""
        task = rules.task
        assert task is not None
        if self.observer.hears_starts:
            self.observer.started(run.claim, spec.task)
        else:
            self._begun.append(run.claim)
        if ARMED:
            failpoint("starting")
        _enter_job(run)
        if rules.in_child:
            return self.processes.run(spec, run.context)
        args, kwargs = task.typed(spec.args, spec.kwargs)
        if AROUND_RUN.declared:
            return self._call_inside(run, task, spec, args, kwargs)
        if task.is_async:
            called: Awaitable[Any] = task.function(*args, **kwargs)
            return called
        call = functools.partial(_call_plain, task.function, *args, **kwargs)
        return self.threads.run(call, run)

    async def _call_inside(
        self, run: Run, task: TaskDef, spec: JobSpec, args: list[Any], kwargs: dict[str, Any]
    ) -> Any:
        around = JobRun(run.context, spec, args, kwargs, lambda: run.stop_reason)
        call = functools.partial(task.function, *around.args, **around.kwargs)
        if task.is_async:
            return await around.call_async(call)
        in_thread = functools.partial(_call_plain, around.call, call)
        return await around.call_elsewhere(lambda: self.threads.run(in_thread, run))

    # ------------------------------------------------------------------ outcomes

    def _succeeded(self, value: Any) -> Outcome:
        limit = self._backend.payload_limit
        try:
            # A child process has encoded it already.
            data = value.data if isinstance(value, EncodedResult) else encode_result(value)
            if len(data) > limit:
                raise PayloadTooLarge(
                    f"{NOT_STORED}: expected at most {limit} bytes, got {len(data)}"
                )
        except (NotSerialisable, PayloadTooLarge) as error:
            return Refused(failure_of(error))
        return Succeeded(b"" if data == b"null" else data)

    def _raised(self, run: Run, error: BaseException) -> Outcome | None:
        try:
            return self._judged(run, error)
        finally:
            forget(error)

    def _judged(self, run: Run, error: BaseException) -> Outcome | None:
        if run.stop_reason is not None:
            return self.stopped(run)
        if isinstance(error, asyncio.CancelledError):
            return (
                Released()
                if self.ending()
                else Raised(error, cancellation(error, asyncio.current_task()))
            )
        if isinstance(error, CannotBegin):
            self.on_cannot_begin(error)
            return Released()
        if isinstance(error, ChildCrashed):
            return Crashed(str(error), alone=True)
        return Raised(error, failure_of(error))

    def stopped(self, run: Run) -> Outcome | None:
        """The outcome of a run that was told to stop, whatever its task made of that."""
        if run.stop_reason == "lost":
            return None
        if run.stop_reason == "released":
            return Released()
        if run.error is not None:
            outcome = Raised(run.error, failure_of(run.error))
            forget(run.error)
            return outcome
        error = JobTimeout("the run took longer than its time limit")
        return Raised(error, Failure("JobTimeout", str(error)))

    async def close(self) -> None:
        """Free threads and child processes."""
        self.threads.close()
        await self.processes.close()


def _call_plain(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    finally:
        end_prints()
