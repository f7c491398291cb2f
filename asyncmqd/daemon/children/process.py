"""`ChildProcess`: the daemon's end of one child, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from typing import Any

import msgspec

from asyncmqd.admin.enqueue import EnqueueArguments
from asyncmqd.daemon.children.ipc import (
    IN_ORDER,
    Answer,
    Hello,
    Order,
    OrderName,
    read_frame,
    unpack_answer,
)
from asyncmqd.daemon.children.log_forwarding import LogForwarder
from asyncmqd.daemon.control_protocol import pack
from asyncmqd.daemon.process_report import Report
from asyncmqd.domain import clock
from asyncmqd.domain.loop_tasks import retrieve_error
from asyncmqd.observe.line_writer import LineWriter
from asyncmqd.observe.metrics import Counted
from asyncmqd.runtime.execution.spawn_child import command, end_session

ABORT_LIMIT = 2.0  # seconds between SIGABRT, which shows the stack, and SIGKILL
LAST_WORDS = 1.0  # seconds after its end in which a child's reports and log lines are read


class ChildGone(Exception):
    """The child ended, or its socket did, before it answered."""


class ChildProcess:
    """A running child. Orders go to it in their order; each is answered by a future."""

    def __init__(self, process: Process, number: int) -> None:
        self.pid = process.pid
        self.report = Report()
        self.counted = Counted()
        self.loaded = False  # it has imported the application
        self.code = ""  # a stamp of the application's code, if it has told one
        self.last_well = self.began = clock.monotonic()
        self.aborted = False
        self._process = process
        self._number = number
        self._ids = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Answer]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[int] | None = None
        self.on_report: Callable[[], None] = lambda: None  # called when `report` is new
        self._forwarder: LogForwarder | None = None
        self._log: asyncio.ReadTransport | None = None

    @classmethod
    async def start(cls, hello: Hello, log: LineWriter | None) -> ChildProcess:
        """Start one. `log` takes its lines; None: it has a way of its own."""
        ours, theirs = socket.socketpair()
        log_end, log_fd = os.pipe() if log is not None else (None, None)
        passed = [fd for fd in (theirs.fileno(), log_fd) if fd is not None]
        try:
            process = await asyncio.create_subprocess_exec(
                *command("asyncmqd.daemon.children.main", str(theirs.fileno())),
                f"asyncmqd: process {hello.number} of {hello.processes}",  # for those who run ps
                stdin=DEVNULL,
                pass_fds=passed,
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            if log_end is not None:
                os.close(log_end)
            raise
        finally:
            theirs.close()
            if log_fd is not None:
                os.close(log_fd)
        child = cls(process, hello.number)
        if log is not None and log_end is not None:
            await child._read_log(log_end, log)
        await child._open(ours, msgspec.structs.replace(hello, log_fd=log_fd))
        return child

    async def _read_log(self, fd: int, log: LineWriter) -> None:
        loop = asyncio.get_running_loop()
        stream = os.fdopen(fd, "rb", buffering=0)
        self._log, self._forwarder = await loop.connect_read_pipe(lambda: LogForwarder(log), stream)

    async def _open(self, line: socket.socket, hello: Hello) -> None:
        reader, self._writer = await asyncio.open_connection(sock=line)
        self._asked[0] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.create_task(self._listen(reader))
        self._ending = asyncio.create_task(self._end(self._listening))
        self._writer.write(pack(hello))

    # ------------------------------------------------------------------ asking

    async def load(self) -> Answer:
        """What importing the application came to. Raises ChildGone."""
        answer = await self._asked[0]
        self.loaded, self.code = True, answer.code
        self.last_well = clock.monotonic()
        return answer

    def ask(
        self,
        name: OrderName,
        settings: bytes = b"null",
        *,
        declares: bool = True,
        job: EnqueueArguments | None = None,
    ) -> asyncio.Future[Answer]:
        """Give an order. The future raises ChildGone if no answer will come."""
        id = next(self._ids)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        # Not everybody who gives an order waits for the answer.
        answer.add_done_callback(retrieve_error)
        self._asked[id] = answer
        if self._writer is None or self._listening is None or self._listening.done():
            self._give_up()
        else:
            order = Order(id, name, msgspec.Raw(settings), declares=declares, job=job)
            self._writer.write(pack(order))
        return answer

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                self._take(unpack_answer(await read_frame(reader)))
        except (EOFError, OSError):
            return
        except BaseException:  # an error of ours, too: nobody would hear it any more
            self.kill()
            raise
        finally:
            self._give_up()

    def _take(self, answer: Answer) -> None:
        if answer.report is not None:
            self.report = answer.report
            if not answer.report.stuck:
                self.last_well = clock.monotonic()
            self.on_report()
        if answer.counted is not None:
            self.counted = answer.counted
        asked = self._asked.pop(answer.id, None)
        if asked is not None and not asked.done():
            asked.set_result(answer)

    def _give_up(self) -> None:
        asked, self._asked = self._asked, {}
        for answer in asked.values():
            if not answer.done():
                answer.set_exception(ChildGone(f"process {self._number} has ended"))

    # ------------------------------------------------------------------ ending

    def abort(self) -> None:
        """End one that does nothing any more: it shows its stacks on standard error."""
        self.aborted = True
        self._signal(signal.SIGABRT)
        asyncio.get_running_loop().call_later(ABORT_LIMIT, self.kill)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end, and for its last words; the exit code, negative for a signal."""
        assert self._ending is not None
        return await asyncio.shield(self._ending)

    async def _end(self, listening: asyncio.Task[None]) -> int:
        code = await self._process.wait()
        if code != IN_ORDER:  # it has left its jobs in the middle, and what they have started
            end_session(self.pid)
        last: list[asyncio.Task[Any]] = [listening]
        if self._forwarder is not None:
            last.append(asyncio.create_task(self._forwarder.ended.wait()))
        # Not until both are closed: a fork of it may hold them, and live on.
        await asyncio.wait(last, timeout=LAST_WORDS)
        for each in last:
            each.cancel()
        await asyncio.wait(last)
        if self._log is not None:
            self._log.close()
        if self._writer is not None:
            self._writer.close()
        return code
