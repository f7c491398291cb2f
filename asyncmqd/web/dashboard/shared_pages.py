"""Pages that are made once for all who look at the same one, with a place for what is their own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from html import escape
from typing import NamedTuple

from asyncmqd.domain import clock
from asyncmqd.domain.loop_tasks import begin, retrieve_error
from asyncmqd.web.server import Response

FRESH = 1.0  # seconds for which a page is shown to all
_MOST = 200  # pages that are kept

Key = tuple[str, bool]
"""The address, and whether whoever looks may operate."""


class Own(NamedTuple):
    """What a page has of the one who looks: it is put in when the page is sent."""

    name: str
    form: str


class _Kept(NamedTuple):
    at: float
    page: Response


class SharedPages:
    """Keeps each page for a moment, also one that says what is wrong."""

    def __init__(self) -> None:
        self._kept: dict[Key, _Kept] = {}
        self._making: dict[Key, asyncio.Task[Response]] = {}
        # No producer knows these, so none can write them into a job.
        self.places = Own(name=os.urandom(32).hex(), form=os.urandom(32).hex())

    async def get(self, key: Key, make: Callable[[], Awaitable[Response]]) -> Response:
        """The page, with places for what is one's own. Who comes while it is made waits for it."""
        kept = self._kept.get(key)
        if kept is not None and clock.monotonic() - kept.at < FRESH:
            return kept.page
        making = self._making.get(key)
        if making is None:
            making = self._making[key] = begin(self._make(key, make))
            making.add_done_callback(retrieve_error)
        return await asyncio.shield(making)

    async def _make(self, key: Key, make: Callable[[], Awaitable[Response]]) -> Response:
        task, begun = asyncio.current_task(), clock.monotonic()
        try:
            page = await make()
            if self._making.get(key) is task:
                self._kept.pop(key, None)  # so that the oldest is the first
                self._kept[key] = _Kept(begun, page)
                while len(self._kept) > _MOST or self._oldest < begun - FRESH:
                    del self._kept[next(iter(self._kept))]
            return page
        finally:
            if self._making.get(key) is task:
                del self._making[key]

    @property
    def _oldest(self) -> float:
        """When the first page was begun: what nobody gets any more is not kept."""
        return next(iter(self._kept.values())).at

    def forget(self) -> None:
        """Somebody has changed something: pages that are being made may not show it."""
        self._kept.clear()
        self._making.clear()

    def filled(self, page: Response, own: Own) -> Response:
        """The page for somebody."""
        body = page.body.replace(self.places.name.encode(), escape(own.name).encode())
        return page._replace(body=body.replace(self.places.form.encode(), own.form.encode()))
