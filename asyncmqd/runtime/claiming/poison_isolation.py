"""`Isolation`: a candidate runs alone in its process, so that a crash proves that it is poison.

Why it is so, and what it cannot tell: docs/decisions/trials.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

import msgspec

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.domain.loop_tasks import begin
from asyncmqd.domain.settle import isolation_time, mark_alone
from asyncmqd.runtime.execution.run import Run
from asyncmqd.runtime.execution.stuck_threads import Overstays
from asyncmqd.runtime.process.health import Health


class ClaimLost(Exception):
    """The store says that the claim is not ours any more."""


class Isolation:
    """Knows what runs in this process, and lets nothing begin beside a candidate that runs alone.

    `on_end` is called when others may begin again. Use it in the event loop only.
    """

    def __init__(self, overstays: Overstays, on_end: Callable[[], None]) -> None:
        self.candidate: Run | None = None  # the candidate of this process whose turn it is
        self.active = False  # nothing but the candidate may begin
        self._overstays = overstays
        self._on_end = on_end
        self._inside: set[Run] = set()
        self._ended = asyncio.Event()
        self._left = asyncio.Event()
        self._waiters = 0  # for that

    async def wait(self) -> None:
        """Return when others than a candidate may begin."""
        while self.active:
            self._ended.clear()
            await self._ended.wait()

    def enter(self, run: Run) -> bool:
        """Whether the run may begin now; if so, it has begun."""
        if self.active and run is not self.candidate:
            return False
        self._inside.add(run)
        return True

    def leave(self, run: Run) -> None:
        """Its code runs no more, or only in a thread that is stuck."""
        self._inside.discard(run)
        if self._waiters:
            self._left.set()

    # ------------------------------------------------------------------ the run of a candidate

    def begin(self, candidate: Run) -> bool:
        """Let nothing begin but this candidate; False if another one has its turn."""
        if self.candidate is not None:
            return False
        self.candidate, self.active = candidate, True
        return True

    @asynccontextmanager
    async def run_alone(
        self, run: Run, backend: BaseBackend, health: Health
    ) -> AsyncIterator[None]:
        """Run the candidate, for which isolation has begun, in the block. It is alone if what runs
        beside it ends within `isolation_time`; if not, it runs all the same, and a crash proves
        nothing.

        Nobody must wait for ever: after as long again the mark is taken off, others begin, and the
        next candidate has its turn. If the run ends before, its turn ends when the store knows:
        until then a crash would be taken for its own. Raises ClaimLost, or StoreError if it cannot
        be marked.
        """
        alone = await self.quiet(isolation_time(run.claim))
        if alone:
            await _mark(run, backend)
        else:
            self.end()
        ending = begin(self._end_in_time(run, alone, backend, health))
        try:
            yield
        finally:
            ending.cancel()

    async def quiet(self, limit: float) -> bool:
        """Wait until nothing else runs; False if something does after `limit` seconds."""
        self._waiters += 1
        try:
            async with asyncio.timeout(limit):
                while self._inside:
                    self._left.clear()
                    await self._left.wait()
        except TimeoutError:
            pass  # the answer says what still runs: it may have left in this very moment
        finally:
            self._waiters -= 1
        return not (self._inside or self._overstays)

    async def _end_in_time(
        self, run: Run, marked: bool, backend: BaseBackend, health: Health
    ) -> None:
        await asyncio.sleep(isolation_time(run.claim))
        failures = 0
        while marked:  # others may begin only once the store knows that the candidate is not alone
            try:
                await backend.apply(run.claim.queue, [mark_alone(run.claim, False)])
                marked = False
            except StoreError:
                await health.pause(failures)
                failures += 1
        self.end_turn([run])

    def end(self) -> None:
        """Let others begin beside the candidate."""
        if self.active:
            self.active = False
            self._ended.set()
            self._on_end()

    def end_turn(self, runs: Collection[Run]) -> None:
        """The next candidate may have its turn, if it was that of one of these."""
        if self.candidate is not None and self.candidate in runs:
            self.end()
            self.candidate = None


async def _mark(run: Run, backend: BaseBackend) -> None:
    mark = mark_alone(run.claim)
    # From now on the store may have the mark, even if no reply tells so: whoever hands the job
    # back has to take it off, or a crash in which it was not alone would make it poison.
    run.claim = msgspec.structs.replace(run.claim, solo=True)
    (answer,) = await backend.apply(run.claim.queue, [mark])
    if answer != "applied":
        raise ClaimLost
