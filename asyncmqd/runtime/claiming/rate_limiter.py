"""`RateLimiter`: a token bucket that counts starts, not intentions."""

from __future__ import annotations

import asyncio
import contextlib
import math

_EPSILON = 1e-9  # tokens: what rounding may have taken from a full one


class RateLimiter:
    """At most `burst` starts at once, and on average `rate` starts per `interval` seconds.

    No window of T seconds has more than burst + rate * T / interval starts. `burst` is
    `rate` (at least 1) unless given. A rate of 0 blocks for ever, by design. A start takes one
    token; what its job costs beyond that is known when it starts, and is paid before the next.

    A token is *reserved* before a claim and taken when the job *starts*. Tokens that a claim did
    not use go back. Until then a reserved token still occupies its place in the bucket: a bucket
    that refilled during a slow round trip would allow a second burst directly after the first one.
    Raises ValueError for a negative rate, an interval of 0 or a burst below 1.
    """

    def __init__(self, rate: float, interval: float = 1.0, burst: float | None = None) -> None:
        self._reserved = 0
        self._configure(rate, interval, burst)
        self._tokens = self._burst
        self._checked: float | None = None  # loop time of the last refill
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()  # set when a start, a refund or a change made room

    def _configure(self, rate: float, interval: float, burst: float | None) -> None:
        if not rate >= 0 or math.isinf(rate):
            raise ValueError(f"rate: expected 0 or more, got {rate!r}")
        if not interval > 0 or math.isinf(interval):
            raise ValueError(f"interval: expected seconds above 0, got {interval!r}")
        if burst is not None and not burst >= 1:
            raise ValueError(f"burst: expected 1 or more, got {burst!r}")
        self.rate, self.interval = rate, interval
        self._per_second = rate / interval
        self._burst = max(1.0, rate if burst is None else burst) if rate else 0.0

    def change(self, rate: float, interval: float = 1.0, burst: float | None = None) -> None:
        """Take other numbers; min(tokens, new burst) of what is in the bucket stays."""
        self._refill()
        self._configure(rate, interval, burst)
        self._tokens = min(self._tokens, self._burst)
        self._room.set()

    @property
    def available(self) -> int:
        """How many tokens can be reserved now."""
        self._refill()
        return max(0, math.floor(self._tokens - self._reserved + _EPSILON))

    def reserve(self, wanted: int) -> int:
        """Reserve up to `wanted` tokens; how many there were."""
        count = min(wanted, self.available)
        self._reserved += count
        return count

    def start(self, count: int = 1) -> None:
        """The jobs of `count` reserved tokens start now."""
        self._refill()
        self._reserved -= count
        self._tokens -= count
        self._room.set()

    def charge(self, tokens: int) -> None:
        """A job that has started costs so many more: they are owed before another may start."""
        self._refill()
        self._tokens -= tokens

    def refund(self, count: int) -> None:
        """`count` reserved tokens were not needed."""
        self._reserved -= count
        self._room.set()

    def wait_time(self) -> float:
        """Seconds until one token can be reserved; infinity while that depends on others."""
        self._refill()
        missing = 1 - (self._tokens - self._reserved)
        if missing <= _EPSILON:
            return 0.0
        full = self._burst - self._reserved < 1  # only a start or a refund makes room
        return math.inf if full or not self._per_second else missing / self._per_second

    async def acquire(self) -> None:
        """Wait for one token and start with it. Callers are served in their order."""
        async with self._turn:
            while not self.reserve(1):
                self._room.clear()
                pause = self.wait_time()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if math.isinf(pause) else pause):
                        await self._room.wait()
            self.start(1)

    def _refill(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._checked is not None:
            gained = (now - self._checked) * self._per_second
            self._tokens = min(self._burst, self._tokens + gained)
        self._checked = now
