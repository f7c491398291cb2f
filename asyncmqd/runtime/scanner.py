"""Upkeep of one queue: promote what is due, recover what was abandoned, delete what is too old."""

from __future__ import annotations

import asyncio
from functools import partial

from asyncmqd.backends.base import PAGE, Held, Outlook
from asyncmqd.client.operations import last_resumed
from asyncmqd.domain.failpoints import failpoint
from asyncmqd.domain.job import Record
from asyncmqd.domain.pause import Pause
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.settle import Crashed, Policy
from asyncmqd.domain.states import EDGES, State
from asyncmqd.domain.store_clock import LeaseEnds, believed, outlasts
from asyncmqd.runtime.process.context import ProcessContext

LEAST_NAP = 0.01  # seconds between looks, however often it is woken
TIDY_EVERY = 30.0  # seconds between prunings of a queue whose jobs end
_NEVER = float("inf")
TIDY_AFTER = 500  # ended jobs after which it is pruned before that time
TIDY_BUSY = 5.0  # seconds between prunings while jobs wait: these go first
LONGEST_REST = 0.1  # seconds between two pages of one pruning while jobs wait


def rest_between_pages(ended: int, seconds: float) -> float:
    """Seconds from one page to the next while jobs wait, by how many have ended in how long.

    At once, they would stand in the way of those jobs. A quarter more is deleted than ends, so that
    it is done some day.
    """
    return min(0.8 * PAGE * seconds / max(ended, 1), LONGEST_REST)


