"""What the daemon and its child processes say to each other: frames like the control socket's.

What children answer is msgpack, not JSON: what they have counted is a hundred kilobytes of bytes.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Literal

import msgspec

from asyncmqd.admin.enqueue import EnqueueArguments, Enqueued
from asyncmqd.config.errors import Path as KeyPath
from asyncmqd.daemon.control_protocol import HEADER
from asyncmqd.daemon.process_report import Report
from asyncmqd.observe.metrics import Counted

IN_ORDER = 100  # exit code of a child that was told to end; 0 is what any job can say by os._exit

OrderName = Literal[
    "serve", "prepare", "apply", "report", "count", "dump", "stop", "hand_back", "enqueue"
]


class Hello(msgspec.Struct):
    """The first frame to a child. Its first answer tells how importing the application went."""

    number: int  # from 1
    processes: int
    instance: str  # the daemon's
    path: list[str]  # where the daemon finds modules
    config: str
    settings: msgspec.Raw
    log_fd: int | None  # a pipe for log lines; None: standard output is for it, too
    log_format: Literal["auto", "json", "console"]
    beat: float  # seconds between signs of life


class Order(msgspec.Struct, omit_defaults=True):
    """What a child is to do. Each is answered once it is done."""

    id: int
    name: OrderName
    settings: msgspec.Raw = msgspec.Raw(b"null")
    job: EnqueueArguments | None = None  # of "enqueue"
    declares: bool = True  # of "serve": no child before it has declared the limits of these


class Answer(msgspec.Struct, omit_defaults=True):
    """From a child: to the order of that id, or with 0 unasked, a sign of life."""

    id: int = 0
    error: str = ""
    problems: list[tuple[KeyPath, str]] = []  # with the configuration, by the path of the key
    warnings: list[str] = []  # of "apply": what is new that is probably wrong
    report: Report | None = None
    counted: Counted | None = None
    enqueued: Enqueued | None = None
    refused: str = ""  # why the job was not enqueued
    is_wrong: bool = False  # since what was asked means nothing
    code: str = ""  # with the first of child 1: a stamp of the application's code


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame. Raises EOFError (IncompleteReadError is one) or OSError at the end."""
    (size,) = HEADER.unpack(await reader.readexactly(HEADER.size))
    return await reader.readexactly(size)


def receive_frame(line: socket.socket) -> bytes:
    """The next frame of a socket that blocks. Raises EOFError at the end."""
    (size,) = HEADER.unpack(_receive(line, HEADER.size))
    return _receive(line, size)


def _receive(line: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = line.recv(size - len(data))
        if not part:
            raise EOFError("the other end is gone")
        data += part
    return bytes(data)


def pack_answer(answer: Answer) -> bytes:
    """The answer as a frame."""
    data = msgspec.msgpack.encode(answer)
    return HEADER.pack(len(data)) + data


unpack_answer = msgspec.msgpack.Decoder(Answer).decode
