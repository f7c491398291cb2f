"""What a producer, another site or somebody without the role can do to a browser: nothing."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlencode

from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.job import JobSpec, NewJob
from tests.browser.conftest import FOREIGN, Site, Visit
from tests.daemon.harness import until
from tests.daemon.test_dashboard import HOSTILE

PAGES = ("/", "/jobs", "/dead", "/schedules", "/limits", "/daemons", "/audit")
TELLS = "javascript:alert(1)//" + HOSTILE
NAME = HOSTILE[:60]  # keys have to be printable
FORM = """<form method="post" action="{url}/do/pause"><input name="queue" value="mail">
<input name="reason" value="x"><input name="form" value="{token}"></form>
<script>document.forms[0].submit()</script>"""


def add_hostile(site: Site) -> None:
    """Jobs with such texts in all that a producer, or the code of a job, may say."""
    for task, args in (("fail_as", [TELLS]), ("hold_as", [TELLS]), ("return_as", [TELLS])):
        spec = JobSpec(id=f"says-{task}", task=task, args=args, key=NAME)
        job = NewJob(id=spec.id, payload=encode_spec(spec), key=NAME)
        site.store.do(lambda backend, job=job: backend.add("mail", [job]))
    spec = JobSpec(id=HOSTILE, task=HOSTILE, args=[TELLS], kwargs={HOSTILE: [HOSTILE]}, key=NAME)
    jobs = [NewJob(id=HOSTILE, payload=encode_spec(spec), delay=3600, key=NAME)]
    jobs.append(NewJob(id="no payload", payload=HOSTILE.encode(), delay=3600))
    site.store.do(lambda backend: backend.add("mail", jobs))
    until(lambda: (c := site.store.counts("mail")) and c.failed and c.active and c.completed)


def test_what_producers_wrote_is_text(site: Site, visit: Visit) -> None:
    add_hostile(site)
    page = visit("/")
    ids = [f"says-{task}" for task in ("fail_as", "hold_as", "return_as")]
    paths = [
        *PAGES,
        *(f"/queues/mail?state={state}" for state in ("active", "delayed", "failed", "completed")),
        *(f"/job?{urlencode({'queue': 'mail', 'id': id})}" for id in (*ids, HOSTILE, "no payload")),
        f"/jobs?{urlencode({'id': HOSTILE + 'x'})}",
        f"/jobs?{urlencode({'state': 'failed', 'error': HOSTILE, 'task': TELLS})}",
        f"/queues/mail?{urlencode({'state': 'failed', 'error': HOSTILE})}",
    ]
    for path in paths:
        page.goto(f"{site.url}{path}")
        page.wait_for_selector("main h1")
        assert page.locator("main img, main script, main iframe").count() == 0, path
        odd = page.locator("a").evaluate_all(
            "all => all.map((a) => a.href).filter((each) => !each.startsWith(location.origin))"
        )
        assert odd == [], path
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
    page.goto(f"{site.url}/job?{urlencode({'queue': 'mail', 'id': ids[1]})}")
    assert "<script>alert(1)</script>" in page.inner_text("main")  # as text
    site.daemon.open_gate()
    page.wait_for_selector("h1 >> text=completed")


def test_what_a_producer_wrote_is_no_button(site: Site, visit: Visit) -> None:
    """A job with such an id is found and removed like any other."""
    page = visit("/queues/mail?state=delayed")
    page.locator("tr[data-row] a").last.click()
    page.click("summary >> text=Remove…")
    page.click("text=Remove this job")
    page.wait_for_selector("text=The job is removed.")


def test_a_page_of_another_site_cannot_act(site: Site, visit: Visit) -> None:
    page = visit("/queues/mail")
    token = page.locator('input[name="form"]').first.get_attribute("value")
    text = FORM.format(url=site.url, token=token)
    # To browsers the other port is the same site: it gets the cookie of the session.
    for origin, said in (
        (f"http://{FOREIGN}", "not logged in"),
        ("http://127.0.0.1:8999", "this host"),
    ):
        other = page.context.new_page()
        other.route(f"{origin}/", partial(_answer, text))
        other.goto(f"{origin}/")
        other.wait_for_selector(f"text={said}")
        assert other.url == f"{site.url}/do/pause"
        assert not site.store.counts("mail").paused


def test_a_page_of_another_site_sees_nothing(site: Site, visit: Visit) -> None:
    other = visit("/queues/mail").context.new_page()
    other.route("http://127.0.0.1:8999/", partial(_answer, "<h1>Other</h1>"))
    other.goto("http://127.0.0.1:8999/")
    ask = "(url) => fetch(url, {credentials: 'include'}).then(() => 'read', () => 'refused')"
    assert other.evaluate(ask, f"{site.url}/queues/mail") == "refused"
    seen = other.evaluate(
        """(url) => new Promise((resolve) => {
            const frame = document.createElement("iframe");
            frame.onload = () => {
                let found = "";
                try { found = frame.contentDocument.body.innerText; } catch { found = ""; }
                resolve(found);
            };
            frame.src = url;
            document.body.append(frame);
        })""",
        f"{site.url}/queues/mail",
    )
    assert seen == ""
    assert all("mail" not in frame.content() for frame in other.frames[1:])


def _answer(text: str, route: Any) -> None:
    route.fulfill(body=text, content_type="text/html")


def test_a_name_of_somebody_else_leads_nowhere(site: Site, chromium: Any) -> None:
    page = chromium.new_page()
    answer = page.goto(site.url.replace("127.0.0.1", FOREIGN))
    assert answer.status == 403
    assert "expected a host of allowed_hosts" in page.inner_text("body")
    page.close()


def test_a_form_without_its_token_does_nothing(site: Site, visit: Visit) -> None:
    page = visit("/queues/billing")
    page.click("summary >> text=Pause…")
    page.fill("#pause-reason", "no token")
    page.evaluate(
        """document.querySelectorAll('main input[name="form"]').forEach((e) => e.remove())"""
    )
    page.click("text=Pause billing")
    page.wait_for_selector("#problem >> text=expected the token of the form")
    assert not site.store.counts("billing").paused


def test_whoever_may_read_sends_forms_in_vain(site: Site, visit: Visit) -> None:
    page = visit("/keys", "bob")
    page.evaluate(
        """() => {
            const form = document.querySelector("form[method=post]");
            form.action = "/do/pause";
            for (const [name, value] of [["queue", "billing"], ["reason", "x"]]) {
                const field = document.createElement("input");
                Object.assign(field, {name, value, type: "hidden"});
                form.append(field);
            }
            form.submit();
        }"""
    )
    page.wait_for_selector("#problem >> text=expected a token of the role operate")
    assert not site.store.counts("billing").paused
