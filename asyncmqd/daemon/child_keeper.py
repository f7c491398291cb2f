"""`ChildKeeper`: keeps one child process alive, whatever ends it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from asyncmqd.backends.base import StoreError
from asyncmqd.config import Settings
from asyncmqd.config.errors import dotted
from asyncmqd.config.transfer import packed
from asyncmqd.daemon.application import Problems
from asyncmqd.daemon.instance import CannotStart
from asyncmqd.daemon.orders import IN_ORDER, Answer
from asyncmqd.daemon.process import ABORT_LIMIT, ChildGone, ChildProcess
from asyncmqd.daemon.report import Report, history, total
from asyncmqd.daemon.serving import CLOSE_LIMIT
from asyncmqd.domain import clock
from asyncmqd.runtime.node import Node
from asyncmqd.runtime.spawn import exit_name

LOAD_LIMIT = 60.0  # seconds that a child has to import the application
FIRST_PAUSE, LAST_PAUSE = 0.1, 10.0  # seconds before a child that died again is started anew
STEADY = 60.0  # seconds after which a death counts as the first again


class ChildKeeper:
    """Runs child `number`, and a new one after each that ends, until told to stop.

    What a dead child held is taken back at once, before the next one starts: so no pause keeps
    jobs waiting, which other children may take.
    """

    def __init__(
        self,
        number: int,
        node: Node,
        spawn: Callable[[int], Awaitable[ChildProcess]],
        settings: Callable[[], Settings],
    ) -> None:
        self.number = number
        self.child: ChildProcess | None = None
        self.past = Report()  # of the children before
        self.restarts = 0
        self.task: asyncio.Task[None] | None = None
        self.first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._node = node
        self._spawn = spawn
        self._settings = settings
        self._ready = False
        self._failed = False  # nobody keeps a child any more
        self._stopping = asyncio.Event()

    # ------------------------------------------------------------------ from outside

    async def load(self) -> Problems:
        """Start the first child; what is wrong with the application. Raises CannotStart."""
        try:
            return await self._load()
        except ChildGone:
            assert self.child is not None
            ended = exit_name(await self.child.ended())
            raise CannotStart(f"process {self.number}: {ended} while it was started") from None
        except OSError as error:
            raise CannotStart(f"process {self.number} cannot be started: {error}") from None

    def start(self) -> None:
        """Have the child serve, and keep one serving."""
        self.task = asyncio.create_task(self._keep(), name=f"process {self.number}")
        self.task.add_done_callback(self._check)

    def stop(self) -> asyncio.Future[Answer] | None:
        """Have the child drain and end, and no other follow; it answers once it claims no more."""
        self._stopping.set()
        if self.child is None:
            if self.task is not None:  # it takes back what the last one held, or rests
                asyncio.get_running_loop().call_later(CLOSE_LIMIT, self.task.cancel)
            return None
        if self.child.loaded:
            return self.child.ask("stop")
        self.child.kill()  # it holds nothing yet
        return None

    def kill(self) -> None:
        """End the child at once, if it still lives."""
        if self.child is not None:
            self.child.kill()

    def status(self) -> dict[str, Any]:
        """What is known of the child, as JSON values."""
        child = self.child
        return {
            "number": self.number,
            "pid": child and child.pid,
            "phase": "ready" if self._ready else "starting",
            "uptime": child and round(clock.monotonic() - child.began, 3),
            "running": child.report.running if child else 0,
            "restarts": self.restarts,
            "queues": {name: queue.concurrency for name, queue in child.report.queues.items()}
            if child
            else {},
        }

    # ------------------------------------------------------------------ health

    def end_if_hung(self, limit: float) -> None:
        """Kill the child if it gave no good sign of life for `limit` seconds."""
        child = self.child
        if child is None or not child.loaded or child.aborted:
            return
        if clock.monotonic() - child.last_well > limit:
            error = f"no sign of life for {limit:g} s"
            if child.report.stuck:
                error = f"no progress in {', '.join(child.report.stuck)} for too long"
            self._tell("process.hung", pid=child.pid, error=error)
            child.abort()

    def is_well(self, limit: float) -> bool:
        """Whether the child is, or is being replaced."""
        if self._failed:
            return False
        child = self.child
        if child is None or not child.loaded:
            return True
        return clock.monotonic() - child.last_well < limit + 2 * ABORT_LIMIT

    # ------------------------------------------------------------------ inside

    def _check(self, task: asyncio.Task[None]) -> None:
        """A keeper that failed is a bug: the watchdog is not fed any more."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._failed = True
        self._tell("process.failed", error=f"{type(error).__name__}: {error}", exc_info=error)
        if not self.first_ready.done():
            self.first_ready.set_exception(error)

    async def _keep(self) -> None:
        deaths = 0
        while not self._stopping.is_set():
            began = clock.monotonic()
            error = await self._live()
            if error is None:
                if not self._stopping.is_set():
                    await self._take_back()  # what it could not hand back
                continue
            lasted = clock.monotonic() - began
            deaths = 1 if lasted > STEADY else deaths + 1
            await self._follow(error, 0.0 if deaths == 1 else _pause(deaths - 1))

    async def _live(self) -> str | None:
        """One child from its start to its end; why it ended, if that was not in order."""
        error = ""
        try:
            await self._bring_up()
        except ChildGone:
            pass  # how it ended is read below, as that of a child which was up
        except (CannotStart, OSError) as refused:
            error = str(refused)
            if not self.first_ready.done():
                self.first_ready.set_exception(CannotStart(error))
            self.kill()
        child = self.child
        if child is None:
            return error
        code = await child.ended()
        self._ready = False
        self.child = None
        self.past = total([self.past, history(child.report)])
        return error or (None if code == IN_ORDER else exit_name(code))

    async def _bring_up(self) -> None:
        """From nothing, or from a child that was loaded, to one that serves."""
        if self.child is None and (problems := await self._load()):
            wrong = (f"{dotted(path)}: {problem}" for path, problem in problems.items())
            raise CannotStart("; ".join(wrong))
        child = self.child
        assert child is not None
        answer = await child.ask("serve", packed(self._settings()))
        if answer.error:
            raise CannotStart(answer.error)
        self._ready = True
        self._tell("process.started", pid=child.pid)
        if not self.first_ready.done():
            self.first_ready.set_result(None)

    async def _load(self) -> Problems:
        self.child = await self._spawn(self.number)
        if self._stopping.is_set():
            self.child.kill()
        try:
            async with asyncio.timeout(LOAD_LIMIT):
                answer = await self.child.load()
        except TimeoutError:
            reason = f"the application is not imported after {LOAD_LIMIT:g} s"
            raise CannotStart(f"process {self.number}: {reason}") from None
        return dict(answer.problems)

    async def _follow(self, error: str, pause: float) -> None:
        """After a death: tell of it, bring its jobs back, and rest before the next start."""
        stopping = self._stopping.is_set()
        self._tell("process.ended", error=error, restart_in=None if stopping else round(pause, 3))
        self.restarts += not stopping
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT if stopping else None):
                await self._take_back()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._stopping.wait()

    async def _take_back(self) -> None:
        """Recover what the dead child held, as soon as the store lets us."""
        failures = 0
        while True:
            try:
                await self._node.take_back(f"{self.number}/", "its process died")
            except StoreError:  # whether it is away is told by the children that live
                if self._stopping.is_set():  # the daemon's next life takes it back
                    return
                await self._node.pause(failures)
                failures += 1
            else:
                return

    def _tell(self, event: str, **fields: Any) -> None:
        self._node.observer.event(event, process=self.number, **fields)


def _pause(again: int) -> float:
    """Seconds after so many deaths that followed soon on another, with jitter."""
    bound = min(LAST_PAUSE, FIRST_PAUSE * 2.0 ** min(again - 1, 10))
    return bound * (0.5 + clock.draw() / 2)
