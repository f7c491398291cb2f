"""The end of a process whose threads may never end."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
from typing import NoReturn

from asyncmqd.observe.captured_streams import finish
from asyncmqd.runtime.forks import take_signals

LEAVE_LIMIT = 3.0  # seconds

_ending = False  # whether the last step has begun


def leave(code: int, limit: float = LEAVE_LIMIT) -> NoReturn:
    """End the process as Python does at its exit, but for threads, of which none is waited for.

    What was registered with `atexit` runs: clients of Sentry or OpenTelemetry send there what they
    still hold. It gets `limit` seconds, and a signal to stop ends it at once.
    """
    with contextlib.suppress(RuntimeError):  # no thread can be started: nothing would limit it
        over = threading.Timer(limit, _end_now, [code])
        over.daemon = True
        over.start()
        take_signals({signal.SIGTERM, signal.SIGINT}, lambda *_: _end_now(code))
        atexit._run_exitfuncs()  # noqa: SLF001 - as multiprocessing does in its children
    _end(code)


def _end_now(code: int) -> NoReturn:
    """By a signal or the time: what the last step is at may hold the very lock that it takes."""
    if _ending:
        os._exit(code)
    _end(code)


def _end(code: int) -> NoReturn:
    global _ending  # noqa: PLW0603 - of the process, which ends once
    _ending = True
    with contextlib.suppress(Exception):  # a child's parent may be gone
        finish()
    # A plain function that never returns holds a thread, and an ordinary exit would wait for it.
    os._exit(code)
