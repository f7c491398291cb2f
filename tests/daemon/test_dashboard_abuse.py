"""What people, producers and browsers do to the dashboard that its pages do not expect."""

from __future__ import annotations

import html
import re
from hashlib import sha256

from tests.daemon import test_dashboard
from tests.daemon.harness import Store, until
from tests.daemon.test_dashboard import PAGES, Browser, Make, Site, group_of, keys_of
from tests.servers import free_port

site = test_dashboard.site


def test_a_form_of_a_session_that_has_ended_leads_to_the_login(site: Site, file: Store) -> None:
    browser = site.browser("operate")
    form = browser.form()
    site.tokens.write_text(f"read read {sha256(b'read').hexdigest()}\n")
    page = browser.post("/do/pause", form, queue="mail", reason="x", back="/queues/mail?hours=6")
    assert page.status == 401
    assert "nothing was done" in page.text
    assert 'name="next" value="/queues/mail?hours=6"' in page.text
    assert not file.counts("mail").paused


def test_tabs_and_daemons_of_one_browser_do_not_disturb_each_other(site: Site) -> None:
    browser = site.browser()
    form = re.search('name="form" value="([0-9a-f]+)"', browser.get("/login").text)
    assert form
    browser.get("/login")  # in another tab
    assert browser.post("/login", form[1], token="operate", next="/").status == 303
    other = Browser(site.port)
    other.get("/login", Host="localhost:9999")  # browsers send a cookie to all ports of a host
    assert other.cookie.partition("=")[0] != browser.cookie.partition("=")[0]


def test_addresses_that_make_no_sense_are_refused_calmly(site: Site) -> None:
    browser, many = site.browser("read"), "&".join(f"a{number}=1" for number in range(60))
    for path in ("/login", *(path for path, _ in PAGES), "/keys", "/job", "/queues/mail"):
        assert browser.get(f"{path}?{many}").status == 400, path
    assert not site.daemon.all("http.failed")


def test_errors_of_many_lines_are_a_group_and_a_hundred_long_ones_no_long_page(
    site: Site, file: Store
) -> None:
    browser, lines = site.browser("operate"), "first\r\nsecond\n\u202e\tlast"
    file.add("mail", "fail_with", ["a", "b"], lines)
    until(lambda: file.counts("mail").failed == 2)
    page = browser.get("/dead").text
    assert len(group_of(page)) == 3
    begun = browser.post("/do/remove", **group_of(page))
    until(lambda: "<b>2</b> jobs moved" in browser.get(begun.headers["Location"]).text)
    for letter in map(chr, range(97, 123)):
        for other in "xyz":
            file.add("mail", "fail_with", [letter + other], f"{letter + other} " * 3_000)
    until(lambda: file.counts("mail").failed == 78)
    page = browser.get("/dead").text
    assert page.count("data-row") == 50
    assert "28 smaller groups" in page
    assert len(page) < 100_000


def test_a_page_behind_the_last_job_does_not_say_that_there_is_none(
    site: Site, file: Store
) -> None:
    browser = site.browser("operate")
    file.add("mail", "mark", [f"m{number:03}" for number in range(51)], delay=3600)
    page = browser.get("/queues/mail?state=delayed").text
    following = re.search('href="([^"]*)" rel="next"', page)
    assert following
    last = browser.get(html.unescape(following[1])).text
    [id] = re.findall("id=(m[0-9]+)", last)
    assert browser.post("/do/remove", queue="mail", job=id).status == 303
    page = browser.get(html.unescape(following[1])).text
    assert "There are no more." in page
    assert "50 jobs." in page


def test_a_proxy_that_sends_its_own_name_does_not_open_other_hosts(
    daemon: Make, file: Store
) -> None:
    """What a page of another site has its own name lead to is asked through the proxy, too."""
    port = free_port()
    more = ('trusted_proxies = ["127.0.0.1"]', 'allowed_hosts = ["jobs.example.org"]')
    daemon(file.url, keys_of(port, *more)).start()
    browser = Browser(port)
    for host, status in (("jobs.example.org", 200), ("evil.example.org", 403)):
        assert browser.get("/", **{"X-Forwarded-Host": host}).status == status
    assert browser.get("/").status == 200
