"""How each page looks: no fault of accessibility, nothing wider than the window, the pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from asyncmqd.domain.history import Period, bucket_of, minute_of
from tests.browser.conftest import PHONE, WIDE, Site, Visit, serving, without_this_host
from tests.daemon.harness import until

PAGES = ("/", "/jobs", "/dead", "/schedules", "/limits", "/daemons", "/audit", "/keys")
PICTURES = Path(__file__).parents[2] / "docs" / "dashboard"


def story(site: Site) -> None:
    """A day of a shop: what the pictures show."""
    store = site.store
    now = minute_of(store.do(lambda backend: backend.now()))
    for ago in range(150, 0, -1):
        periods = {}
        for queue, base in (("mail", 60), ("images", 22), ("billing", 9), ("reports", 2)):
            done = base + (ago * 7919 + base * 31) % (base // 2 + 2)
            bad = done // 8 if 40 < ago < 60 else int(ago % 9 == 0)
            counts = [done + bad, done, done - bad, bad, bad // 2, 0, 0, 0]
            runs = [bucket_of(90_000 + ago * 900), done // 2, bucket_of(400_000), done // 2 + 1]
            waits = [bucket_of(20_000), done // 2, bucket_of(900_000 + ago * 5_000), done // 2 + 1]
            levels = [ago % 12, 2, 3, bad, 40 if 40 < ago < 60 else ago % 5]
            periods[queue] = Period(now - ago, counts, levels, waits, runs)
        store.do(lambda backend, periods=periods: backend.note(periods, over=False))
    store.add("reports", "reports.build", ["report-2026-11-28", "report-2026-11-29"], "2026-11-28")
    store.add("reports", "reports.build", ["report-2026-11-30"], "2026-11-30")
    for number in range(1, 40):
        store.add("billing", "billing.charge", [f"charge-{4100 + number}"], 4100 + number)
    store.add("mail", "mail.send", [f"mail-{number:03}" for number in range(40)], "ada@example.org")
    until(lambda: store.counts("mail").waiting == 0 and store.counts("billing").waiting == 0)
    store.do(lambda backend: backend.pause("images", True, by="ann", reason="new disks come"))
    pictures = [f"picture-{number}" for number in range(25)]
    store.add("images", "images.resize", pictures, 2**60, key="tenant-7")


@pytest.fixture
def shop() -> Iterator[Site]:
    """A site of its own: pictures show nothing of other tests."""
    with serving() as site:
        story(site)
        yield site


def test_every_page_in_both_themes_and_on_a_phone(shop: Site, visit: Visit) -> None:
    from axe_playwright_python.sync_playwright import Axe

    axe, wrong, site = Axe(), [], shop
    failed = "/job?queue=billing&id=charge-4101"
    running = "/job?queue=reports&id=report-2026-11-28"
    one = "/schedule?queue=reports&name=nightly"
    more = ("/queues/mail?state=failed", "/queues/images", "/queues/nobody", "/login")
    for theme, size in product(("light", "dark"), (WIDE, PHONE)):
        page = visit("/", site=site, color_scheme=theme, viewport=size)
        _take(page, site, theme, size, failed)
        for path in (*PAGES, one, failed, running, *more):
            if path == "/login":
                page.context.clear_cookies()
            page.goto(f"{site.url}{path}")
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, (theme, size, path)
            found = axe.run(page).response
            for each in (*found["violations"], *found["incomplete"]):
                nodes = [(node["html"][:200], node["any"][:1]) for node in each["nodes"][:2]]
                wrong.append((theme, size["width"], path, each["id"], nodes))
            page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, (theme, size, path, "with all that can be opened")
    assert not wrong, "\n".join(map(str, wrong))


def _take(page: Any, site: Site, theme: str, size: dict[str, int], failed: str) -> None:
    """The pictures of docs/dashboard.md."""
    phone = "-phone" if size is PHONE else ""
    if "ASYNCMQD_PICTURES" not in os.environ or (phone and theme == "dark"):
        return
    for name, path in (("overview", "/"), ("queue", "/queues/mail?state=failed"), ("job", failed)):
        if (phone or theme == "dark") and name != "overview":
            continue
        page.goto(f"{site.url}{path}")
        page.wait_for_selector("main time, main h1")
        # The first page does not wait for all sparklines; the next one has them.
        until(lambda: page.locator(".spark").count() == page.locator("td.sparks").count())
        without_this_host(page, site)
        page.screenshot(path=PICTURES / f"{name}-{theme}{phone}.png")
