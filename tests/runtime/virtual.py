"""Virtual time: an event loop whose clock jumps to the next timer as soon as nothing is ready.

It has no sockets and no threads; a test that needs those runs on the real loop. What waits for
nothing and has no timer is a deadlock, and said to be one.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

EPOCH = 1_800_000_000.0  # what the store's clock shows when a test begins


class _NoWaiting(selectors.SelectSelector):
    """A selector that never waits: it lets the loop's clock pass instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("deadlock: nothing is ready, and nothing ever will be")
            self.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, which starts at 0."""

    def __init__(self) -> None:
        self._virtual = _NoWaiting()
        super().__init__(self._virtual)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._virtual.now


def store_clock() -> float:
    """The clock to give to a store: the running loop's time, since `EPOCH`."""
    return EPOCH + asyncio.get_running_loop().time()


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on virtual time; whatever it leaves running is cancelled."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
