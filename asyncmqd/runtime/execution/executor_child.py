"""What runs in a child process: one job after the other, told and answered over a socket.

`process_executor.py` starts it, with the number of the socket's descriptor. It dies with its
parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import importlib
import logging
import runpy
import signal
import socket
import struct
import sys
import threading
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

import msgspec

from asyncmqd.client.connection import connect_within
from asyncmqd.domain import clock
from asyncmqd.domain.codec import NotSerialisable, encode_result
from asyncmqd.domain.middleware import AROUND_RUN
from asyncmqd.domain.retry import DEFAULT_BACKOFF, Reject
from asyncmqd.domain.settle import Policy, pause_before_retry
from asyncmqd.domain.tasks import REGISTRY, TaskDef, TaskOptions, is_awaitable
from asyncmqd.observe.application_logs import take_structlog
from asyncmqd.observe.captured_streams import capture_prints, end_prints
from asyncmqd.observe.forked_logs import ForkedLines
from asyncmqd.observe.json_lines import json_line
from asyncmqd.observe.log import HasFields, log_line, log_to
from asyncmqd.runtime.execution.failures import cancellation, failure_of, forget
from asyncmqd.runtime.execution.middleware import JobRun
from asyncmqd.runtime.execution.process_executor import Call, Hello, Reply
from asyncmqd.runtime.execution.retry_rules import by_rules
from asyncmqd.runtime.forks import end_if_forked, keep, keep_loop, take_signals
from asyncmqd.runtime.job_context import JobContext, enter
from asyncmqd.runtime.process_exit import leave

_HEADER = struct.Struct("!I")
_PART = 256 * 1024  # bytes that are handed to the kernel at a time
_NOT_FOR_US = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class _Line:
    """The socket to the parent, in frames. It takes the lines of this process's log, too."""

    dropped = 0

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=keep(fd))
        self._socket.set_inheritable(False)  # nor do programs that jobs start
        self._file = self._socket.makefile("rb")
        # Threads of the application print too, and handlers of its signals while a frame is sent.
        self._lock = threading.RLock()
        self._sending = False
        self._waiting = bytearray()
        self._forked: ForkedLines | None = None  # takes what forked children print
        self._is_fork = False

    def send(self, reply: Reply) -> None:
        if not self._is_fork:
            self._write(msgspec.json.encode(reply))

    def begun(self, stream: str, text: str, job: HasFields) -> None:
        """Tell the parent what an unfinished line of the job has so far."""
        text = text.encode("utf-8", "backslashreplace").decode()  # JSON has no lone surrogates
        self.send(Reply(begun=(stream, text), job=dict(job.fields)))

    def write(self, *lines: bytes) -> None:
        """See `Writer`; each is a frame without its length."""
        for line in lines:
            if not self._is_fork:
                self._write(line)
            elif self._forked is not None:
                with contextlib.suppress(OSError):  # the parent is gone
                    self._forked.send(line)

    def finish(self) -> None:
        """Pass on what forked children have printed by now."""
        if self._forked is not None and not self._is_fork:
            self._forked.take_last()

    def _write(self, data: bytes) -> None:
        with self._lock:
            self._waiting += _HEADER.pack(len(data)) + data
            if not self._sending:  # else whoever sends takes it along
                self._send_all()

    def _send_all(self) -> None:
        self._sending = True
        try:
            while self._waiting:
                sent = self._socket.send(self._waiting[:_PART])
                del self._waiting[:sent]
        finally:  # a handler of the application may have raised: the rest goes with the next
            self._sending = False

    def before_fork(self) -> None:
        """See `Writer`."""
        if self._forked is None and not self._is_fork:
            with contextlib.suppress(OSError, RuntimeError):  # no room for it
                self._forked = ForkedLines(self._write)

    def after_fork(self) -> None:
        """See `Writer`."""
        if self._forked is not None and not self._is_fork:
            self._forked.begin_anew()
        self._is_fork = True

    def receive(self) -> bytes:
        """The next frame. Raises EOFError when the parent is gone."""
        header = self._file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            raise EOFError
        (size,) = _HEADER.unpack(header)
        return self._file.read(size)


def _frame(event: dict[str, Any], job: Mapping[str, Any], *, ours: bool) -> bytes:  # noqa: ARG001 - see Render
    """An event for the parent's log."""
    fields = {} if job is event else dict(job)
    return msgspec.json.encode(Reply(log=msgspec.Raw(json_line(event)), job=fields))


def main() -> None:
    """Serve the parent until it closes the socket."""
    # The parent decides when a run ends. Not ignored, which programs that jobs start would inherit.
    take_signals(_NOT_FOR_US, lambda *_: None)
    line = _Line(int(sys.argv[1]))
    with contextlib.suppress(EOFError, ConnectionError):
        _prepare(line)
        store: tuple[str, int] | None = None
        while True:
            call = msgspec.json.decode(line.receive(), type=Call)
            # Once for each place: a job may have connected to another since.
            if store != (call.backend_url, call.payload_limit) and call.backend_url:
                store = call.backend_url, call.payload_limit
                connect_within(*store)
            contextvars.copy_context().run(_serve, line, call)
    leave(0)


