"""Connected sockets: to one of a name's addresses, or to a unix socket.

What event loops offer is not enough. They try the addresses of a name in turn, so that one that is
silent uses up the time of every call, and the others are never tried. A unix socket whose backlog
is full has a connection that blocks wait; asyncio takes it for connected, and uvloop fails.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Sequence

from asyncmqd.backends.redis.lookups import Found, addresses
from asyncmqd.domain import os_threads
from asyncmqd.domain.loop_tasks import begin, retrieve_error

STAGGER = 0.25  # seconds that an address may be silent until the next one is tried beside it
# A connection that leads nowhere any more is noticed while it is idle. And nothing that is sent
# waits for what was sent before to arrive.
_OPTIONS = {
    socket.TCP_NODELAY: 1,
    socket.TCP_KEEPIDLE: 30,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 3,
}
_PAUSE, _LONGEST_PAUSE = 0.001, 0.05  # seconds between two tries while a backlog is full

_Attempt = asyncio.Task[socket.socket]


async def to_host(host: str, port: int) -> socket.socket:
    """By TCP. Raises OSError, and UnicodeError for a name that cannot be one."""
    found = await addresses(host, port)
    return await (_connected(found[0]) if len(found) == 1 else _first(found))


async def to_path(path: str) -> socket.socket:
    """By a unix socket; a full backlog is waited for. Raises OSError."""
    line = _socket(socket.AF_UNIX)
    pause = _PAUSE
    try:
        line.setblocking(False)
        while True:
            try:
                line.connect(path)
            except BlockingIOError:  # nothing tells when there is a place
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                return line
    except BaseException:
        line.close()
        raise


def to_path_in_a_thread(path: str, seconds: float) -> socket.socket:
    """The same for who has no event loop; it blocks so long at most."""
    line = _socket(socket.AF_UNIX)
    try:
        # Python's own time limit would make it a socket that does not wait for a full backlog.
        whole = int(seconds)
        limit = struct.pack("ll", whole, int((seconds - whole) * 1_000_000))
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        line.connect(path)
        line.settimeout(seconds)
    except BaseException:
        line.close()
        raise
    return line


def _socket(*kind: int) -> socket.socket:
    """Not one that stands for it where there are greenlets: event loops could not use that."""
    made: socket.socket = os_threads.original("socket", "socket")(*kind)
    return made


async def _connected(found: Found) -> socket.socket:
    family, kind, protocol, _, address = found
    line = _socket(family, kind, protocol)
    try:
        line.setblocking(False)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _OPTIONS.items():
            line.setsockopt(socket.IPPROTO_TCP, option, value)
        await asyncio.get_running_loop().sock_connect(line, address)
    except BaseException:
        line.close()
        raise
    return line


async def _first(found: Sequence[Found]) -> socket.socket:
    """Of the addresses in their order that which takes a connection. RFC 8305 says it like this."""
    trying: set[_Attempt] = set()
    try:
        return await _race(deque(found), trying)
    finally:
        for attempt in trying:
            if not attempt.cancel() and _error_of(attempt) is None:
                attempt.result().close()  # two were connected at once


def _error_of(attempt: _Attempt) -> BaseException | None:
    """An application may cancel all tasks, also one that is none of its own."""
    return OSError("cancelled") if attempt.cancelled() else attempt.exception()


async def _race(left: deque[Found], trying: set[_Attempt]) -> socket.socket:
    """`trying` has those that are under way, or connected too late, at the end as well."""
    failures: list[str] = []
    while left or trying:
        if left:
            attempt = begin(_connected(left.popleft()))
            attempt.add_done_callback(retrieve_error)
            trying.add(attempt)
        limit = STAGGER if left else None
        await asyncio.wait(trying, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        for attempt in [each for each in trying if each.done()]:
            trying.discard(attempt)
            if (error := _error_of(attempt)) is None:
                return attempt.result()
            failures.append(str(error))
    raise OSError("; ".join(dict.fromkeys(failures)))
