"""What a person does with the dashboard, in a real browser, against a real daemon."""

from __future__ import annotations

import os
import re
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


def test_a_job_runs_live(site: Site, visit: Visit) -> None:
    page = visit("/queues/held?state=active")
    page.wait_for_selector("text=No job is active.")
    site.store.add("held", "hold", ["seen-live"])
    page.wait_for_selector("text=seen-live")  # nobody has loaded the page again
    page.click("text=seen-live")
    page.wait_for_selector("h1 >> text=active")
    site.daemon.open_gate()
    page.wait_for_selector("h1 >> text=completed")
    zone = page.text_content("#zone")
    assert "Asia/Tokyo" in zone
    moment = page.locator("time").first
    assert moment.get_attribute("title").endswith(" UTC")


def test_eight_tabs_are_live_at_once(site: Site, visit: Visit) -> None:
    """A browser has six connections to a host: of eight tabs one has the stream."""
    first = visit("/queues/held?state=delayed")
    first.evaluate(
        """async () => {
            while ((await navigator.locks.query()).held.length !== 1)
                await new Promise((resolve) => setTimeout(resolve, 20));
        }"""
    )
    streams: list[str] = []  # that are begun from now on
    to_stream = lambda each: each.url.endswith("/live") and streams.append(each.url)  # noqa: E731
    first.context.on("request", to_stream)
    tabs = [first, *(first.context.new_page() for _ in range(7))]
    for tab in tabs[1:]:
        tab.goto(first.url)
    site.store.add("held", "mark", ["for-all-tabs"], delay=3600)
    for tab in tabs:
        tab.wait_for_selector("text=for-all-tabs")
    assert streams == []
    first.close()  # the next one takes over
    site.store.add("held", "mark", ["for-the-others"], delay=3600)
    for tab in tabs[1:]:
        tab.wait_for_selector("text=for-the-others")
    assert len(streams) == 1


def test_what_somebody_reads_stays_where_it_is(site: Site, visit: Visit) -> None:
    """The page of a job whose progress goes on is renewed again and again."""
    site.store.add("reports", "count_up", ["counts"])
    page = visit("/job?queue=reports&id=counts")
    box = page.locator("pre", has_text='"of": 300')
    box.wait_for()
    box.evaluate("(each) => { each.scrollTop = 400; }")
    before = box.inner_text()
    until(lambda: box.inner_text() != before)
    assert box.evaluate("(each) => each.scrollTop") == 400
    page.click("summary >> text=Cancel…")
    page.click("text=Cancel this job")
    page.wait_for_selector("h1 >> text=cancelled")


def test_filter_and_open_a_failed_job(site: Site, visit: Visit) -> None:
    site.store.add(
        "mail", "fail_with", [f"f{number}" for number in range(3)], "no such <b>host</b>"
    )
    site.store.add("mail", "mark", ["fine"], delay=3600)
    until(lambda: site.store.counts("mail").failed >= 3)
    page = visit("/queues/mail?state=failed")
    page.keyboard.press("/")
    page.keyboard.type("fail_with")
    page.fill('input[name="error"]', "no such")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=3 of 3 searched")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Why it failed")
    assert "ValueError: no such <b>host</b>" in page.inner_text("main")
    assert page.locator("main b >> text=host").count() == 0
    assert "in fail_with" in page.inner_text("#traceback")
    told = page.locator(".story li", has_text="Attempt 1 failed")
    told.locator("summary").click()
    assert "in fail_with" in told.inner_text()
    page.fill("#find", "fine")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1 >> text=delayed")
    page.click("text=Run now")
    page.wait_for_selector("text=The job runs as soon as there is a slot.")
    page.wait_for_selector("h1 >> text=completed")


def test_dead_letters_are_run_again(site: Site, visit: Visit) -> None:
    ids = [f"dead{number}" for number in range(300)]
    site.store.add("images", "fail_with", ids, "disk 7 is full")
    until(lambda: site.store.counts("images").failed == 300)
    page = visit("/dead")
    row = page.locator("tr", has_text="disk 7 is full")
    assert row.locator("td").first.inner_text() == "300"
    row.locator("summary", has_text="Run again").click()  # a large group asks first
    row.locator("button", has_text="Run 300 jobs again").click()
    page.wait_for_url(re.compile("/operation"))
    page.wait_for_selector("h1 >> text=done")
    assert page.inner_text(".sentence").startswith("300 jobs moved")
    until(lambda: site.store.counts("images").failed == 300)  # they fail again
    page.goto(f"{site.url}/dead")
    row = page.locator("tr", has_text="disk 7 is full")
    row.locator("summary", has_text="Discard").click()
    row.locator('input[name="reason"]').fill("the disk is gone")
    row.locator("text=Delete the group").click()
    page.wait_for_selector("h1 >> text=done")
    assert site.store.counts("images").failed == 0
    page.goto(f"{site.url}/audit")
    assert "the disk is gone" in page.inner_text("main")


def test_pause_with_a_reason_and_resume(site: Site, visit: Visit) -> None:
    page, other = visit("/queues/billing"), visit("/")
    page.click("summary >> text=Pause…")
    page.fill("#pause-reason", "the bank is down")
    site.store.add("billing", "mark", ["while-somebody-types"], delay=3600)
    page.wait_for_selector('#tabs a >> text="1"')  # the page has renewed itself, but for the form
    assert page.input_value("#pause-reason") == "the bank is down"
    page.click("text=Pause billing")
    page.wait_for_selector("text=The queue is paused.")
    assert site.store.counts("billing").paused
    other.wait_for_selector("text=by ann: the bank is down")
    other.click("button >> text=Resume")
    other.wait_for_selector("text=The queue goes on.")
    other.reload()
    other.wait_for_selector("main h1")
    assert other.locator("text=The queue goes on.").count() == 0  # it was said once
    page.wait_for_selector("summary >> text=Pause…")
    assert not site.store.counts("billing").paused


def test_who_may_only_read_sees_no_buttons(visit: Visit) -> None:
    page = visit("/queues/billing", "bob")
    assert page.locator("summary >> text=Pause").count() == 0
    assert "bob (read only)" in page.inner_text("header")


def test_without_a_script(site: Site, visit: Visit) -> None:
    page = visit("/queues/billing", java_script_enabled=False)
    page.click("summary >> text=Purge…")
    page.fill("#purge-typed", "another")
    page.click("text=Delete waiting jobs")
    page.wait_for_selector("text=expected the name of the queue")
    page.goto(f"{site.url}/queues/billing")
    page.click("summary >> text=Pause…")
    page.fill("#pause-reason", "no script")
    page.click("text=Pause billing")
    page.click("button >> text=Resume")
    page.wait_for_selector("text=The queue goes on.")


def test_a_daemon_that_goes_is_told(site: Site, visit: Visit) -> None:
    page = visit("/queues/held?state=completed")
    page.route("**/queues/held*", lambda route: route.abort())
    page.wait_for_selector("#banner >> text=Not live since")
    assert page.locator("tr[data-row]").count() == site.store.counts("held").completed
    page.unroute("**/queues/held*")
    page.wait_for_selector("#banner", state="hidden")


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
    assert not wrong, "\n".join(map(str, wrong))


def _take(page: Any, site: Site, theme: str, size: dict[str, int], failed: str) -> None:
    """The pictures of docs/dashboard.md."""
    phone = "-phone" if size is PHONE else ""
    if "ASYNCMQD_PICTURES" not in os.environ:
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
