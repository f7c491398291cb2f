"""How a worker signs up for a job, and the message by which it gets one: see _assign.lua."""

from __future__ import annotations

import msgspec

from asyncmqd.backends.redis import encoding
from asyncmqd.domain.job import Claim

MARK = b"\1"
"""The first byte of such a message; other messages are text."""
FAULTS = (ValueError, RecursionError)
"""What `read` and `claim_of` raise for a message that is none of ours."""
_LENGTH = 5  # digits of the lengths of its head and its run

_head = msgspec.msgpack.Decoder(tuple[str, int, int, str]).decode


class Message(msgspec.Struct, frozen=True):
    """What a worker is told."""

    base: bytes  # of its queue
    sign_up: int
    now: int  # by the store's clock, microseconds
    id: str
    run: bytes
    string: bytes


def sign_up(worker: str, lease: float, number: int) -> bytes:
    """For turn.lua."""
    return msgspec.msgpack.encode((worker, encoding.micros(lease), number))


def read(message: bytes) -> Message:
    """The parts of a message."""
    begin = 1 + 2 * _LENGTH
    head = begin + int(message[1 : 1 + _LENGTH])
    run = head + int(message[1 + _LENGTH : begin])
    base, number, now, id = _head(message[begin:head])
    return Message(base.encode(), number, now, id, message[head:run], message[run:])


def claim_of(message: Message, queue: str, most: int) -> Claim:
    """The claim that it tells of; of a longer string `most` bytes."""
    string, size = message.string[:most], len(message.string)
    cut = {0: size} if size > most else None
    [claim] = encoding.claims(queue, message.now, [message.id], message.run, [string], cut)
    return claim
