"""How a job is named outside of a process, without the secrets of its store."""

from __future__ import annotations

import copy
import re
from typing import Any, Self

from asyncmqd.backends.base import BaseBackend
from asyncmqd.client.connection import NotConfigured, resolve
from asyncmqd.domain.options import ID, QUEUE, shown

_HIDDEN = "***"  # what a URL shows in place of a login

# An id may have any printable character. `~` stands before the code of those that mean something
# in a URL; `%` would be taken away on the way.
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_ESCAPED = re.compile(r"~([0-9A-F]{2})")


def ref_of(queue: str, id: str) -> str:
    """Queue and id as one text; no name of a queue has a point."""
    return f"{queue}.{_UNSAFE.sub(lambda found: f'~{ord(found[0]):02X}', id)}"


def read_ref(ref: str) -> tuple[str, str]:
    """The queue and the id. Raises ValueError for what is no ref."""
    try:
        queue, _, id = ref.partition(".")
        id = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), id)
        return str(QUEUE.check(queue)), str(ID.check(id))
    except (AttributeError, ValueError):
        raise ValueError(f"expected the ref of a job, QUEUE.ID, got {shown(ref)}") from None


class PublicURL(str):
    """The URL of a store as a pickle has it: without its password."""

    __slots__ = ()


class OfStore:
    """What names a store. Only a pickle goes without it: a copy has the very same."""

    _named: str | BaseBackend | None

    def __copy__(self) -> Self:
        again = object.__new__(type(self))
        vars(again).update(vars(self))
        return again

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self)] = again = self.__copy__()
        vars(again).update(
            (name, value if name == "_named" else copy.deepcopy(value, memo))
            for name, value in vars(self).items()
        )
        return again


def store_of(named: str | BaseBackend | None) -> BaseBackend:
    """The store meant by a URL, an instance, or None for the configured one.

    A public URL means the process's own store if that shows this URL: it can log in. Raises
    NotConfigured.
    """
    if not isinstance(named, PublicURL):
        return resolve(named)
    try:
        own: BaseBackend | None = resolve(None)
    except NotConfigured:
        own = None
    if own is not None and own.url == named:
        return own
    if _HIDDEN in named:
        raise NotConfigured(
            f"expected connect(URL) with the password of {named}: it does not come along"
        )
    return resolve(str(named))
