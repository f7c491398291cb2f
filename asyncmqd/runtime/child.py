"""What runs in a child process: one job after the other, told and answered over a socket.

`processes.py` starts it, with the number of the socket's descriptor; it dies with its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib
import logging
import os
import runpy
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Coroutine
from typing import Any

import msgspec

from asyncmqd.client.connection import connect_within
from asyncmqd.domain import clock
from asyncmqd.domain.codec import encode
from asyncmqd.domain.retry import DEFAULT_BACKOFF, Reject
from asyncmqd.domain.settle import Policy, pause_before_retry
from asyncmqd.domain.tasks import REGISTRY, TaskDef, TaskOptions, is_awaitable
from asyncmqd.observe.forked import ForkedLines
from asyncmqd.observe.lines import printable
from asyncmqd.observe.log import running_job
from asyncmqd.observe.prints import capture_prints, end_prints
from asyncmqd.runtime.context import JobContext, enter
from asyncmqd.runtime.failures import failure_of, forget
from asyncmqd.runtime.forks import end_if_forked, keep, keep_loop, take_signals
from asyncmqd.runtime.processes import Call, Hello, Reply
from asyncmqd.runtime.rules import by_rules

_HEADER = struct.Struct("!I")
_NOT_FOR_US = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class _Line:
    """The socket to the parent, in frames."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=keep(fd))
        self._socket.set_inheritable(False)  # nor do programs that jobs start
        self._file = self._socket.makefile("rb")
        self._lock = threading.Lock()  # threads of the application print too
        self._forked: ForkedLines | None = None  # takes what forked children print
        self._is_fork = False
        os.register_at_fork(before=self._before_fork, after_in_child=self._after_fork)

    def send(self, reply: Reply) -> None:
        if not self._is_fork:
            self._write(msgspec.json.encode(reply))

    def take_last(self) -> None:
        """Pass on what forked children have printed by now."""
        if self._forked is not None:
            self._forked.take_last()

    def _write(self, data: bytes) -> None:
        with self._lock:
            self._socket.sendall(_HEADER.pack(len(data)) + data)

    def log(self, level: int, event: str, **fields: str) -> None:
        """Send a line for the parent's log; it adds the job's fields."""
        texts = {key: printable(text) for key, text in {"event": event, **fields}.items()}
        if not self._is_fork:
            self.send(Reply(log={"level": level, **texts}))
        elif self._forked is not None and (job := running_job.get()) is not None:
            # It may come when another job runs.
            reply = Reply(log={"level": level, **texts, **job.fields})
            with contextlib.suppress(OSError):  # the parent is gone
                self._forked.send(msgspec.json.encode(reply))

    def _before_fork(self) -> None:
        if self._forked is None and not self._is_fork:
            with contextlib.suppress(OSError, RuntimeError):  # no room for it
                self._forked = ForkedLines(self._write)

    def _after_fork(self) -> None:
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


class _Records(logging.Handler):
    """Sends the records of standard library logging to the parent's log."""

    def __init__(self, line: _Line) -> None:
        super().__init__()
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"logger": record.name}
        if record.exc_info:
            fields["exception"] = "".join(traceback.format_exception(*record.exc_info))
        try:
            self._line.log(record.levelno, record.getMessage(), **fields)
        except Exception:  # noqa: BLE001 - a broken log call must not break the job that made it
            self.handleError(record)


def main() -> None:
    """Serve the parent until it closes the socket."""
    # The parent decides when a run ends. Not ignored, which programs that jobs start would inherit.
    take_signals(_NOT_FOR_US, lambda *_: None)
    line = _Line(int(sys.argv[1]))
    capture_prints(lambda level, text, stream: line.log(level, text, stream=stream))
    logging.getLogger().handlers = [_Records(line)]
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
    os._exit(0)  # threads that the application left behind must not keep the child


def _prepare(line: _Line) -> None:
    hello = msgspec.json.decode(line.receive(), type=Hello)
    sys.path[:] = hello.path
    logging.getLogger().setLevel(hello.log_level)
    try:
        for module in hello.modules:
            importlib.import_module(module)
        if hello.main is not None:
            runpy.run_path(hello.main, run_name="__asyncmqd_main__")
    except BaseException as error:  # noqa: BLE001 - the parent reports it with the job
        line.send(Reply(done=True, failure=failure_of(error)))
        raise EOFError from None
    line.send(Reply(done=True))


def _serve(line: _Line, call: Call) -> None:
    task = _find(call.spec.task)
    remaining = None if call.time_limit is None else call.time_limit - clock.wall()
    enter(
        JobContext(
            id=call.spec.id,
            queue=call.queue,
            task=call.spec.task,
            attempt=call.attempt,
            worker=call.worker,
            time_limit=remaining,
            report=lambda data: line.send(Reply(progress=msgspec.Raw(data))),
        )
    )
    try:
        if task is None:
            raise Reject("the child process does not know this task")
        args, kwargs = task.typed(call.spec.args, call.spec.kwargs)
        value = task.function(*args, **kwargs)
        if is_awaitable(value):
            value = _run(_awaited(value))
        end_if_forked()
        reply = Reply(done=True, result=msgspec.Raw(encode(value, "result")))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent judges it
        end_if_forked(error)
        reply = _failed(line, call, task, error)
        forget(error)
    end_prints()
    line.take_last()
    line.send(reply)


async def _awaited(value: Any) -> Any:
    while is_awaitable(value):
        value = await value
    return value


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner() as runner:
        keep_loop(runner.get_loop())
        try:
            return runner.run(work)
        except BaseException as error:
            end_if_forked(error)
            raise
        finally:
            keep_loop(None)


def _find(name: str) -> TaskDef | None:
    # A task of the parent's script has the script's module name here.
    return REGISTRY.get(name) or REGISTRY.get(name.replace("__main__.", "__asyncmqd_main__.", 1))


def _failed(line: _Line, call: Call, task: TaskDef | None, error: BaseException) -> Reply:
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
        lambda reason: line.log(logging.WARNING, "job.rules_failed", reason=reason),
    )
    return Reply(done=True, failure=failure_of(error), may_retry=pause is not None, after=pause)
