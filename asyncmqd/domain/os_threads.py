"""Threads of the operating system, also where gevent or eventlet have put greenlets in their place.

An event loop, or SQLite, in a greenlet would hold up all the others.
"""

from __future__ import annotations

import _thread  # noqa: F401 - for `original`
import queue
import sys
import threading
import time  # noqa: F401 - the same
from collections.abc import Callable
from typing import Any, Literal


def patched_by() -> Literal["gevent", "eventlet"] | None:
    """Who has put greenlets in the place of this process's threads."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        return "gevent"
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return "eventlet"
    return None


def original(module: str, name: str) -> Any:
    """What Python itself has under that name, in a module that is imported."""
    match patched_by():
        case "gevent":
            return sys.modules["gevent.monkey"].get_original(module, name)
        case "eventlet":
            return getattr(sys.modules["eventlet.patcher"].original(module), name)
        case None:
            return getattr(sys.modules[module], name)


def lock() -> threading.Lock:
    """One that any thread may open."""
    made: threading.Lock = original("_thread", "allocate_lock")()
    return made


def rlock() -> threading.RLock:
    """One that its holder may take again."""
    made: threading.RLock = original("_thread", "RLock")()
    return made


def simple_queue() -> queue.SimpleQueue[Any]:
    """One that any thread may put into."""
    made: queue.SimpleQueue[Any] = original("queue", "SimpleQueue")()
    return made


def sleep(seconds: float) -> None:
    """Let other threads run, and no greenlet of this one."""
    original("time", "sleep")(seconds)


def start(run: Callable[[], None], name: str) -> None:
    """Start a daemon thread. Raises RuntimeError if the system gives none."""
    if patched_by():
        start_and_go_on(run)
    else:
        threading.Thread(target=run, name=name, daemon=True).start()


def start_and_go_on(run: Callable[[], None]) -> None:
    """The same for a thread without a name, and nobody waits until it runs, as `Thread.start` does:
    on a busy host that can be long. Raises RuntimeError if the system gives none.
    """
    original("_thread", "start_new_thread")(run, ())
