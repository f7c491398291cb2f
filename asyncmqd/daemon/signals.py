"""Signals become commands in a queue: nothing surprising ever runs inside of a handler."""

from __future__ import annotations

import asyncio
import enum
import os
import signal
from collections.abc import Callable
from typing import Any

from asyncmqd.runtime.forks import take_signals


class Command(enum.Enum):
    """What somebody wants of the daemon."""

    STOP = enum.auto()  # drain and leave; a second time: hand back and leave at once
    RELOAD = enum.auto()
    DUMP = enum.auto()  # log the state and the stack of every running job
    FAILED = enum.auto()  # from inside: the start failed
    RESTART = enum.auto()  # from inside: drain, and leave to be started anew
    LEAVE = enum.auto()  # from inside: everything has been stopped


SIGNALS = {
    signal.SIGTERM: Command.STOP,
    signal.SIGINT: Command.STOP,
    signal.SIGHUP: Command.RELOAD,
    signal.SIGUSR1: Command.DUMP,
}


class Signals:
    """The commands that signals ask for, from the process's first moment on.

    Before the event loop runs there is nothing to drain, but there may be an import that takes
    for ever: TERM and INT end the process at once, and the others are kept for later.
    """

    def __init__(self) -> None:
        self._early: list[Command] = []
        self._put: Callable[[Command], Any] = self._keep

    def catch(self) -> None:
        """Take the signals over; call it before anything that takes time."""
        take_signals(SIGNALS, lambda number, _: self._put(SIGNALS[signal.Signals(number)]))

    def _keep(self, command: Command) -> None:
        if command is Command.STOP:
            # No log line: the signal may have come in the middle of one. An exception would have
            # to make its way through the application's imports.
            os._exit(0)
        self._early.append(command)

    def attach(self, commands: asyncio.Queue[Command]) -> None:
        """From now on, put them into `commands`, those that were kept first."""
        loop = asyncio.get_running_loop()
        self._put = lambda command: loop.call_soon_threadsafe(commands.put_nowait, command)
        for command in self._early:
            commands.put_nowait(command)
