"""The event loop of the daemon, and of each of its child processes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any

import uvloop


def run_loop(work: Coroutine[Any, Any, int]) -> int:
    """Run it to its end in a loop of this process; its exit code."""
    _tame_collector()
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop.run_until_complete(work)


def _tame_collector() -> None:
    """What is loaded by now stays for good, so that collecting garbage need not walk through it.

    Jobs make few cycles; with the default thresholds the collector takes a tenth of a busy loop.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
