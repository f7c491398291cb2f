"""All schedules of a process: one task that knows when the next of them is due.

Ten thousand schedules cost one timer, and one look at the store for each fifty queues every half
minute. What is done for them is in `scheduler.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from asyncmqd.backends.base import BaseBackend, ScheduleRecord, StoreError
from asyncmqd.runtime.duties import Duties, Duty
from asyncmqd.runtime.process.health import Health

if TYPE_CHECKING:
    from asyncmqd.runtime.scheduler import Scheduler

REFRESH = 30.0  # seconds between looks at what the store and other daemons say
SEEN = 240.0  # seconds between saying that a living daemon declares them
SLOW = 0.1  # seconds: after a longer reply the store's clock is not known well enough to be kept
PAGE = 50  # queues in one call: the loop must be free again soon
TOGETHER = 16  # queues that fire at the same time
STEPS = 16  # schedules that are worked on in one turn of the loop: half a millisecond for each


class Timetable:
    """Looks at the store for the schedulers of the process `id`, and has them fire."""

    def __init__(self, backend: BaseBackend, health: Health, duties: Duties, id: str) -> None:
        self.replaced: dict[tuple[str, str], float] = {}  # queue and name: what was told, declared
        self._backend = backend
        self._health = health
        self._duties = duties
        self._id = id
        self._schedulers: dict[Scheduler, asyncio.Future[None]] = {}
        self._duty: Duty | None = None
        self._wakeup = asyncio.Event()
        self._offset = 0.0  # the store's clock minus the loop's
        self._told_at = -math.inf  # loop time
        self._unsure = True  # of the offset
        self._steps = 0  # in this turn of the loop

    async def serve(self, scheduler: Scheduler) -> None:
        """Fire the schedules of one queue until cancelled. Raises what goes wrong with them."""
        loop = asyncio.get_running_loop()
        failed = self._schedulers[scheduler] = loop.create_future()
        if self._duty is None:
            self._duty = self._duties.begin("schedules", self._run)
        self.wake()
        try:
            await failed
        finally:
            del self._schedulers[scheduler]
            if not self._schedulers and self._duty is not None:
                self._duty.end()
                self._duty = None

    def wake(self) -> None:
        """Some scheduler has something else to do than before."""
        self._wakeup.set()

    @property
    def unreadable(self) -> list[str]:
        """The schedules that mean nothing on this host, with the reason of each."""
        return sorted(
            f"{each.queue}/{name}: {reason}"
            for each in self._schedulers
            for name, reason in each.unreadable.items()
        )

    def now(self) -> float:
        """The store's time."""
        return asyncio.get_running_loop().time() + self._offset

    async def step(self) -> None:
        """To be awaited after the work on one schedule: after so many the loop turns."""
        self._steps += 1
        if self._steps == STEPS:
            asyncio.get_running_loop().call_soon(self._begin_turn)
        while self._steps >= STEPS:  # noqa: ASYNC110 - the next turn is what is waited for
            await asyncio.sleep(0)

    def _begin_turn(self) -> None:
        self._steps = 0

    # ------------------------------------------------------------------ inside

    async def _run(self) -> None:
        self._health.on_jump.add(self._after_jump)
        try:
            await self._health.persistently(self._pass)
        finally:
            self._health.on_jump.discard(self._after_jump)

    def _after_jump(self) -> None:
        self._unsure = True
        for each in self._schedulers:
            each.count_anew()
        self.wake()

    async def _pass(self) -> None:
        self._wakeup.clear()
        time = asyncio.get_running_loop().time
        await self._withdraw()
        stale = [each for each in self._schedulers if each.look_at <= time()]
        await self._look(stale[:PAGE])
        await self._fire_due()
        if len(stale) > PAGE:
            await asyncio.sleep(0)
            return
        wake_at = min((each.look_at for each in self._schedulers), default=math.inf)
        pause = min(wake_at - time(), self._next_due() - self.now(), REFRESH)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, pause)):
                await self._wakeup.wait()

    def _next_due(self) -> float:
        return min((each.due_at for each in self._schedulers), default=math.inf)

    async def _withdraw(self) -> None:
        leaving = list(islice((each for each in self._schedulers if each.withdrawn), PAGE))
        if leaving:
            names = [(each.queue, sorted(each.withdrawn)) for each in leaving]
            await self._backend.withdraw(names)
            for each, (_, told) in zip(leaving, names, strict=True):
                each.withdrawn = each.withdrawn.difference(told)
            self._wakeup.set()  # there may be more of them

    async def _look(self, schedulers: Sequence[Scheduler]) -> None:
        """Declare what they have, and read what counts."""
        started = asyncio.get_running_loop().time()
        some = [each for each in schedulers if each.specs]
        for each in schedulers:
            each.looked(started, REFRESH if each.specs else math.inf)
        with _busy(some, started):
            try:
                await self._declare([each for each in some if each.fresh], fresh=True)
                seen = [each for each in some if started - each.declared_at >= SEEN]
                await self._declare(seen, fresh=False)
                if some:
                    await self._read(some)
            except BaseException:
                for each in some:
                    each.look_again()
                raise

    async def _declare(self, schedulers: Sequence[Scheduler], *, fresh: bool) -> None:
        if schedulers:
            asked = asyncio.get_running_loop().time()
            wanted = [(each.queue, each.specs) for each in schedulers]
            for each in schedulers:
                each.declared(asked)
            try:
                now = await self._backend.declare_all(wanted, fresh, self._id)
            except BaseException:
                for each in schedulers:
                    each.declare_again(fresh=fresh)
                raise
            self._note_time(asked, now)

    async def _read(self, schedulers: Sequence[Scheduler]) -> None:
        if self._unsure or asyncio.get_running_loop().time() - self._told_at >= REFRESH / 2:
            await self._ask_time()
        records = await self._backend.schedules(*dict.fromkeys(s.queue for s in schedulers))
        by_queue: dict[str, list[ScheduleRecord]] = {}
        for record in records:
            by_queue.setdefault(record.queue, []).append(record)
        broken = []
        for each in schedulers:
            if found := await each.take(by_queue.get(each.queue, ())):
                broken.append((each.queue, found))
                each.look_again()
        if broken:
            await self._backend.declare_all(broken, fresh=True, by=self._id)

    async def _ask_time(self) -> None:
        asked = asyncio.get_running_loop().time()
        self._note_time(asked, await self._backend.now())

    def _note_time(self, asked: float, now: float) -> None:
        """Behind the store's clock by what the reply took: may make instants late, never early."""
        self._told_at = answered = asyncio.get_running_loop().time()
        self._offset = now - answered
        # After a stall, or if we were stopped meanwhile, that is much: ask again before it counts.
        self._unsure = answered - asked > SLOW
        self._health.note_reply(now, asked)

    async def _fire_due(self) -> None:
        if self._next_due() > self.now():
            return
        if self._unsure:
            await self._ask_time()
        due = [each for each in self._schedulers if each.due_at <= self.now()]
        for at in range(0, len(due), TOGETHER):
            page = due[at : at + TOGETHER]
            with _busy(page, asyncio.get_running_loop().time()):
                answers = await asyncio.gather(
                    *(each.fire_due(self.now) for each in page), return_exceptions=True
                )
            self._tell(page, answers)

    def _tell(
        self, schedulers: Sequence[Scheduler], answers: Sequence[BaseException | None]
    ) -> None:
        """An error of the store concerns all of them, any other only the queue that it was in."""
        for error in answers:
            if isinstance(error, StoreError) or not isinstance(error, Exception | None):
                raise error
        for scheduler, error in zip(schedulers, answers, strict=True):
            failed = self._schedulers.get(scheduler)
            if isinstance(error, Exception) and failed is not None and not failed.done():
                failed.set_exception(error)


@contextlib.contextmanager
def _busy(schedulers: Sequence[Scheduler], since: float) -> Iterator[None]:
    for each in schedulers:
        each.busy_since = since
    try:
        yield
    finally:
        for each in schedulers:
            each.busy_since = None
