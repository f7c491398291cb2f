"""CPU-bound functions in child processes: one child runs one job at a time.

A `ProcessPoolExecutor` is broken as a whole when one child dies; here a crash costs one child and
is told apart from a failure, a timeout kills the child, and a child never outlives its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import fcntl
import os
import socket
import struct
import sys
import termios
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import msgspec

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.job import Failure, JobSpec
from asyncmqd.domain.loop_tasks import begin
from asyncmqd.domain.middleware import AROUND_ENQUEUE, AROUND_RUN
from asyncmqd.domain.retry import Reject, Retry
from asyncmqd.domain.tasks import Registry
from asyncmqd.observe.captured_pipes import Output, log_printed
from asyncmqd.observe.log import least_level, pass_on
from asyncmqd.runtime.claiming.start_shortage import CannotBegin
from asyncmqd.runtime.execution.child_exit import ChildEnd
from asyncmqd.runtime.execution.spawn_child import command, end_group, exit_name
from asyncmqd.runtime.job_context import JobContext
from asyncmqd.runtime.process_exit import LEAVE_LIMIT
from asyncmqd.runtime.tracing import TRACES

_HEADER = struct.Struct("!I")
_FRAME_LIMIT = 64 * 1024 * 1024  # bytes
LAST_WORDS = 1.0  # seconds after its end in which what a child has said is read
_START_LIMIT = 60.0  # seconds for a child to import the application
_NOT_FOR_CHILDREN = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY")


class ChildCrashed(Exception):
    """The child process died while it ran a job."""


class ChildFailed(Exception):
    """A child could not be made ready; `failure` is why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.type}: {failure.message}")
        self.failure = failure

    def __reduce__(self) -> Any:
        return type(self), (self.failure,), self.__dict__


class EncodedResult:
    """A result that a child process encoded."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class Hello(msgspec.Struct):
    """The first frame to a child: what to import."""

    modules: list[str]
    path: list[str]
    main: str | None  # the script that `__main__` is, when tasks are defined in it
    log_level: int  # less than this is not logged
    traces: bool  # jobs are traced
    exports: bool  # spans go where OTEL_* variables say, unless the application sends them


class Call(msgspec.Struct, omit_defaults=True):
    """A job for the child."""

    spec: JobSpec
    queue: str
    attempt: int
    worker: str
    time_limit: float | None
    backend_url: str  # where it enqueues to
    payload_limit: int  # bytes, of what it enqueues; a reload may have changed it
    labels: dict[str, str] | None = None  # of its log lines


class Reply(msgspec.Struct, omit_defaults=True):
    """A frame from the child: progress, a printed line, or (`done`) the end of the run."""

    done: bool = False
    result: msgspec.Raw = msgspec.Raw(b"null")
    failure: Failure | None = None
    may_retry: bool = True  # the child knows the exception's type, and so the task's retry_on
    after: float | None = None  # of a Retry
    progress: msgspec.Raw = msgspec.Raw(b"")
    log: msgspec.Raw = msgspec.Raw(b"")  # an event, as a line of JSON
    begun: tuple[str, str] | None = None  # a stream, and what its present line has by now
    job: dict[str, Any] = {}  # the fields of its job, if it is known


class Processes:
    """The children of one worker: as many as run at once, kept for the next job."""

    def __init__(self, registry: Registry, backend: BaseBackend) -> None:
        self._registry = registry
        self._backend = backend
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()

    async def run(self, spec: JobSpec, context: JobContext) -> Any:
        """The encoded result of the job, run in a child.

        Raises Retry or Reject for what the task raised, ChildCrashed if the child died in the run,
        ChildFailed if it could not import the application, CannotBegin if none could be started.
        When cancelled, the child is killed.
        """
        child = await self._take_idle() or await self._start()
        try:
            reply = await child.call(spec, context, self._backend)
        except BaseException:
            self._all.discard(child)
            await child.kill()
            raise
        self._idle.append(child)
        if reply.failure is None:
            return EncodedResult(bytes(reply.result))
        raise _as_exception(reply)

    async def _take_idle(self) -> _Child | None:
        """A child that waits for a job. One that died while it did is no job's fault."""
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                return child
            self._all.discard(child)
            await child.kill()
        return None

    async def _start(self) -> _Child:
        # What is no module (code of `exec`) would keep all others from running.
        of_tasks = sorted(filter(_is_module, {task.module for task in self._registry}))
        modules = list(dict.fromkeys([*AROUND_RUN.modules, *AROUND_ENQUEUE.modules, *of_tasks]))
        main = None
        if "__main__" in modules:
            modules.remove("__main__")
            main = getattr(sys.modules["__main__"], "__file__", None)
        hello = Hello(
            modules,
            sys.path,
            main,
            least_level(),
            traces=TRACES.execution is not None,
            exports=TRACES.exports,
        )
        try:
            child = await _Child.start(hello)
        except (OSError, ChildCrashed) as error:
            reason = str(error) or f"it was not ready after {_START_LIMIT:g} s"
            raise CannotBegin(f"no process could be started: {reason}") from None
        self._all.add(child)
        return child

    async def close(self) -> None:
        """End all children: those that wait for a job by themselves, those that run one at once."""
        children, idle = self._all, self._idle
        self._all, self._idle = set(), []
        await asyncio.gather(*(c.leave() if c in idle else c.kill() for c in children))


