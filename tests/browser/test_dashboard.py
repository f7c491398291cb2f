"""What a person does with the dashboard, in a real browser, against a real daemon."""

from __future__ import annotations

import re
import time
from typing import Any

from tests.browser.conftest import Site, Visit
from tests.daemon.harness import until


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


def test_what_changes_before_the_stream_begins_is_shown(site: Site, visit: Visit) -> None:
    """The clock of the page stands still, so that it does not look by itself after a while."""
    page = visit("/queues/held?state=delayed")
    page.goto("about:blank")  # it closes its stream
    stop_clock(page)
    page.route("**/live", lambda route: [add(site, "before-the-stream"), route.continue_()])
    page.goto(f"{site.url}/queues/held?state=delayed")
    until(lambda: shows(page, "before-the-stream"))


def test_what_changes_before_a_tab_hears_is_shown(site: Site, visit: Visit) -> None:
    """Another tab has the stream, and is told before this one has its script."""
    first = visit("/queues/held?state=delayed")
    first.evaluate(
        """() => {
            const told = new BroadcastChannel("asyncmqd");
            window.told = new Promise((resolve) => {
                told.onmessage = ({ data }) => data === null && resolve();
            });
        }"""
    )
    page = first.context.new_page()
    stop_clock(page)

    def change(route: Any) -> None:
        add(site, "before-the-script")
        first.evaluate("window.told")
        route.continue_()

    page.route("**/dashboard.js", change)
    page.goto(f"{site.url}/queues/held?state=delayed")
    until(lambda: shows(page, "before-the-script"))


def test_a_proxy_that_answers_for_the_daemon_ends_no_stream(site: Site, visit: Visit) -> None:
    """Browsers give up for good after an answer that is no stream."""
    page = visit("/queues/held?state=delayed")
    page.goto("about:blank")
    stop_clock(page)
    asked: list[int] = []

    def answer(route: Any) -> None:
        asked.append(1)
        if len(asked) == 1:
            route.fulfill(status=502, content_type="text/html", body="Bad Gateway")
        else:
            route.continue_()

    page.route("**/live", answer)
    page.goto(f"{site.url}/queues/held?state=delayed")
    until(lambda: page.clock.run_for(1_000) or len(asked) == 2)


def add(site: Site, id: str) -> None:
    site.store.add("held", "mark", [id], delay=3600)


def stop_clock(page: Any) -> None:
    now = time.time()
    page.clock.install(time=now)
    page.clock.pause_at(now + 1)


def shows(page: Any, text: str) -> bool:
    """Whether the page shows it, at most a moment later by its own clock."""
    page.clock.run_for(1)
    found: int = page.locator(f"text={text}").count()
    return found > 0


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
    site.store.do(lambda backend: backend.pause("held", True, by="ann", reason="why not"))
    page.goto(f"{site.url}/queues/held")
    assert re.match(r"Since [-0-9]{10} [:0-9]{8}\. It changes", page.inner_text(".evidence"))
    site.store.do(lambda backend: backend.pause("held", False))
    page.goto(f"{site.url}/queues/billing")
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
