"""Many jobs, many dead letters and many queues before a browser.

A short run has fewer: `make test-browser-full` has a million jobs and 10,000 dead letters.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from asyncmqd.admin import operations
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.history import Period, minute_of
from asyncmqd.domain.job import JobSpec, NewJob
from asyncmqd.web.dashboard.words import number
from tests.browser.conftest import Site, Visit, log_in, serving
from tests.daemon.harness import until
from tests.scale import scaled

JOBS, PART = scaled(20_000, 1_000_000), 5_000
DEAD = 10_000
QUEUES = 200
LARGEST = 100_000  # bytes of a page
PAGES = ("/", "/queues/q007", "/jobs", "/dead", "/schedules", "/limits", "/daemons", "/audit")
Seen = Callable[[str], None]
TIMES = """async () => {
    const paint = await new Promise((resolve) => {
        const look = (list) => {
            const [found] = list.getEntriesByName("first-contentful-paint");
            if (found) resolve(found.startTime);
        };
        new PerformanceObserver(look).observe({ type: "paint", buffered: true });
    });
    const [page] = performance.getEntriesByType("navigation");
    return { answer: page.responseEnd - page.requestStart, paint, bytes: page.decodedBodySize };
}"""


def measured(page: Any) -> dict[str, float]:
    """Milliseconds until the answer and the first paint, and the bytes of the page."""
    found: dict[str, float] = page.evaluate(TIMES)
    return found


def told(found: dict[str, float]) -> str:
    return (
        f"answer {found['answer']:.0f} ms, first paint {found['paint']:.0f} ms,"
        f" {found['bytes'] / 1000:.0f} kB"
    )


async def fill(backend: BaseBackend) -> None:
    """Every 1,000th is another task."""
    for begin in range(0, JOBS, PART):
        jobs = []
        for each in range(begin, begin + PART):
            task = "index.rare" if each % 1_000 == 999 else "index.document"
            spec = JobSpec(id=f"job-{each}", task=task, args=[each], key=f"k{each % 50}")
            jobs.append(
                NewJob(id=spec.id, payload=encode_spec(spec), delay=9e5, key=spec.key or "")
            )
        await backend.add("mail", jobs)


@pytest.mark.timeout(scaled(300, 1_500))
def test_a_filter_finds_few_of_many(visit: Visit, seen: Seen) -> None:
    with serving() as site:
        site.store.do(fill)
        page = visit("/queues/mail?state=delayed", site=site)
        assert measured(page)["bytes"] < LARGEST
        seen(f"{JOBS:,} jobs of a queue: {told(measured(page))}")
        for field, text in (("task", "index.rare"), ("key", "k49"), ("error", "none")):
            page.goto(f"{site.url}/queues/mail?state=delayed")
            page.fill(f'.filters input[name="{field}"]', text)
            with page.expect_navigation():
                page.keyboard.press("Enter")
            seen(f"{JOBS:,} jobs, {field} {text}: {told(measured(page))}")
        page.goto(f"{site.url}/queues/mail?state=delayed&task=index.rare")
        found = set(ids_of(page))
        while page.locator('a[rel="next"]').count():
            page.click('a[rel="next"]')
            page.wait_for_selector("main h1")
            more = ids_of(page)
            assert not found.intersection(more)
            found.update(more)
        assert found == {f"job-{each}" for each in range(999, JOBS, 1_000)}


def ids_of(page: Any) -> list[str]:
    found: list[str] = page.locator("tr[data-row] a.id").all_inner_texts()
    return found


@pytest.mark.full  # fewer would be moved before somebody can kill the daemon
@pytest.mark.timeout(900)
def test_dead_letters_run_again_though_the_daemon_dies(visit: Visit, seen: Seen) -> None:
    """The bar is where it was, on every page and after the end of the daemon that moved them."""
    with serving() as site:
        ids = [f"dead-{each}" for each in range(DEAD)]
        site.store.add("mail", "fail_with", ids, "disk 7 is full")
        until(lambda: site.store.counts("mail").failed == DEAD, 600)
        site.store.do(lambda backend: backend.pause("mail", True, by="test", reason="they stay"))
        page = visit("/dead", site=site)
        row = page.locator("tr", has_text="disk 7 is full")
        row.locator("summary", has_text="Run again").click()
        row.locator("button", has_text="jobs again").click(no_wait_after=True)
        moved = site.store.do(moving)
        site.daemon.kill()
        page.wait_for_url(re.compile("/operation"))
        address = page.url
        page.goto("about:blank")
        site.daemon.start()
        page.goto(f"{site.url}/dead")
        log_in(page)
        page.wait_for_url(f"{site.url}/dead")
        page.goto(address)
        bar = page.locator("progress")
        assert moved <= float(bar.get_attribute("value")) <= float(bar.get_attribute("max")) == DEAD
        page.wait_for_selector("h1 >> text=done")
        assert page.inner_text(".sentence b") == number(DEAD)
        counts = site.store.counts("mail")
        assert (counts.waiting, counts.failed) == (DEAD, 0)
        seen(f"{DEAD:,} dead letters: killed after {moved:,}, {page.inner_text('.sentence')}")


async def moving(backend: BaseBackend) -> int:
    """How many an operation has moved that goes on."""
    while True:
        for each in await operations.list_operations(backend):
            assert each.state == operations.RUNNING
            if each.moved and each.states:
                return each.moved
        await asyncio.sleep(0.002)


def test_two_hundred_queues_are_light(visit: Visit, seen: Seen) -> None:
    queues = "".join(f"[queues.q{each:03}]\nconcurrency = 2\n" for each in range(QUEUES))
    with serving(queues=queues) as site:
        site.store.do(past)
        add_errors(site)
        page = visit("/keys", site=site)
        for path in PAGES:
            for time in ("first", "second"):
                page.goto(f"{site.url}{path}")
                found = measured(page)
                assert found["bytes"] < LARGEST, path
                seen(f"{QUEUES} queues, {path} for the {time} time: {told(found)}")
        assets = page.evaluate(
            "performance.getEntriesByType('resource').map((each) => each.decodedBodySize)"
        )
        assert sum(assets) < LARGEST


async def past(backend: BaseBackend) -> None:
    """Two hours of all queues."""
    now = minute_of(await backend.now())
    one = ([5, 1, 4, 1, 0, 0, 0, 0], [3, 2, 1, 0, 3], [20, 3], [22, 4])
    for ago in range(120, 0, -1):
        periods = {f"q{each:03}": Period(now - ago, *one) for each in range(QUEUES)}
        await backend.note(periods, over=False)


def add_errors(site: Site) -> None:
    """Long arguments and long errors, of which a page has the beginning."""
    site.store.add("q007", "fail_with", [f"long-{each}" for each in range(60)], "x " * 9_000)
    until(lambda: site.store.counts("q007").failed == 60)
