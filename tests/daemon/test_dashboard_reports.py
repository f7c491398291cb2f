"""What people reported of other dashboards: docs/reliability/replayed.md has the rows."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from asyncmqd.domain.job import NewJob
from tests.daemon import test_dashboard
from tests.daemon.harness import Store, until
from tests.daemon.test_dashboard import Browser, Site

site = test_dashboard.site


def text_of(browser: Browser, path: str) -> str:
    page = browser.get(path)
    assert page.status == 200, (path, page.text)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


def test_what_cannot_be_read_stops_nothing_else(site: Site, file: Store) -> None:
    """Payloads that are none, tasks that are gone, schedules of another release."""
    browser = site.browser("operate")
    odd = {"bad": b"\xff", "odd": b'{"task":"mark","every":60,"zone":1}'}
    file.do(lambda store: store.declare("mail", odd, fresh=True, by="someone"))
    file.do(lambda store: store.add("mail", [NewJob(id="broken", payload=b"\xff{")]))
    file.add("mail", "fail_with", ["a", "b"], "no")
    file.add("mail", "task.that.is.gone", ["late"], delay=3600)
    file.add("mail", "task.that.is.gone", ["now"])
    until(lambda: file.counts("mail").failed == 3 and file.counts("mail").parked)
    assert "task.that.is.gone" in text_of(browser, "/queues/mail?state=delayed")
    assert "parked" in text_of(browser, "/job?queue=mail&id=now")
    browser.post("/do/cancel", queue="mail", job="now")
    assert "task.that.is.gone" in text_of(browser, "/queues/mail?state=cancelled")
    assert " bad " in text_of(browser, "/schedules")
    preview = browser.get("/schedule?queue=mail&name=bad")
    assert (preview.status, "cannot be read" in preview.text) == (409, True), preview.text
    for path in ("/", "/dead", "/limits", "/job?queue=mail&id=broken", "/queues/mail?state=failed"):
        text_of(browser, path)
    file.do(lambda store: store.pause("mail", True, by="test"))
    begun = browser.post("/do/retry", queue="mail", state="failed").headers["Location"]
    until(lambda: "done" in text_of(browser, begun))
    assert file.counts("mail").waiting == 3
    assert "after -" not in text_of(browser, "/job?queue=mail&id=a")  # of the run before
    assert not site.daemon.all("http.failed")


def test_a_filter_begins_at_the_first_page(site: Site, file: Store) -> None:
    """One that began on a later page would not look at the jobs before it."""
    file.add("mail", "mark", [f"m{n:02}" for n in range(60)], delay=3600)
    browser = site.browser("read")
    found = re.search(r'href="([^"]+)" rel="next"', browser.get("/queues/mail?state=delayed").text)
    assert found
    later = browser.get(found[1].replace("&amp;", "&")).text
    form = later[later.index('class="filters"') :].partition("</form>")[0]
    assert 'name="after"' not in form
    assert 'name="state" value="delayed"' in form
    tabs = later[later.index('id="tabs"') :].partition("</div>")[0]
    assert "state=failed" in tabs
    assert "after=" not in tabs


def test_other_sessions_of_the_host_stay_and_to_look_changes_nothing(
    site: Site, file: Store
) -> None:
    browser = site.browser("operate")
    fields = urlencode({"queue": "mail", "reason": "x", "form": browser.form()})
    for path in ("/do/pause", "/logout"):
        assert browser.get(f"{path}?{fields}").status == 404
    assert not file.counts("mail").paused
    browser.cookie = f'app_session=abc; "odd; =; {browser.cookie}; other=1'
    page = browser.get("/")
    assert (page.status, page.headers.get("Set-Cookie")) == (200, None)
    login = Browser(site.port).get("/login").headers["Set-Cookie"]
    assert login.startswith(f"asyncmqd-{site.port}=")
    assert "Domain" not in login
