"""The addresses of a host's name, looked up in a thread of our own.

Nobody can end a look-up that waits for a silent name server. asyncio has it done by the threads of
the application, one for each attempt, and a loop ends only when they have; uvloop has four threads
for all of a process. Here one thread looks up a name, for all who wait for it, and no end waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from functools import partial
from typing import Any

from asyncmqd.domain import os_threads

Found = tuple[int, int, int, str, Any]
"""An address as `getaddrinfo` tells it."""

_Name = tuple[str, int]  # of a host, and its port
_Waiting = tuple[asyncio.AbstractEventLoop, asyncio.Future[list[Found]]]


class _LookUp:
    """One that is under way, and who waits for it."""

    def __init__(self) -> None:
        self.waiting: list[_Waiting] = []
        self.has_thread = False


# Changed by single steps, and by no lock: the handler of a signal may come between any two of them,
# and wait for another thread that connects; or it raises, and the next one who comes goes on.
_under_way: dict[_Name, _LookUp] = {}


async def addresses(host: str, port: int) -> list[Found]:
    """In the order of the system. Raises OSError, and UnicodeError for what can be no name."""
    look_up = os_threads.original("socket", "getaddrinfo")
    with contextlib.suppress(socket.gaierror):  # a number is no name
        numbers: list[Found] = look_up(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
        return numbers
    name = host, port
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[Found]] = loop.create_future()
    under_way = _joined(name, (loop, future))
    if not under_way.has_thread:
        try:
            os_threads.start(partial(_look_up, name), "asyncmqd-names")
            under_way.has_thread = True
        except RuntimeError as error:
            _tell(name, OSError(f"no thread can be started to look up {host}: {error}"))
    return await future


def _joined(name: _Name, waiting: _Waiting) -> _LookUp:
    """The look-up for which this one waits, too."""
    while True:
        found = _under_way.setdefault(name, _LookUp())
        found.waiting.append(waiting)
        if _under_way.get(name) is found:  # else the others were told in this very moment
            return found


def _look_up(name: _Name) -> None:
    look_up = os_threads.original("socket", "getaddrinfo")
    try:
        _tell(name, look_up(*name, type=socket.SOCK_STREAM))
    except Exception as error:  # noqa: BLE001 - it is theirs who wait
        _tell(name, error)


def _tell(name: _Name, told: list[Found] | Exception) -> None:
    found = _under_way.pop(name, None)
    for loop, future in found.waiting if found else ():
        with contextlib.suppress(RuntimeError):  # a loop that is closed
            loop.call_soon_threadsafe(_settle, future, told)


def _settle(future: asyncio.Future[list[Found]], told: list[Found] | Exception) -> None:
    if future.done():  # nobody waits any more, or it was told by two
        return
    if isinstance(told, Exception):
        future.set_exception(told)
    else:
        future.set_result(told)


# In a forked child: the threads are the parent's.
os.register_at_fork(after_in_child=_under_way.clear)
