"""`ChildSupervisor`: keeps one child process alive, whatever ends it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from asyncmqd.backends.base import StoreError
from asyncmqd.config.models import Settings
from asyncmqd.config.settings_transfer import packed
from asyncmqd.daemon.application_import import Problems, told
from asyncmqd.daemon.children.ipc import IN_ORDER, Answer
from asyncmqd.daemon.children.process import ABORT_LIMIT, ChildGone, ChildProcess
from asyncmqd.daemon.instance_lock import CannotStart
from asyncmqd.daemon.process_report import Report, history, total
from asyncmqd.daemon.queue_processes import CLOSE_LIMIT
from asyncmqd.domain import clock
from asyncmqd.observe.metrics import Sum
from asyncmqd.runtime.duties import Duty
from asyncmqd.runtime.execution.spawn_child import exit_name
from asyncmqd.runtime.process.context import ProcessContext

LOAD_LIMIT = 60.0  # seconds that a child has to import the application
FIRST_PAUSE, LAST_PAUSE = 0.1, 10.0  # seconds before a child that died again is started anew
STEADY = 60.0  # seconds after which a death counts as the first again


class _Death(NamedTuple):
    """The end of a child that did not leave in order."""

    error: str  # why
    age: float  # seconds that it took, from its start on


class ChildSupervisor:
    """Runs child `number`, and a new one after each that ends, until told to stop.

    What a dead child held is taken back at once, before the next one starts: so no pause keeps
    jobs waiting, which other children may take.
    """

    def __init__(
        self,
        number: int,
        context: ProcessContext,
        spawn: Callable[[int], Awaitable[ChildProcess]],
        settings: Callable[[], Settings],
    ) -> None:
        self.number = number
        self.child: ChildProcess | None = None
        self.past = Report()  # of the children before
        self.past_counted = Sum()
        self.restarts = 0
        self.duty: Duty | None = None  # to keep a child
        self.first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._duties = context.duties
        self._health = context.health
        self._recovery = context.recovery
        self._observer = context.observer
        self._spawn = spawn
        self._settings = settings
        self._ready = False
        self._declared: Settings | None = None  # whose limits over all daemons a child has told
        self._deaths = 0  # one soon after the other
        self._stopping = asyncio.Event()

    # ------------------------------------------------------------------ from outside

    async def load(self) -> Problems:
        """Start the first child; what is wrong with the application. Raises CannotStart."""
        try:
            return await self._import()
        except ChildGone:
            assert self.child is not None
            ended = exit_name(await self.child.ended())
            raise CannotStart(f"process {self.number}: {ended} while it was started") from None

    def start(self) -> None:
        """Have the child serve, and keep one serving."""
        self.duty = self._duties.begin(f"supervisor of process {self.number}", self._keep)

    def stop(self) -> asyncio.Future[Answer] | None:
        """Have the child drain and end, and no other follow; it answers once it claims no more."""
        self._stopping.set()
        if self.child is None:
            if self.duty is not None:  # it takes back what the last one held, or rests
                asyncio.get_running_loop().call_later(CLOSE_LIMIT, self.duty.end)
            return None
        if self.child.loaded:
            return self.child.ask("stop")
        self.child.kill()  # it holds nothing yet
        return None

    def apply(self, settings: Settings, data: bytes) -> asyncio.Future[Answer] | None:
        """Have the child serve like this; None: there is none, and the next one will."""
        if self.child is None or not self.child.loaded:
            return None
        self._declared = settings
        return self.child.ask("apply", data)

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

    def forgive(self, seconds: float) -> None:
        """Do not count so many of the last seconds."""
        if self.child is not None:
            self.child.last_well = min(clock.monotonic(), self.child.last_well + seconds)

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
        child = self.child
        if child is None or not child.loaded:
            return True
        return clock.monotonic() - child.last_well < limit + 2 * ABORT_LIMIT

    # ------------------------------------------------------------------ inside

    async def _keep(self) -> None:
        while not self._stopping.is_set():
            death = await self._live()
            if death is not None:
                self._deaths = 1 if death.age > STEADY else self._deaths + 1
                await self._follow(death.error, _pause(self._deaths))
            elif not self._stopping.is_set():
                await self._reclaim()  # what it could not hand back

    async def _live(self) -> _Death | None:
        """One child from its start to its end; None: it left in order."""
        began = clock.monotonic()
        refusal = await self._bring_up()
        if refusal:
            self.kill()
            if not self.first_ready.done():
                self.first_ready.set_exception(CannotStart(refusal))
        error = await self._see_off()
        if refusal or error:
            return _Death(refusal or error, clock.monotonic() - began)
        return None

    async def _bring_up(self) -> str:
        """Have a child serve; why none can. Empty: it serves, or has ended, as its code tells."""
        try:
            if self.child is None and (problems := await self._import()):
                return told(problems)
            return "" if self._ready else await self._serve()
        except CannotStart as reason:
            return str(reason)
        except ChildGone:
            return ""

    async def _import(self) -> Problems:
        """Start a child; what keeps it from the application. Raises CannotStart and ChildGone."""
        try:
            self.child = await self._spawn(self.number)
            if self._stopping.is_set():
                self.child.kill()
            async with asyncio.timeout(LOAD_LIMIT):
                return dict((await self.child.load()).problems)
        except TimeoutError:
            reason = f"the application is not imported after {LOAD_LIMIT:g} s"
            raise CannotStart(f"process {self.number}: {reason}") from None
        except OSError as error:
            raise CannotStart(f"process {self.number} cannot be started: {error}") from None

    async def _serve(self) -> str:
        """Have the child that has imported it serve; why it cannot. Raises ChildGone."""
        child = self.child
        assert child is not None
        settings = self._settings()
        declares, self._declared = settings is not self._declared, settings
        try:
            answer = await child.ask("serve", packed(settings), declares=declares)
        except ChildGone:
            self._declared = None if declares else self._declared
            raise
        if not answer.error:
            self._ready = True
            self._tell("process.started", pid=child.pid)
            if not self.first_ready.done():
                self.first_ready.set_result(None)
        return answer.error

    async def _see_off(self) -> str:
        """Wait for the child's end, and keep its numbers; what it died of, if it did."""
        child = self.child
        if child is None:
            return ""
        code = await child.ended()
        self._ready = False
        self.child = None
        self.past = total([self.past, history(child.report)])
        self.past_counted.add(child.counted)
        return "" if code == IN_ORDER else exit_name(code)

    async def _follow(self, error: str, pause: float) -> None:
        """After a death: tell of it, bring its jobs back, and rest before the next start."""
        stopping = self._stopping.is_set()
        self._tell("process.ended", error=error, restart_in=None if stopping else round(pause, 3))
        self.restarts += not stopping
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT if stopping else None):
                await self._reclaim()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._stopping.wait()

    async def _reclaim(self) -> None:
        """Recover what the dead child held, as soon as the store lets us."""
        failures = 0
        while True:
            try:
                await self._recovery.reclaim(f"{self.number}/", "its process died")
            except StoreError:  # whether it is away is told by the children that live
                if self._stopping.is_set():  # the daemon's next life takes it back
                    return
                await self._health.pause(failures)
                failures += 1
            else:
                return

    def _tell(self, event: str, **fields: Any) -> None:
        self._observer.event(event, process=self.number, **fields)


def _pause(deaths: int) -> float:
    """Seconds until the next start after so many deaths, one soon after the other, with jitter."""
    if deaths == 1:
        return 0.0
    bound = min(LAST_PAUSE, FIRST_PAUSE * 2.0 ** min(deaths - 2, 10))
    return bound * (0.5 + clock.draw() / 2)
