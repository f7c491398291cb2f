"""A real browser before a real daemon: `make test-browser`.

`make test` leaves these tests out, for the browser is a package of the system, not of Python.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from asyncmqd.backends.base import BaseBackend
from tests.daemon.harness import Answer, Daemon, Store
from tests.servers import free_port

CHOSEN = os.environ.get("ASYNCMQD_TEST_BROWSER", "")  # the path of a Chromium
collect_ignore_glob = [] if CHOSEN else ["test_*.py"]

WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
FOREIGN = "evil.example"  # leads to this host, as a page of somebody else can have it
Visit = Callable[..., Any]
ROLES = {"ann": "operate", "bob": "read"}
QUEUES = """
[queues.mail]
concurrency = 5
[queues.images]
concurrency = 4
global_concurrency = 6
key_concurrency = 1
[queues.reports]
concurrency = 2
[queues.billing]
concurrency = 3
global_rate_limit = 600
global_rate_interval = 60
[queues.held]
concurrency = 1
[[queues.reports.repeatables]]
task = "mark"
name = "nightly"
cron = "30 3 * * *"
timezone = "Europe/Berlin"
"""


class Outside(Store):
    """The browser's driver keeps a loop in the thread of the tests: this one works in another."""

    def do(self, work: Callable[[BaseBackend], Awaitable[Answer]]) -> Answer:
        with ThreadPoolExecutor(1) as threads:
            return threads.submit(super().do, work).result()


def without_this_host(page: Any, site: Site) -> None:
    """Pictures have no name and no path of the host that takes them."""
    page.evaluate(
        r"""([host, place]) => {
            const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            const name = new RegExp(`\\b${host}(-[0-9a-f]{12})?\\b`, "g");
            while (walker.nextNode()) {
                const text = walker.currentNode;
                text.data = text.data.replaceAll(place, "/srv/shop").replace(name, "web-1");
            }
        }""",
        [socket.gethostname(), str(site.daemon.place)],
    )


class Site(NamedTuple):
    """A daemon, its store, and the address of its pages."""

    daemon: Daemon
    store: Store
    url: str
    head: str  # [http], which stands before the queues in the configuration


@contextlib.contextmanager
def serving(keys: str = "", queues: str = QUEUES, url: str = "", top: str = "") -> Iterator[Site]:
    """A daemon that lets ann operate and bob read. `keys` are more lines of [http]."""
    place = Path(tempfile.mkdtemp(prefix="amq"))
    lines = (f"{name} {role} {sha256(name.encode()).hexdigest()}\n" for name, role in ROLES.items())
    (place / "tokens").write_text("".join(lines))
    port, store = free_port(), Outside(url or f"sqlite://{place}/jobs.db")
    head = f'[http]\nlisten = "127.0.0.1:{port}"\ntoken_file = "{place}/tokens"\n{keys}\n'
    daemon = Daemon(place, store.url, head + queues, top=top, tasks=("ledger", "shop"))
    shutil.copy(Path(__file__).parent / "app" / "shop.py", place)
    daemon.start()
    try:
        yield Site(daemon, store, f"http://127.0.0.1:{port}", head)
    finally:
        daemon.kill()
        shutil.rmtree(place)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def visit(chromium: Any, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """Opens a page of somebody who has logged in; no page may complain about anything."""
    said: list[str] = []
    contexts = []

    def open_page(
        path: str = "/", name: str = "ann", site: Site | None = None, **options: Any
    ) -> Any:
        url = (site or request.getfixturevalue("site")).url
        context = chromium.new_context(**{"viewport": WIDE, "timezone_id": "Asia/Tokyo"} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda each: _complains(each) and said.append(each.text))
        page.on("pageerror", lambda each: said.append(str(each)))
        page.on("dialog", lambda each: said.append(each.message) or each.dismiss())
        page.goto(f"{url}{path}")
        log_in(page, name)
        page.wait_for_url(f"{url}{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def log_in(page: Any, name: str = "ann") -> None:
    page.fill("#token", name)
    page.click("text=Log in")


def _complains(said: Any) -> bool:
    """Of statuses the tests themselves ask."""
    return said.type == "error" and not said.text.startswith("Failed to load resource")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    # As root, in a container, Chromium has no sandbox; the pages are our own.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    options.append(f"--host-resolver-rules=MAP {FOREIGN} 127.0.0.1")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHOSEN, args=options)
        yield browser
        browser.close()
