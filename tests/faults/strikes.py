"""What may happen to a process at a failpoint, once in the life of a test.

The mark that it has happened is a file, for the process may not live to remember it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from asyncmqd.backends.base import StoreError
from asyncmqd.domain.failpoints import Step, arm

GO = Path("go")
STRUCK = Path("struck")  # in the directory of the daemon; holds the time of day


def arm_once(step: Step, action: Callable[[], None]) -> None:
    """Do it the first time that the step is reached."""

    def strike() -> None:
        try:
            with STRUCK.open("x") as mark:
                mark.write(repr(time.time()))
        except FileExistsError:
            return
        action()

    arm(step, strike)


def die() -> None:
    """kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def freeze_when_told() -> None:
    """SIGSTOP, once the test has made the file `GO`; the test lets it go on."""
    if GO.exists():
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        STRUCK.unlink()


def lose_reply() -> None:
    """The store has done it, and its answer never comes."""
    raise StoreError("the reply was lost")
