"""What an operator does beside looking at jobs, and what a browser shows when something is gone."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.browser.conftest import QUEUES, Site, Visit, log_in, serving
from tests.daemon.harness import until
from tests.servers import RedisServer

MOMENT = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2} UTC")


def test_a_schedule_is_run_and_paused(site: Site, visit: Visit) -> None:
    page = visit("/schedules")
    row = page.locator("tr", has_text="nightly")
    row.locator("button", has_text="Run now").click()
    page.wait_for_selector("h1 >> text=completed")
    assert "queue=reports" in page.url
    page.goto(f"{site.url}/schedules")
    row.locator("button", has_text="Pause").click()
    page.wait_for_selector("text=What it names meanwhile is skipped")
    assert row.locator("text=paused").count() == 1
    row.locator("button", has_text="Resume").click()
    page.wait_for_selector("text=The schedule fires again.")
    row.locator("th a").click()
    page.wait_for_selector("text=On the clock of Europe/Berlin")
    assert page.locator("tbody tr").count() == 20
    clock, here = page.locator("tbody tr").first.locator("td").all_inner_texts()[:2]
    assert clock.split()[-1].startswith("03:30")
    assert here.split()[-1].startswith(("10:30", "11:30"))  # the browser is in Tokyo


def test_what_a_reload_would_change_is_seen_before_it(site: Site, visit: Visit) -> None:
    page = visit("/daemons")
    page.wait_for_selector("text=Nothing: the file is what is in force.")
    changed = QUEUES.replace("[queues.mail]\nconcurrency = 5", "[queues.mail]\nconcurrency = 7")
    site.daemon.configure(site.head + changed)
    page.wait_for_selector("pre >> text=concurrency")  # nobody has loaded the page again
    assert page.inner_text("pre") == "~ queue mail: concurrency: 5 -> 7"
    assert site.daemon.ask("status")["config"]["generation"] == 1
    page.click("button >> text=Reload")
    page.wait_for_selector("text=The configuration is loaded again.")
    page.wait_for_selector("text=Nothing: the file is what is in force.")
    site.daemon.configure(site.head + "[queues.mail]\nconcurency = 7\n")
    page.wait_for_selector(".problem >> text=concurency")
    assert page.locator("button >> text=Reload").count() == 0
    site.daemon.configure(site.head + QUEUES)
    page.click("button >> text=Reload")
    page.wait_for_selector("text=The configuration is loaded again.")


def test_the_keys_lead_where_their_page_says(site: Site, visit: Visit) -> None:
    page = visit("/")
    page.keyboard.press("?")
    page.wait_for_url(f"{site.url}/keys")
    keys = [each.split() for each in page.locator("tbody th").all_inner_texts()]
    ways = [each for each in keys if each[0] == "g"]
    assert len(ways) == page.locator("nav a").count()
    places = set()
    for way in ways:
        page.goto(f"{site.url}/keys")
        with page.expect_navigation():
            for key in way:
                page.keyboard.press(key)
        places.add(page.url)
    links = page.locator("nav a").evaluate_all("all => all.map((each) => each.href)")
    assert places == set(links)


def test_times_are_of_the_zone_of_the_browser(site: Site, visit: Visit) -> None:
    site.store.add("held", "mark", ["in-new-york"], delay=3600)
    page = visit("/job?queue=held&id=in-new-york", timezone_id="America/New_York")
    assert "America/New_York" in page.text_content("#zone")
    for each in page.locator("main time").all():
        assert MOMENT.fullmatch(each.get_attribute("title"))
    told = page.locator(".story time").first
    local = page.evaluate(
        """(text) => new Date(text).toLocaleTimeString("en-GB", {timeZone: "America/New_York"})""",
        told.get_attribute("datetime"),
    )
    assert told.inner_text().endswith(local)


def test_a_clock_that_is_wrong_does_not_change_how_long_ago_something_was(
    site: Site, visit: Visit
) -> None:
    site.store.add("held", "mark", ["an-hour-from-now"], delay=3600)
    for wrong in (-7200, 7200):
        page = visit("/")
        page.clock.install(time=time.time() + wrong)
        page.goto(f"{site.url}/queues/held?state=delayed")
        row = page.locator("tr", has_text="an-hour-from-now")
        assert re.search(r"in (59 min|1 h)", row.inner_text())


def test_a_daemon_that_is_gone_is_told_until_it_is_back(visit: Visit) -> None:
    with serving() as site:
        site.store.add("held", "mark", ["kept"], delay=3600)
        page = visit("/queues/held?state=delayed", site=site)
        page.wait_for_selector("text=kept")
        page.wait_for_selector("#live >> text=Live.")
        site.daemon.kill()
        page.wait_for_selector("#banner >> text=the daemon does not answer")
        assert page.locator("text=kept").count() == 1
        assert page.inner_text('.tabs a[aria-current="true"] >> nth=-1') == "delayed 1"
        site.daemon.start()
        page.wait_for_selector("#token")  # a restart ends all sessions
        log_in(page)
        page.wait_for_selector("text=kept")
        assert page.url.endswith("/queues/held?state=delayed")


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    directory = tmp_path_factory.mktemp("r")
    with RedisServer("valkey9", directory, tcp=True, appendonly=True) as server:
        yield server


def test_a_store_that_is_gone_is_told_and_no_zeros(server: RedisServer, visit: Visit) -> None:
    with serving(url=f"redis://127.0.0.1:{server.port}") as site:
        site.store.add("held", "mark", ["a", "b"], delay=3600)
        first = visit("/", site=site)
        others = {
            path: first.context.new_page() for path in ("/queues/held", "/daemons", "/limits")
        }
        for path, page in others.items():
            page.goto(f"{site.url}{path}")
        server.kill()
        first.wait_for_selector("text=The store does not answer.")
        assert first.locator(".queues tr", has_text="held").count() == 1
        others["/daemons"].wait_for_selector("text=The store does not answer.")
        assert others["/daemons"].locator("dt >> text=Generation").count() == 1
        for path in ("/queues/held", "/limits"):
            others[path].wait_for_selector("#banner >> text=Not live since")
        assert others["/queues/held"].inner_text("#tabs >> text=delayed") == "delayed 2"
        late = first.context.new_page()
        late.goto(f"{site.url}/queues/held")
        late.wait_for_selector("h1 >> text=The store does not answer")
        assert late.locator("main table, main .tabs").count() == 0
        server.start()
        until(lambda: site.daemon.ask("status")["store"]["healthy"])
        for page in others.values():
            page.wait_for_selector("#banner", state="hidden")
        first.wait_for_selector("text=The store does not answer.", state="detached")
