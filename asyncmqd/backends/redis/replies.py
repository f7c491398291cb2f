"""What a server answers that is no value, and what reads the answers."""

from __future__ import annotations

import sys
from typing import Any

import hiredis

NOTHING_YET: Any = object()  # what a reader has while a reply is not complete
_TOO_MANY = "max number of clients reached"


class LostConnection(ConnectionError):
    """The connection could not be made, or it broke, or what came is no reply."""


class Refused(Exception):
    """A server's answer in the place of a value. The text has its code, unless that is only ERR."""

    def __init__(self, text: str) -> None:
        self.code = text.partition(" ")[0]
        super().__init__(text.removeprefix("ERR "))


def reader() -> hiredis.Reader:
    """Takes bytes, and gives replies: a `Refused` is one of them."""
    return hiredis.Reader(
        protocolError=LostConnection, replyError=_error, notEnoughData=NOTHING_YET
    )


def _error(text: str) -> Exception:
    """A server at its limit says so to each new connection, and closes it."""
    return LostConnection(_TOO_MANY) if text.endswith(_TOO_MANY) else Refused(text)


def of_redis_py(*names: str) -> tuple[type[Exception], ...]:
    """These errors of redis-py, if anybody has imported it; else nobody can raise them."""
    errors = sys.modules.get("redis.exceptions")
    return () if errors is None else tuple(getattr(errors, name) for name in names)


def has_code(error: object, codes: frozenset[str], *kinds: str) -> bool:
    """Whether a server answered with one of these codes; redis-py makes these kinds of them."""
    if isinstance(error, Refused):
        return error.code in codes
    return isinstance(error, of_redis_py(*kinds))


def is_unknown_script(reply: object) -> bool:
    """Whether a server does not have a script."""
    return has_code(reply, frozenset({"NOSCRIPT"}), "NoScriptError")


def is_out_of_memory(error: object) -> bool:
    """Whether a server is full."""
    return has_code(error, frozenset({"OOM"}), "OutOfMemoryError")
