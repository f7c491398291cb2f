"""Who looks at which page, and where the page gets what it shows."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode

from asyncmqd.backends.base import BaseBackend
from asyncmqd.web import api
from asyncmqd.web.authorization import Caller
from asyncmqd.web.server import Request

if TYPE_CHECKING:
    from asyncmqd.admin.causes import Cause
    from asyncmqd.web.dashboard.board import Board

Answer = TypeVar("Answer")
MOST_ARGUMENTS = 50  # of an address
_PATH = re.compile(r"/(?![/\\])[A-Za-z0-9_.~/?=&%+:,*-]*")


class Source(api.Source, Protocol):
    """Who knows the answers."""

    async def read(self, work: Callable[[BaseBackend], Awaitable[Answer]]) -> Answer:
        """Ask the store. Raises CannotDo, with status 503 if the store does not answer."""

    def configured(self) -> Iterable[str]:
        """The queues of the configuration, of which the store may not know yet."""

    def causes(self, of_store: Sequence[Cause]) -> list[Cause]:
        """What is wrong with this daemon, together with what the store said."""


class Part(NamedTuple):
    """A part of a long list: each page is to stay below 100 kB."""

    rows: Sequence[Any]
    begin: int  # how many come before
    number: int  # of all
    argument: str  # of the address, that says where a part begins

    @property
    def next(self) -> int | None:
        """Where the next part begins; None: this is the last one."""
        end = self.begin + len(self.rows)
        return end if self.rows and end < self.number else None


class Moved(Exception):
    """The page is at another address, which is the only argument."""


class Visit(NamedTuple):
    """One request of a person."""

    request: Request
    path: str  # without the prefix
    caller: Caller
    source: Source
    board: Board

    @property
    def rest(self) -> str:
        """The path behind its first part."""
        return unquote(self.path.removeprefix("/").partition("/")[2])

    @property
    def query(self) -> dict[str, str]:
        """The arguments of the address, without those that are empty."""
        return dict(parse_qsl(self.request.query))

    def part(self, rows: Sequence[Any], most: int, argument: str = "from") -> Part:
        """The rows that are asked for, at most so many."""
        given = self.query.get(argument, "0")
        begin = int(given) if given.isascii() and given.isdecimal() and len(given) < 8 else 0
        return Part(rows[begin : begin + most], begin, len(rows), argument)

    @property
    def here(self) -> str:
        """The address of the page, without the prefix."""
        return local_path(self.path + (f"?{self.request.query}" if self.request.query else ""))


def local_path(text: str) -> str:
    """The text if it is the address of one of our pages, else that of the first one."""
    return text if _PATH.fullmatch(text) else "/"


def address(path: str, **query: Any) -> str:
    """The address of a page, without the prefix. What is None or empty is left out."""
    named = {name: str(value) for name, value in query.items() if value not in {None, ""}}
    return quote(path) + (f"?{urlencode(named, quote_via=quote)}" if named else "")


def job_address(queue: str, id: str) -> str:
    """The address of the page of a job, without the prefix."""
    return address("/job", queue=queue, id=id)
