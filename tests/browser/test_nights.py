"""Mails are late in nine ways: what the first screen alone says, beside queues that are well.

The same nights as in tests/daemon/test_causes.py, which compares what commands say.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import PHONE, Site, Visit, serving, without_this_host
from tests.daemon.harness import Daemon, until
from tests.servers import RedisServer

OTHERS = "[queues.images]\nconcurrency = 4\n[queues.billing]\nconcurrency = 2\n[queues.reports]\n"
MAIL = "[queues.mail]\n"
OFTEN = '[[queues.mail.repeatables]]\ntask = "mark"\nevery = 1\n'
RATE = "global_rate_limit = 1\nglobal_rate_interval = 3600\n"
Night = Callable[..., Site]


@pytest.fixture
def night() -> Iterator[Night]:
    """Starts a daemon whose other queues have something to do, and are well."""
    with ExitStack() as stack:

        def begin(queues: str = MAIL, **options: Any) -> Site:
            site = stack.enter_context(serving(queues=queues + OTHERS, **options))
            site.store.add("billing", "mark", [f"well-{number}" for number in range(30)])
            site.store.add("images", "mark", [f"later-{number}" for number in range(12)], delay=900)
            return site

        yield begin


@pytest.fixture
def look(visit: Visit, seen: Callable[[str], None]) -> Callable[..., None]:
    """The first screen says one thing, at once, with since when and what to do."""

    def first_screen(site: Site, name: str, *words: str, button: str = "") -> None:
        page = visit("/", site=site)
        page.wait_for_selector(f".cause >> text={words[0]}")
        worst = page.locator(".cause").first
        said = " ".join(worst.inner_text().split())
        for word in words:
            assert word in said
        assert "For " in said, "since when"
        assert worst.bounding_box()["y"] < 300  # without scrolling
        assert worst.locator(".do >> css=a, button").count() >= 1
        if button:
            assert worst.locator(".do").inner_text() == button
        seen(f"night {name}: {said}")
        _take(page, site, name)

    return first_screen


def _take(page: Any, site: Site, name: str) -> None:
    """For whoever wants to judge by the eye."""
    if place := os.environ.get("ASYNCMQD_NIGHTS"):
        without_this_host(page, site)
        page.screenshot(path=Path(place) / f"{name}.png")
        page.set_viewport_size(PHONE)
        page.screenshot(path=Path(place) / f"{name}-phone.png")


Look = Callable[..., None]


def test_the_store_is_down(night: Night, look: Look, visit: Visit, tmp_path: Path) -> None:
    with RedisServer("valkey9", tmp_path, tcp=True) as server:
        site = night(url=f"redis://127.0.0.1:{server.port}")
        page = visit("/", site=site)
        page.wait_for_selector(".queues >> text=mail")
        server.kill()
        site.daemon.wait_for("daemon.degraded")
        look(site, "degraded", "redis://127.0.0.1", "when the store answers", button="Daemons")
        page.wait_for_selector("text=What you see below is of")


def test_the_queue_is_paused(night: Night, look: Look) -> None:
    site = night()
    pause = ("mail", True)
    site.store.do(lambda backend: backend.pause(*pause, by="ann", reason="provider is down"))
    site.store.add("mail", "mark", [f"m{number}" for number in range(40)])
    look(site, "paused", "is paused", "by ann: provider is down", button="Resume")


def test_the_limit_is_full(night: Night, look: Look) -> None:
    site = night(MAIL + RATE)
    site.store.add("mail", "mark", [f"m{number}" for number in range(40)])
    until(lambda: site.daemon.lines(queue="mail"))
    look(site, "rate-limit", "the rate limit of 1 in 3600 s", "Until")


def test_the_slots_are_busy(night: Night, look: Look) -> None:
    site = night(MAIL + "concurrency = 1\n")
    site.store.add("mail", "hold", ["slow"])
    until(lambda: site.daemon.lines("began"))
    site.store.add("mail", "mark", [f"m{number}" for number in range(40)])
    look(site, "slots", "all slots are busy (1), longest with slow", button="Running jobs")


def test_nobody_knows_the_task(night: Night, look: Look) -> None:
    site = night()
    site.store.add("mail", "marks", ["a"])
    look(site, "parked", "no worker there knows its task (did you mean mark?)")


def test_the_jobs_fail(night: Night, look: Look) -> None:
    site = night()
    failing = [f"f{number}" for number in range(6)]
    site.store.add("mail", "fail_with", failing, "smtp.example.org:25 refused the connection")
    look(site, "failing", "runs failed", "ValueError: smtp.example.org:25", button="Failed jobs")


def test_the_daemon_of_a_schedule_is_gone(night: Night, look: Look) -> None:
    site = night()
    with other(site, MAIL + OFTEN) as daemon:
        until(lambda: daemon.lines(queue="mail"))
    look(site, "schedule", "Schedule mark is late", button="Schedules")


def test_no_daemon_lives(night: Night, look: Look) -> None:
    site = night("")
    with other(site, MAIL) as daemon:
        site.store.add("mail", "mark", ["a"])
        until(lambda: daemon.lines(queue="mail"))
        assert daemon.stop() == 0
    site.store.add("mail", "mark", [f"m{number}" for number in range(40)])
    look(site, "no-daemon", "No living daemon serves queue mail", button="Daemons")


def test_the_daemon_restarts(night: Night, look: Look) -> None:
    site = night(MAIL + "timeout = 0.1\n[queues.slow]\n", top="stuck_limit = 1\n")
    site.store.add("slow", "hold", ["drains"])
    until(lambda: site.daemon.lines("began"))
    site.store.add("mail", "hold_thread", ["stuck"])
    site.daemon.wait_for("daemon.restarting")
    look(site, "restarting", "1 plain function is stuck", "this daemon")


@contextmanager
def other(site: Site, queues: str) -> Iterator[Daemon]:
    """A second daemon on the same store, killed at the end."""
    daemon = Daemon(site.daemon.place, site.store.url, queues, name="other").start()
    yield daemon
    daemon.kill()
