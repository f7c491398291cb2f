"""The pages of a daemon, without one."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec
import pytest

from asyncmqd.admin.errors import NotFound
from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import BaseBackend
from asyncmqd.config.http import Http
from asyncmqd.domain.heartbeat import About, Load, Serving
from asyncmqd.domain.operation import Order, encode
from asyncmqd.domain.schedule import Repeatable
from asyncmqd.domain.states import State
from asyncmqd.web.authorization import Access
from asyncmqd.web.dashboard.site import Site
from asyncmqd.web.dashboard.visit import Source
from asyncmqd.web.server import Request, Response
from asyncmqd.web.sessions import Sessions
from tests.cli.test_jobs import new
from tests.eventually import eventually

LARGEST = 100_000  # bytes of a page


class Asked:
    """Whom the pages ask: `before` is waited for before each answer of the store."""

    def __init__(self) -> None:
        self.store = InMemoryBackend()
        self.before: Callable[[], Awaitable[Any]] = lambda: asyncio.sleep(0)

    async def read(self, work: Callable[[BaseBackend], Awaitable[Any]]) -> Any:
        """See `Source`."""
        await self.before()
        return await work(self.store)

    def configured(self) -> list[str]:
        """See `Source`."""
        return ["mail"]

    def causes(self, of_store: Any) -> Any:
        """See `Source`."""
        return of_store


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def site(asked: Asked) -> Site:
    http = Http(listen="127.0.0.1:1")
    access = Access(http)
    return Site(access, Sessions(access, ""), http, cast("Source", asked), lambda *_: None)


async def look(site: Site, path: str) -> str:
    path, _, query = path.partition("?")
    asked = Request("GET", path, {"host": "127.0.0.1:1"}, "127.0.0.1", query=query)
    answer = await site.answer(asked, path)
    assert isinstance(answer, Response)
    assert answer.status == 200
    return answer.body.decode()


async def test_a_template_is_compiled_while_the_store_is_asked(site: Site, asked: Asked) -> None:
    """The first page would take the sum of both; the next one is compiled while that is read."""

    async def is_compiled() -> bool:
        return "overview.html" in site._renderer._loaded

    await site._ticks.state()
    asked.before = lambda: eventually(is_compiled)
    assert "No queue has jobs" in await look(site, "/")

    async def is_next_compiled() -> bool:
        return "queue.html" in site._renderer._loaded

    await eventually(is_next_compiled)


async def test_who_is_told_of_a_change_gets_no_page_of_before(
    site: Site, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the page nor what was read for it, though both are kept for a second."""
    assert "No queue has jobs" in await look(site, "/")
    await asked.store.add("mail", [new("a")])
    monkeypatch.setattr("asyncmqd.web.dashboard.ticks.LOOK_EVERY", 0.0)  # it is noticed
    assert "No queue has jobs" not in await look(site, "/")


async def test_a_queue_has_a_page_before_the_store_knows_it(site: Site) -> None:
    assert "<h1>mail" in await look(site, "/queues/mail")
    with pytest.raises(NotFound, match="did you mean mail"):
        await look(site, "/queues/mial")


async def many(store: BaseBackend) -> None:
    """Forty daemons of fifteen queues, 150 schedules, 300 actions of operators."""
    queues = {f"queue-{number:03}": Load(concurrency=10) for number in range(15)}
    about = About(phase="ready", generation=3, unit="asyncmqd@shop.service", restarts=2)
    for number in range(40):
        said = Serving(host=f"host-{number}", pid=number, queues=queues, about=about)
        await store.beat(f"host-{number}-0a1b2c3d4e5f/5e6f7a8b9c0d", msgspec.json.encode(said), 60)
    schedules = (
        Repeatable(task="shop.tasks.count", name=f"count-{number:03}", cron="*/5 * * * *")
        for number in range(150)
    )
    specs = {each.identity: msgspec.json.encode(each) for each in schedules}
    await store.declare("mail", specs, fresh=True, by="host-1-0a1b2c3d4e5f/5e6f7a8b9c0d")
    order = encode(Order(verb="retry", states=(State.FAILED,), by="ann", reason="w" * 300))
    for number in range(300):
        await store.begin_operation("mail", f"{number:012x}", order)


async def test_no_page_grows_with_what_there_is(site: Site, asked: Asked) -> None:
    """Each row is on a page, and a link leads to the next ones."""
    await many(asked.store)
    rows = {"/limits": 600, "/schedules": 150, "/audit": 300, "/": 15 + 20}
    for path, expected in rows.items():
        page, found = await look(site, path), 0
        while True:
            assert len(page) < LARGEST, path
            found += page.count("<tr data-row")
            following = re.search(r'<a href="([^"]+)">[A-Z][a-z]+ [^<]+ and on, of ', page)
            if following is None:
                break
            page = await look(site, html.unescape(following[1]))
        assert found >= expected, path