class _RemoteRetry(Retry):
    """What the child's task raised may be tried again."""

    failure: Failure


class _RemoteReject(Reject):
    """What the child's task raised may not be tried again."""

    failure: Failure


def _as_exception(reply: Reply) -> Exception:
    """The child judged by the exception's type, which did not travel; say so to `settle`."""
    assert reply.failure is not None
    message = reply.failure.message
    error: _RemoteRetry | _RemoteReject
    error = _RemoteRetry(message, after=reply.after) if reply.may_retry else _RemoteReject(message)
    error.failure = reply.failure
    return error


class _Child:
    """One child process and the socket to it."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        outputs: Sequence[Output],
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._outputs = outputs  # what is printed past Python's streams, there and by programs
        self._begun: dict[str, str] = {}  # by stream: what the job has printed of a line
        self._end = ChildEnd(process)
        # No job's, though one had the child started: others follow, and one that cancels all its
        # tasks must not have it.
        self._watching = begin(self._watch(), context=contextvars.Context())

    @property
    def alive(self) -> bool:
        """Whether nothing says yet that it has ended."""
        return not self._end.came and not self._reader.at_eof()

    async def _watch(self) -> None:
        """End the line with the process: what it started may hold the socket, and go on."""
        line = self._writer.get_extra_info("socket").fileno()
        try:
            await self._end.wait()
        finally:  # whoever was told of the end first may cancel this, and others while it lives
            if self._end.came:
                end_group(self._process.pid)
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(LAST_WORDS):
                # What it said before its end lies in the socket by now.
                while _unread(line):  # noqa: ASYNC110 - the loop reads it at its next turn
                    await asyncio.sleep(0)
        self._reader.feed_eof()

    @classmethod
    async def start(cls, hello: Hello) -> _Child:
        """Raises OSError, and ChildFailed if it cannot import the application."""
        with contextlib.ExitStack() as opened:
            outputs = []
            for stream in ("stdout", "stderr"):
                outputs.append(Output(stream))
                opened.callback(os.close, outputs[-1].writer)
            ours, theirs = socket.socketpair()
            with theirs:
                process = await _launch(theirs.fileno(), outputs, ours)
        reader, writer = await asyncio.open_connection(sock=ours)
        child = cls(process, reader, writer, outputs)
        try:
            child._send(hello)
            async with asyncio.timeout(_START_LIMIT):
                ready = await child._receive()
        except BaseException:
            await child.kill()
            raise
        if ready.failure is not None:
            await child.kill()
            raise ChildFailed(ready.failure)
        return child

    async def call(self, spec: JobSpec, context: JobContext, backend: BaseBackend) -> Reply:
        """Run one job; log lines and progress that come before its end are passed on."""
        ends = context.deadline
        limit = None if ends is None else ends.timestamp()
        self._send(
            Call(
                spec,
                context.queue,
                context.attempt,
                context.worker,
                limit,
                backend.secret_url,
                backend.payload_limit,
                context.labels,
            )
        )
        self._begun.clear()
        for output in self._outputs:
            output.job = context
        try:
            return await self._receive(context)
        except BaseException:  # the child is dead, or is killed: no line of it becomes whole
            for stream, text in self._begun.items():
                log_printed(stream, [text], context)
            raise
        finally:
            for output in self._outputs:
                output.take()
                output.job = None

    def _send(self, message: msgspec.Struct) -> None:
        data = msgspec.json.encode(message)
        self._writer.write(_HEADER.pack(len(data)) + data)

    async def _receive(self, job: JobContext | None = None) -> Reply:
        """What ends what it was told to do; what comes before is passed on."""
        while not (reply := await self._receive_frame()).done:
            if reply.log:
                self._log_event(msgspec.json.decode(reply.log), reply.job, job)
            if reply.begun and job is not None and reply.job.get("job_id") == job.id:
                stream, text = reply.begun
                self._begun[stream] = text
            if reply.progress and job is not None:
                job.progress(msgspec.json.decode(reply.progress))
        return reply

    def _log_event(
        self, event: dict[str, Any], named: Mapping[str, Any], job: JobContext | None
    ) -> None:
        """A line is the present job's, unless it names another: a thread may have outlived its."""
        if job is not None and named.get("job_id", job.id) == job.id:
            job.keep([event])
            self._begun.pop(event.get("stream", ""), None)  # it is whole
        pass_on([event], named or ({} if job is None else job.fields))

    async def _receive_frame(self) -> Reply:
        try:
            (size,) = _HEADER.unpack(await self._reader.readexactly(_HEADER.size))
            if size > _FRAME_LIMIT:
                raise ChildCrashed(f"a child process sent a frame of {size} bytes")
            return msgspec.json.decode(await self._reader.readexactly(size), type=Reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            with contextlib.suppress(TimeoutError):  # it may have closed the line, and go on
                async with asyncio.timeout(LAST_WORDS):
                    await self._end.wait()
            await self.kill()
            code = await self._end.wait()
            raise ChildCrashed(f"the child process ended with {exit_name(code)}") from None

    async def leave(self) -> None:
        """Have the child end by itself; what it says meanwhile is passed on."""
        try:
            async with asyncio.timeout(LEAVE_LIMIT + LAST_WORDS):
                self._writer.write_eof()
                await self._receive()
        except (ChildCrashed, TimeoutError, OSError):
            pass  # it has ended, or does not
        finally:
            await self.kill()

    async def kill(self) -> None:
        """End the child at once, and what its jobs have started."""
        if not self._end.came:
            end_group(self._process.pid)
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        self._writer.close()
        await self._end.wait()
        self._watching.cancel()


async def _launch(
    line: int, outputs: Sequence[Output], ours: socket.socket
) -> asyncio.subprocess.Process:
    stdout, stderr = outputs
    try:
        return await asyncio.create_subprocess_exec(
            *command("asyncmqd.runtime.execution.executor_child", str(line)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout.writer,
            stderr=stderr.writer,
            pass_fds=[line],
            env={k: v for k, v in os.environ.items() if k not in _NOT_FOR_CHILDREN},
        )
    except BaseException:
        ours.close()
        raise


def _unread(line: int) -> int:
    """How many bytes of a socket nobody has read yet."""
    (size,) = struct.unpack("i", fcntl.ioctl(line, termios.FIONREAD, bytes(4)))
    return int(size)


def _is_module(name: str) -> bool:
    """Whether a child can import it."""
    try:
        return name in sys.modules or find_spec(name) is not None
    except (ImportError, ValueError):
        return False
