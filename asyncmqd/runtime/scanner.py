"""Upkeep of one queue: promote what is due, recover what was abandoned, delete what is too old."""

from __future__ import annotations

import asyncio
import contextlib

from asyncmqd.backends.base import PAGE, Outlook
from asyncmqd.domain.settle import Crashed, Policy
from asyncmqd.domain.states import EDGES
from asyncmqd.runtime.node import Node
from asyncmqd.runtime.options import WorkerOptions

LEAST_NAP = 0.01  # seconds between looks, however often the bell rings
TIDY_EVERY = 30.0  # seconds between prunings of a queue whose jobs end
TIDY_AFTER = 500  # ended jobs after which it is pruned all the same


class Scanner:
    """Sleeps until the next moment it knows of, at most `scan_interval` while anything is pending.

    With nothing delayed and nothing active it sleeps until it is rung.
    """

    def __init__(self, queue: str, node: Node, options: WorkerOptions) -> None:
        self.queue = queue
        self.node = node
        self.options = options
        self.busy_since: float | None = None  # loop time at which the present look began
        self.last_tidied = 0.0  # loop time
        self._paused = False
        self._bell = asyncio.Event()
        self._next_look: float | None = None  # loop time
        self._ended = 0  # jobs that ended here, when last tidied

    def ring(self) -> None:
        """Something was added that is not to be claimed yet, perhaps."""
        self._bell.set()

    def expect(self, delay: float) -> None:
        """This worker delays a job by so many seconds: be awake then."""
        due = asyncio.get_running_loop().time() + delay
        if self._next_look is None or due < self._next_look:
            self._bell.set()

    async def run(self) -> None:
        """Scan until cancelled; a store that fails is tried again."""
        await self.node.persistently(self._scan)

    async def _scan(self) -> None:
        self._bell.clear()
        loop = asyncio.get_running_loop()
        self.busy_since = loop.time()
        try:
            nap = await self.look()
        finally:
            self.busy_since = None
        self._next_look = None if nap is None else loop.time() + nap
        await asyncio.sleep(LEAST_NAP if nap is None else min(nap, LEAST_NAP))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._next_look):
                await self._bell.wait()

    async def look(self) -> float | None:
        """Do what is due now; seconds until something may be due again, None if nothing is."""
        outlook = await self._outlook()
        self._note_pause(outlook.paused)
        moved = await self._promote(outlook) + await self._recover(outlook)
        if self._is_untidy():
            await self.tidy()
        known = self.node.known(outlook.shelves)
        if known:
            moved += await self._unshelve(known)
        if moved:
            self.node.wake(self.queue)
            outlook = await self._outlook()
        moments = [m for m in (outlook.next_due, outlook.next_lapse) if m is not None]
        if moments:
            soonest = min(moments) - outlook.now
            # What is past and still there has to wait for others (see Node.may_recover).
            return min(soonest if soonest > 0 else LEAST_NAP, self.options.scan_interval)
        return TIDY_EVERY if self._count_ended() > self._ended else None

    def _note_pause(self, paused: bool) -> None:
        if paused != self._paused:
            self._paused = paused
            name = "queue.paused" if paused else "queue.resumed"
            self.node.observer.event(name, queue=self.queue)

    async def _outlook(self) -> Outlook:
        return (await self.node.backend.outlook([self.queue]))[self.queue]

    async def _promote(self, outlook: Outlook) -> int:
        if outlook.next_due is None or outlook.next_due > outlook.now:
            return 0
        total = 0
        while (moved := await self.node.backend.move_due(self.queue)) > 0:
            total += moved
            self.node.wake(self.queue)
            if moved < PAGE:
                break
        return total

    async def _recover(self, outlook: Outlook) -> int:
        if outlook.next_lapse is None or outlook.next_lapse > outlook.now:
            return 0
        if not self.node.may_recover:
            return 0
        total, more = 0, True
        policy = Policy(retention=self.options.retention)
        while more:
            page = await self.node.backend.expired(self.queue)
            # Not our own living runs: after the loop was blocked, this scanner may wake up first.
            others = [claim for claim in page.claims if not self.node.leases.holds(claim)]
            crash = Crashed("its worker was silent for longer than its lease", lapsed=True)
            recovered = await self.node.recover(self.queue, others, crash, policy)
            total += recovered
            more = page.more and recovered > 0
        return total

    def _is_untidy(self) -> bool:
        ended = self._count_ended() - self._ended
        since = asyncio.get_running_loop().time() - self.last_tidied
        return ended >= TIDY_AFTER or (ended > 0 and since > TIDY_EVERY)

    def _count_ended(self) -> int:
        totals = self.node.observer.totals
        return sum(totals[self.queue, edge.name] for edge in EDGES.values() if edge.target.terminal)

    async def tidy(self) -> None:
        """Apply the retention limits."""
        self.last_tidied = asyncio.get_running_loop().time()
        self._ended = self._count_ended()
        removed = PAGE
        while removed >= PAGE:
            removed = await self.node.backend.prune(self.queue, self.options.retention)

    async def _unshelve(self, tasks: list[str]) -> int:
        """Bring back jobs that were left for a daemon that knows their task: this one does."""
        total = 0
        while (moved := await self.node.backend.unshelve(self.queue, tasks)) > 0:
            total += moved
        return total
