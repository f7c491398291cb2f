"""What goes over the control socket: frames of four bytes of length (big-endian) and JSON."""

from __future__ import annotations

import struct
from typing import Any, Literal, get_args

import msgspec

HEADER = struct.Struct("!I")
REQUEST_LIMIT = 64 * 1024  # bytes
REPLY_LIMIT = 16 * 1024 * 1024  # bytes

CommandName = Literal["ping", "status", "plan", "config", "reload"]
COMMANDS: frozenset[str] = frozenset(get_args(CommandName))
"""What the daemon itself answers; the verbs of the store come beside it, see `admin.verbs`."""
OPERATE: frozenset[CommandName] = frozenset({"reload"})
"""Commands that change something. The others read."""


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """One question to the daemon."""

    command: str
    arguments: dict[str, Any] = {}  # of a verb of the store


class Reply(msgspec.Struct, omit_defaults=True):
    """The answer: `result`, or with `ok` false the reason in `error`."""

    ok: bool
    error: str = ""
    result: Any = None


def pack(message: msgspec.Struct) -> bytes:
    """The message as a frame."""
    data = msgspec.json.encode(message)
    return HEADER.pack(len(data)) + data