class Scanner:
    """Sleeps until the next moment it knows of, at most `scan_interval` while anything is pending.

    With nothing delayed and nothing active it sleeps until it is woken.
    """

    def __init__(self, queue: str, context: ProcessContext, options: QueueOptions) -> None:
        self.queue = queue
        self._backend = context.backend
        self._registry = context.registry
        self._observer = context.observer
        self._health = context.health
        self._wakeups = context.wakeups
        self._presence = context.presence
        self._recovery = context.recovery
        self._leases = context.leases
        self.options = options
        self.busy_since: float | None = None  # loop time at which the present look began
        self._pause: Pause | None = None
        self._wakeup = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.last_tidied = self._loop.time()
        self._next_look = _NEVER  # loop time
        self._expected = _NEVER  # the same, by what this worker does: the store may not know it yet
        self._sleep: asyncio.Timeout | None = None  # until then
        self._more_to_tidy = False  # the last page of what is to be deleted was full
        self._rest = 0.0  # seconds from that page to the next one, while jobs wait
        self._ended = 0  # jobs that ended here, when last tidied
        self._lease_ends = LeaseEnds()
        self._jumps = 0  # of the store's clock, since we began
        self._bounded: int | None = None  # those after which leases were last bounded

    def wake(self) -> None:
        """Something was added that is not to be claimed yet, perhaps."""
        self._wakeup.set()

    def expect(self, delay: float) -> None:
        """This worker delays a job by so many seconds: be awake then."""
        moment = self._loop.time() + delay
        if moment < self._alarm():
            self._expected = moment
            if self._sleep is not None and not self._sleep.expired():
                self._sleep.reschedule(moment)

    def look_soon(self) -> None:
        """Jobs are delayed or active, here or elsewhere: sleep no longer than `scan_interval`."""
        self.expect(self.options.scan_interval)

    async def run(self) -> None:
        """Scan until cancelled; a store that fails is tried again."""
        self._health.on_jump.add(self._after_jump)
        try:
            await self._health.persistently(self._scan)
        finally:
            self._health.on_jump.discard(self._after_jump)

    def _after_jump(self) -> None:
        self._jumps += 1
        self._wakeup.set()

    async def _scan(self) -> None:
        self._wakeup.clear()
        self.busy_since = self._loop.time()
        if self._expected <= self.busy_since:
            self._expected = _NEVER
        try:
            self._next_look = await self.look()
        finally:
            self.busy_since = None
        await self._sleep_until(min(self._alarm(), self._loop.time() + LEAST_NAP))
        await self._sleep_until_woken()

    def _alarm(self) -> float:
        return min(self._next_look, self._expected)

    async def _sleep_until_woken(self) -> None:
        moment = self._alarm()
        try:
            async with asyncio.timeout_at(None if moment == _NEVER else moment) as self._sleep:
                await self._wakeup.wait()
        except TimeoutError:
            pass
        finally:
            self._sleep = None

    async def _sleep_until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - self._loop.time()))

    async def look(self) -> float:
        """Do what is due now; the loop time at which something may be due again."""
        outlook = await self._outlook()
        seen = self._loop.time()
        await self._note_pause(outlook.pause)
        if self._bounded != self._jumps:
            await self._bound_leases(outlook)
        moved = await self._promote(outlook) + await self._recover(outlook)
        moved += await self._end_awaited(outlook)
        if known := self._registry.known(outlook.parked_tasks):
            moved += await self._unpark(known)
        if moved:
            self._wakeups.wake(self.queue)
            outlook = await self._outlook()
            seen = self._loop.time()
        if self._is_untidy(busy=outlook.waiting > 0):
            await self.tidy()
        return seen + self._nap(outlook)

    def _nap(self, outlook: Outlook) -> float:
        """Seconds from the outlook until the next look."""
        page = self._until_next_page(busy=outlook.waiting > 0)
        known = (outlook.next_due, outlook.next_lapse, outlook.next_ghost)
        moments = [moment for moment in known if moment is not None]
        if not moments:
            return min(page, TIDY_EVERY if self._count_ended() > self._ended else _NEVER)
        soonest = min(moments) - outlook.now
        # What is past and still there has to wait for others (see Health.may_recover).
        return min(page, soonest if soonest > 0 else LEAST_NAP, self.options.scan_interval)

    def _until_next_page(self, *, busy: bool) -> float:
        """Seconds until more of what has ended is deleted, if the last page was full."""
        if not self._more_to_tidy:
            return _NEVER
        rest = self.last_tidied + self._rest - self._loop.time() if busy else 0.0
        return max(rest, LEAST_NAP)

    async def _note_pause(self, pause: Pause | None) -> None:
        """One line for each call that pauses the queue; one, with the same fields, for its end."""
        was, self._pause = self._pause, pause
        known = pause or was
        if known is None or pause == was:
            return
        fields = {
            "paused_by": known.by or None,
            "reason": known.reason or None,
            "paused_at": known.since,
        }
        if pause:
            self._observer.event("queue.paused", queue=self.queue, **fields)
        else:
            ended = last_resumed(await self._backend.operations([self.queue]))
            by = ended and ended.by
            self._observer.event("queue.resumed", queue=self.queue, **fields, resumed_by=by or None)

    async def _outlook(self) -> Outlook:
        asked, health = self._loop.time(), self._health
        outlook = (await self._backend.outlook([self.queue]))[self.queue]
        health.note_reply(outlook.now, asked)
        if self._lease_ends.note(outlook.now, outlook.next_lapse):
            health.doubt_leases()
        return outlook

    async def _promote(self, outlook: Outlook) -> int:
        if outlook.next_due is None or outlook.next_due > outlook.now:
            return 0
        total, more = 0, True
        while more:
            failpoint("promoting")
            moved = await self._backend.move_due(self.queue)
            failpoint("promoted")
            if moved:
                self._wakeups.wake(self.queue)
            total += moved
            more = moved == PAGE
        return total

    async def _recover(self, outlook: Outlook) -> int:
        if outlook.next_lapse is None or outlook.next_lapse > outlook.now:
            return 0
        if not self._health.may_recover:
            return 0
        total, more = 0, True
        policy = Policy(retention=self.options.retention)
        while more:
            page = await self._backend.expired(self.queue)
            await self._outlook()  # the store's clock may have jumped since the last look
            if not self._health.may_recover:
                return total
            # Not our own living runs: after the loop was blocked, this scanner may wake up first.
            others = self._leases.not_held(page.claims)
            crash = Crashed("its worker was silent for longer than its lease", lapsed=True)
            recovered = await self._recovery.recover(self.queue, others, crash, policy)
            total += recovered
            more = page.more and recovered > 0
        return total

    async def _end_awaited(self, outlook: Outlook) -> int:
        """Bring back what waited for code whose holder was lost before it could say that it ended.

        A lease that was given in a future that is none any more ends with the longest there is.
        """
        end, now, own = outlook.next_ghost, outlook.now, self._leases.duration
        if end is None or not self._health.may_recover:
            return 0
        if now < end and not outlasts(end, now, own):  # nor the longest there is
            return 0
        longest = await self._presence.longest_lease()
        if now < end and not outlasts(end, now, longest):
            return 0
        return await self._backend.end_awaited(self.queue, longest)

    async def _bound_leases(self, outlook: Outlook) -> None:
        """Have no lease end later than one that is given now, if it was given in the future.

        After the store's clock went back, those of the dead would hold until it is there again.
        """
        page_from = partial(self._backend.list, self.queue, State.ACTIVE, payloads=False)
        offset, jumps = 0, self._jumps
        longest = await self._presence.longest_lease() if outlook.next_lapse is not None else 0.0
        while longest and (page := await page_from(offset)):
            late = [
                Held(self.queue, each.id, each.token)
                for each in page
                if self._is_of_the_future(each, outlook.now, longest)
            ]
            if late:
                await self._backend.extend(late, longest)
            offset += len(page)  # what is bounded now stands before what is still to be looked at
        if outlook.ghosts:
            longest = longest or await self._presence.longest_lease()
            await self._backend.end_awaited(self.queue, longest)
        self._bounded = jumps  # one that came meanwhile is still to be looked at

    def _is_of_the_future(self, record: Record, now: float, longest: float) -> bool:
        """Whether a claim's lease is one that nobody has by the present clock.

        Without a jump that was seen it may be a longer one, of a holder that is not listed: then
        the claim itself has to lie in the future.
        """
        if record.due is None or not outlasts(record.due, now, longest):
            return False
        started = record.started or 0.0
        saw_jump = self._jumps > (self._bounded or 0)
        return saw_jump or believed(started, now) != started

    def _is_untidy(self, *, busy: bool) -> bool:
        ended = self._count_ended() - self._ended
        since = self._loop.time() - self.last_tidied
        if self._more_to_tidy:
            return not busy or since >= self._rest
        if ended >= TIDY_AFTER:
            return not busy or since >= TIDY_BUSY
        return ended > 0 and since > TIDY_EVERY

    def _count_ended(self) -> int:
        totals = self._observer.totals
        return sum(totals[self.queue, edge.name] for edge in EDGES.values() if edge.target.terminal)

    async def tidy(self) -> None:
        """Apply the retention limits to a page of jobs.

        The pages that follow come with the next looks: what is due must not wait for them.
        """
        now, ended = self._loop.time(), self._count_ended()
        self._rest = rest_between_pages(ended - self._ended, now - self.last_tidied)
        self.last_tidied, self._ended = now, ended
        removed = await self._backend.prune(self.queue, self.options.retention)
        self._more_to_tidy = removed >= PAGE
        if self._more_to_tidy:
            self.expect(self._rest)

    async def _unpark(self, tasks: list[str]) -> int:
        """Bring back jobs that were left for a daemon that knows their task: this one does."""
        total = 0
        while (moved := await self._backend.unpark(self.queue, tasks)) > 0:
            total += moved
        return total
