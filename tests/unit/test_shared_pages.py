"""Pages that are made once for all who look."""

from __future__ import annotations

import asyncio

import pytest

from asyncmqd.web.dashboard import shared_pages
from asyncmqd.web.dashboard.shared_pages import SharedPages
from asyncmqd.web.server import Response


def test_pages_that_nobody_gets_any_more_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each address that somebody thinks of would keep 100 kB."""
    made: list[str] = []

    async def ask(pages: SharedPages, path: str) -> None:
        async def make() -> Response:
            made.append(path)
            return Response(200, path.encode())

        assert (await pages.get((path, False), make)).body == path.encode()

    async def kept() -> int:
        pages = SharedPages()
        for path in ("/a", "/a", "/b", "/c"):
            await ask(pages, path)
        return len(pages._kept)

    assert asyncio.run(kept()) == 3
    assert made == ["/a", "/b", "/c"]
    monkeypatch.setattr(shared_pages, "FRESH", 0.0)
    assert asyncio.run(kept()) == 1
