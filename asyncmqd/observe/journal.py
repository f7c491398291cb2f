"""The journal's native protocol: one datagram an entry, with fields to search by.

The JSON line is the MESSAGE, so `-o cat` shows what a file would hold.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import termios
import time
import uuid
from array import array
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from asyncmqd.domain.safe_text import clean
from asyncmqd.observe.json_lines import json_line, text_of

SOCKET = "/run/systemd/journal/socket"

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
JOB_FIELDS = {
    "job_id": b"JOB_ID",
    "job_key": b"JOB_KEY",
    "queue": b"QUEUE",
    "task": b"TASK",
    "attempt": b"ATTEMPT",
    "worker": b"WORKER",
}
# With a MESSAGE of LINE_LIMIT these make 80 KB at most. A socket takes 208 KiB unless somebody
# lowered that, so an entry fits into a datagram, and passing it in a memfd is never needed.
_VALUE_LIMIT = 1_000  # characters
_LOOKS = 100
_EVENTS = uuid.UUID("5f0e4c1c-6a5b-4d0e-9f0a-6c3b8f5b7a21")  # the namespace of MESSAGE_ID


def is_journal(fd: int, environ: Mapping[str, str]) -> bool:
    """Whether that descriptor leads to the journal: systemd says of which one in JOURNAL_STREAM.

    The variable alone proves nothing: who redirects the output of a service inherits it.
    """
    status = os.fstat(fd)
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def entry(event: Mapping[str, Any], job: Mapping[str, Any], *, ours: bool) -> bytes:
    """The datagram for one event.

    `job` is where JOB_ID, QUEUE, TASK, ATTEMPT and WORKER are taken from. An event of `ours`, not
    of the application, has EVENT and MESSAGE_ID as well.
    """
    parts = [b"MESSAGE=", json_line(event), _constant(event["level"], event["event"], ours)]
    for key, name in JOB_FIELDS.items():
        value = job.get(key)
        if value is not None:
            parts.append(_field(name, value))
    return b"".join(parts)


def tell_errors(lines: Iterable[str]) -> bool:
    """Send these lines to the journal as errors of ours, which are no events; whether it took them.

    Not by a "<3>" in front: the unit has the journal take none for a priority, since programs of
    jobs write to the same stream.
    """
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(SOCKET)
        sender.setblocking(False)
        for line in lines:
            sender.send(b"MESSAGE=%b%b" % (clean(line).encode(), _of_level("error")))
        _wait_until_taken(sender)
        return True
    return False


def _wait_until_taken(sender: socket.socket) -> None:
    """The journal looks up whose process sent it, which may be about to end: a second at most."""
    for _ in range(_LOOKS):
        (unread,) = array("i", fcntl.ioctl(sender, termios.TIOCOUTQ, bytes(4)))
        if not unread:
            return
        time.sleep(1 / _LOOKS)


def message_id(event: str) -> str:
    """The MESSAGE_ID of one of our events, the same in every process and release."""
    return uuid.uuid5(_EVENTS, event).hex


def _constant(level: str, event: str, ours: bool) -> bytes:
    return _of_event(level, event) if ours else _of_level(level)


@cache
def _of_level(level: str) -> bytes:
    return f"\nPRIORITY={_PRIORITIES.get(level, 6)}\nSYSLOG_IDENTIFIER=asyncmqd\n".encode()


@cache
def _of_event(level: str, event: str) -> bytes:
    return _of_level(level) + f"EVENT={event}\nMESSAGE_ID={message_id(event)}\n".encode()


def _field(name: bytes, value: object) -> bytes:
    # Without a newline, what follows can be no field of its own.
    return b"%b=%b\n" % (name, clean(text_of(value)[:_VALUE_LIMIT])[:_VALUE_LIMIT].encode())