def _prepare(line: _Line) -> None:
    hello = msgspec.json.decode(line.receive(), type=Hello)
    sys.path[:] = hello.path
    log_to(line, _frame, hello.log_level)
    take_structlog(log_line)
    capture_prints(begun=line.begun)
    try:
        if hello.traces:  # outside of all that the application puts around a run
            from asyncmqd.runtime.tracing.child_spans import trace_calls

            trace_calls()
        for module in hello.modules:
            importlib.import_module(module)
        if hello.main is not None:
            runpy.run_path(hello.main, run_name="__asyncmqd_main__")
        if hello.exports:
            from asyncmqd.runtime.tracing.export import export_spans

            export_spans()
    except BaseException as error:  # noqa: BLE001 - the parent reports it with the job
        line.send(Reply(done=True, failure=failure_of(error)))
        raise EOFError from None
    line.send(Reply(done=True))


class _RunElsewhere:
    """The parent has the run: what is logged goes there as it comes."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    def report(self, progress: bytes) -> None:
        self._line.send(Reply(progress=msgspec.Raw(progress)))

    def keep(self, events: Iterable[Mapping[str, Any]]) -> None:
        """The parent keeps them."""

    def exit(self, _error: BaseException) -> bool:
        return False


def _serve(line: _Line, call: Call) -> None:
    task = _find(call.spec.task)
    context = JobContext(
        call.spec.id,
        call.queue,
        call.spec.task,
        call.attempt,
        call.worker,
        call.time_limit,
        _RunElsewhere(line),
        call.labels,
        call.spec.instant,
    )
    enter(context)
    try:
        if task is None:
            raise Reject("the child process does not know this task")
        args, kwargs = task.typed(call.spec.args, call.spec.kwargs)
        value = _call(task, JobRun(context, call.spec, args, kwargs))
        end_if_forked()
        reply = _returned(value)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent judges it
        end_if_forked(error)
        reply = _failed(call, task, error)
        forget(error)
    end_prints()
    line.finish()
    line.send(reply)


def _call(task: TaskDef, around: JobRun) -> Any:
    call = functools.partial(task.function, *around.args, **around.kwargs)
    if AROUND_RUN.declared and task.is_async:
        return _run(around.call_async(call))
    if AROUND_RUN.has("async"):  # they need a loop, and a plain task none in its thread
        in_thread = functools.partial(asyncio.to_thread, around.call, call)
        return _run(around.call_elsewhere(in_thread))
    value = around.call(call) if AROUND_RUN.declared else call()
    return _run(_awaited(value)) if is_awaitable(value) else value


async def _explained(work: Coroutine[Any, Any, Any]) -> Any:
    """Only here it can be told who cancelled it."""
    try:
        return await work
    except asyncio.CancelledError as error:
        error.failure = cancellation(error, asyncio.current_task())  # type: ignore[attr-defined]
        raise


async def _awaited(value: Any) -> Any:
    while is_awaitable(value):
        value = await value
    return value


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner() as runner:
        keep_loop(runner.get_loop())
        try:
            return runner.run(_explained(work))
        except BaseException as error:
            end_if_forked(error)
            raise
        finally:
            keep_loop(None)


def _returned(value: Any) -> Reply:
    """The work was done: a result that cannot be stored is no reason to do it again."""
    try:
        return Reply(done=True, result=msgspec.Raw(encode_result(value)))
    except NotSerialisable as error:
        return Reply(done=True, failure=failure_of(error), may_retry=False)


def _find(name: str) -> TaskDef | None:
    # A task of the parent's script has the script's module name here.
    return REGISTRY.get(name) or REGISTRY.get(name.replace("__main__.", "__asyncmqd_main__.", 1))


def _failed(call: Call, task: TaskDef | None, error: BaseException) -> Reply:
    """Judged here, where the error is: only its text travels."""
    options = TaskOptions() if task is None else task.options
    policy = Policy(
        backoff=options.backoff or DEFAULT_BACKOFF,
        retry_on=options.retry_on,
        dont_retry_on=options.dont_retry_on,
    )
    pause = by_rules(
        lambda rules: pause_before_retry(error, call.attempt, rules, clock.draw()),
        policy,
        lambda reason: log_line(logging.WARNING, "job.rules_failed", {"reason": reason}),
    )
    cancelled = isinstance(error, asyncio.CancelledError)
    failure = cancellation(error, None) if cancelled else failure_of(error)
    return Reply(done=True, failure=failure, may_retry=pause is not None, after=pause)
