"""Whether a process's store answers, and whether what it says of ended leases is to be believed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.domain import clock
from asyncmqd.domain.store_clock import StoreClock
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.leases import RENEWALS

# Seconds between tries to reach a store that failed: one that is back is in full use within 1 s.
_FIRST_PAUSE, _LAST_PAUSE = 0.1, 0.8
_CALM = 1.0  # seconds without a failure, before the end of an outage is told


class Health:
    """What all calls of one process tell of its store: outages, warnings, jumps of its clock.

    `lease` is in seconds. `on_failure` are called when an outage begins, `on_recovery` when it
    ends, and `on_jump` when the store's clock has jumped.
    """

    def __init__(self, backend: BaseBackend, lease: float, observer: Observer) -> None:
        self.on_failure: list[Callable[[], None]] = []
        self.on_recovery: list[Callable[[], None]] = []
        self.on_jump: set[Callable[[], None]] = set()
        self._backend = backend
        self._lease = lease
        self._observer = observer
        self.good = True
        self.answered_calls = 0  # to the store, as far as they are told of here
        self.failed_calls = 0
        self._failure = ""  # why the last call failed, while it is not good
        self.since: float | None = None  # when `error` began, by this host's clock
        self._warning = ""  # why jobs are not safe in the store, though it answers
        self._outage_told = False
        self._telling: asyncio.TimerHandle | None = None  # of an outage's end
        self._recovered_at = -1e9  # loop time
        self._clock = StoreClock()

    def begin(self) -> None:
        """The store's clock may have jumped just before: there is nothing to compare it with."""
        self.doubt_leases()

    def end(self) -> None:
        """Nothing is told any more."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    @property
    def error(self) -> str:
        """What is wrong with the store; empty if all is well."""
        return self._failure or self._warning

    # ------------------------------------------------------------------ outages

    def failed(self, error: StoreError) -> None:
        """A call failed: one log line at the first of them."""
        self.failed_calls += 1
        self._failure = str(error) or "it does not answer"
        self.since = self.since or clock.wall()
        self.end()
        if not self.good:
            return
        self.good = False
        if not self._outage_told:
            self._outage_told = True
            self._observer.event("daemon.degraded", error=str(error))
        _call(self.on_failure)

    def answered(self) -> None:
        """A call succeeded: work goes on at once, and one log line when no other fails any more.

        One connection may answer while another cannot be made: that is no end of an outage.
        """
        self.answered_calls += 1
        if self.good:
            return
        self.good = True
        self._failure = self._warning = ""  # what is still wrong is told again
        self.since = None
        loop = asyncio.get_running_loop()
        self._recovered_at = loop.time()
        self._telling = loop.call_later(_CALM, self._tell_end)
        _call(self.on_recovery)

    def _tell_end(self) -> None:
        self._telling, self._outage_told = None, False
        self._observer.event("daemon.recovered")

    async def pause(self, failures: int) -> None:
        """Sleep before the next try: exponential with jitter, at most 0.8 s."""
        bound = min(_LAST_PAUSE, _FIRST_PAUSE * 2 ** min(failures, 10))
        await asyncio.sleep(bound * (0.5 + clock.draw() / 2))

    async def persistently(self, step: Callable[[], Awaitable[object]]) -> None:
        """Call `step` for ever; after a StoreError, pause and go on."""
        failures = 0
        while True:
            try:
                await step()
                failures = 0
            except StoreError as error:
                self.failed(error)
                await self.pause(failures)
                failures += 1

    # ------------------------------------------------------------------ durability

    async def look_at_durability(self) -> bool:
        """One log line when jobs are no longer safe in the store, and one when they are again.

        Answers whether that is new since the last look.
        """
        before = self._warning
        with contextlib.suppress(StoreError):  # others tell that it fails
            warning = await self._backend.durability_warning()
            if warning and warning != self._warning:
                self._observer.event("daemon.degraded", error=warning)
            elif self._warning and not warning:
                self._observer.event("daemon.recovered")
            self._warning = warning
            self.since = (self.since or clock.wall()) if self.error else None
        return self._warning != before

    # ------------------------------------------------------------------ the store's clock

    def note_reply(self, now: float, asked: float) -> None:
        """The store told its time; `asked` is the loop time of the question.

        A stall may be too short for an outage and too long for leases: their holders could not
        renew them meanwhile. And if the clock jumps, leases of living holders may end.
        """
        answered = asyncio.get_running_loop().time()
        jump = self._clock.note(now, asked, answered)
        if jump or answered - asked > self._lease / RENEWALS:
            self.doubt_leases()
        if jump:
            self._observer.event("store.clock_jumped", by=round(jump, 3))
            _call(self.on_jump)

    def doubt_leases(self) -> None:
        """Leases of living holders may have ended: these get the time of one renewal to say so."""
        self._recovered_at = asyncio.get_running_loop().time()

    async def ask_time(self, ask: Callable[[], Awaitable[float]]) -> None:
        """Look at the store's clock. Raises StoreError."""
        asked = asyncio.get_running_loop().time()
        self.note_reply(await ask(), asked)

    @property
    def may_recover(self) -> bool:
        """Whether leases that ended are to be believed.

        After an outage, or a jump of the store's clock, all of them look ended; their holders get
        one renewal to say otherwise. So they do when we begin, and know nothing of either.
        """
        since = asyncio.get_running_loop().time() - self._recovered_at
        return self.good and since > self._lease / RENEWALS


def _call(listeners: Iterable[Callable[[], None]]) -> None:
    for tell in list(listeners):
        tell()
