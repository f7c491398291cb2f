"""The dashboard of real daemons, asked as a browser asks: who gets in, and what pages say."""

from __future__ import annotations

import html
import http.client
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import pytest

from asyncmqd.admin.workers import list_workers
from asyncmqd.client.acting_user import system_user
from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.job import JobSpec, NewJob
from asyncmqd.domain.states import State
from asyncmqd.web import sessions
from asyncmqd.web.dashboard.rendering import PAGES
from tests.daemon.harness import COMMAND, Daemon, Store, until
from tests.servers import RedisServer, free_port

Make = Callable[..., Daemon]
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;\u202e\x1b[31m"

KEY = HOSTILE[:60]  # which has to be printable


class Page(NamedTuple):
    status: int
    text: str
    headers: dict[str, str]


class Browser:
    """Keeps its cookie, and sends forms as browsers do."""

    def __init__(self, port: int, prefix: str = "") -> None:
        self.port, self.prefix, self.cookie = port, prefix, ""

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> Page:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            kept = {"Cookie": self.cookie} if self.cookie else {}
            connection.request(method, self.prefix + path, body or None, kept | headers)
            answer = connection.getresponse()
            found = Page(answer.status, answer.read().decode(), dict(answer.getheaders()))
        finally:
            connection.close()
        if given := found.headers.get("Set-Cookie"):
            self.cookie = given.partition(";")[0]
        return found

    def get(self, path: str, **headers: str) -> Page:
        return self.ask("GET", path, **headers)

    def post(self, path: str, form: str | None = None, **fields: str) -> Page:
        """Send a form of our own page, unless the caller has another token."""
        fields["form"] = self.form() if form is None else form
        headers = {"Origin": f"http://127.0.0.1:{self.port}"}
        return self.ask("POST", path, urlencode(fields), **headers)

    def form(self) -> str:
        found = re.search('name="form" value="([0-9a-f]+)"', self.get("/keys").text)
        return found[1] if found else ""

    def log_in(self, token: str) -> Page:
        page = self.get("/login")
        form = re.search('name="form" value="([0-9a-f]+)"', page.text)
        assert form
        return self.post("/login", form[1], token=token, next="/keys")


class Site(NamedTuple):
    daemon: Daemon
    port: int
    tokens: Path

    def browser(self, token: str = "") -> Browser:
        made = Browser(self.port)
        if token:
            assert made.log_in(token).status == 303
        return made


def keys_of(port: int, *more: str) -> str:
    return "\n".join(["[http]", f'listen = "127.0.0.1:{port}"', *more, "[queues.mail]\n"])


@pytest.fixture
def site(daemon: Make, file: Store, place: Path) -> Site:
    port, tokens = free_port(), place / "tokens"
    lines = (f"{role} {role} {sha256(role.encode()).hexdigest()}\n" for role in ("read", "operate"))
    tokens.write_text("".join(lines))
    return Site(daemon(file.url, keys_of(port, f'token_file = "{tokens}"')).start(), port, tokens)


def test_who_gets_in(site: Site) -> None:
    stranger = site.browser()
    page = stranger.get("/queues/mail?state=failed")
    assert (page.status, page.headers["Location"]) == (
        303,
        "/login?next=/queues/mail%3Fstate%3Dfailed",
    )
    assert stranger.get("/queues/mail", **{"X-Fragment": "1"}).status == 401
    assert stranger.post("/do/pause", "", queue="mail", reason="x").status == 401
    assert stranger.log_in("wrong").status == 403
    assert stranger.get("/").status == 303
    entered = stranger.log_in("operate")
    assert (entered.status, entered.headers["Location"]) == (303, "/keys")
    cookie = entered.headers["Set-Cookie"]
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Lax")
    assert "operate" not in cookie  # the token
    assert stranger.get("/").status == 200
    site.tokens.write_text(f"read read {sha256(b'read').hexdigest()}\n")
    assert stranger.get("/").status == 303  # the line of the token is gone, and so is the session
    assert "operate" not in str(site.daemon.all("http.refused"))


def test_a_session_ends(site: Site) -> None:
    browser = site.browser("operate")
    kept = browser.cookie
    cookie, _, value = kept.partition("=")
    until, name, signature = value.split(".")
    for forged in (
        f"{int(until) + 1}.{name}.{signature}",
        f"{until}.cmVhZA.{signature}",
        f"{until}.{name}.{'0' * 64}",
        f"1.{name}.{signature}",
        "login." + "0" * 32,
    ):
        browser.cookie = f"other; a=b; {cookie}={forged}"
        assert browser.get("/").status == 303
    browser.cookie = f'bad="; {kept}'
    assert browser.get("/").status == 200
    left = browser.post("/logout")
    assert (left.status, left.headers["Location"]) == (303, "/login")
    assert left.headers["Set-Cookie"].startswith(f"{cookie}=; Path=/")
    assert "Secure" in browser.get("/login", **{"X-Forwarded-Proto": "https"}).headers["Set-Cookie"]


def test_a_form_of_another_page_does_nothing(site: Site, file: Store) -> None:
    browser = site.browser("operate")
    form, own = browser.form(), f"http://127.0.0.1:{site.port}"
    fields = {"queue": "mail", "reason": "x"}
    bad = [
        ({"form": form}, {"Origin": "http://evil.example.org"}),
        ({"form": form}, {"Origin": "null"}),
        ({"form": form}, {"Origin": f"http://127.0.0.1:{site.port + 1}"}),
        ({"form": form}, {}),
        ({}, {"Origin": own}),
        ({"form": "0" * 64}, {"Origin": own}),
        ({"form": site.browser("operate").form() and form[::-1]}, {"Origin": own}),
    ]
    for given, headers in bad:
        page = browser.ask("POST", "/do/pause", urlencode(fields | given), **headers)
        assert page.status == 403, (given, headers)
    for path in ("/do/pause", "/login"):  # browsers send no cookie along, but would take one
        page = site.browser().ask("POST", path, "x=", Origin="http://evil.example.org")
        assert page.status in {401, 403}
        assert "Set-Cookie" not in page.headers  # it would take the place of the session's
    assert browser.get("/", Host="evil.example.org").status == 403
    assert not file.counts("mail").paused
    assert browser.post("/do/pause", **fields).status == 303
    assert file.counts("mail").paused


def test_a_page_that_is_shared_has_the_name_of_each(site: Site) -> None:
    with site.tokens.open("a") as tokens:
        tokens.write(f"<b>other operate {sha256(b'other').hexdigest()}\n")
    browsers = [site.browser("operate"), site.browser("other")]
    pages = [browser.get("/jobs").text for browser in browsers]
    assert [
        ("<span>operate</span>" in page, "<span>&lt;b&gt;other<" in page) for page in pages
    ] == [
        (True, False),
        (False, True),
    ]
    assert len({browser.form() for browser in browsers}) == 2
    for browser in browsers:
        assert browser.post("/do/pause", queue="mail", reason="x").status == 303


def test_a_browser_is_told_that_something_has_changed(site: Site, file: Store) -> None:
    browser = site.browser("read")
    assert Browser(site.port).get("/live").status == 401
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    connection.request("GET", "/live", headers={"Cookie": browser.cookie})
    answer = connection.getresponse()
    assert answer.getheader("Content-Type") == "text/event-stream"
    assert answer.readline().startswith(b"retry: ")

    def told() -> str:
        """The next line that is neither empty nor a beat of the heart."""
        return (
            next(line for line in iter(answer.readline, b"") if line.strip() not in {b"", b":"})
            .decode()
            .strip()
        )

    def state() -> str:
        """Of a page that is asked for now."""
        found = re.search('data-state="([0-9a-f]+)"', browser.get("/queues/mail").text)
        assert found
        return found[1]

    assert (told(), told()) == ("event: state", f"data: {(before := state())}")
    file.add("mail", "mark", ["new"], delay=3600)
    assert told() == f"data: {state()}" != f"data: {before}"
    site.tokens.write_text(f"other read {sha256(b'other').hexdigest()}\n")
    file.add("mail", "mark", ["last"], delay=3600)
    until(lambda: not answer.readline())  # the session has ended, and so does the stream
    connection.close()


def test_logins_are_slowed_for_all_together(site: Site) -> None:
    def is_slowed() -> bool:
        site.browser().log_in("wrong")
        return site.browser().log_in("operate").status == 429  # one more comes back each second

    assert site.browser().log_in("wrong").status == 403
    assert any(is_slowed() for _ in range(20 * sessions.ATTEMPTS))
    until(lambda: site.browser().log_in("operate").status == 303)


def test_whoever_may_read_does_not_operate(site: Site, file: Store) -> None:
    file.add("mail", "mark", ["later"], delay=3600)
    reader = site.browser("read")
    assert "do-pause" not in reader.get("/queues/mail").text
    assert "Run now" not in reader.get("/job?queue=mail&id=later").text
    for verb in ("pause", "purge", "run_now", "reload", "remove"):
        assert reader.post(f"/do/{verb}", queue="mail", job="later", reason="x").status == 403
    assert file.counts("mail").delayed == 1
    assert "do-pause" in site.browser("operate").get("/queues/mail").text


def test_without_a_token_file_people_may_look(daemon: Make, file: Store) -> None:
    port = free_port()
    daemon(file.url, keys_of(port, 'prefix = "/queues"')).start()
    browser = Browser(port, "/queues")
    page = browser.get("/")
    assert (page.status, "read only" in page.text) == (200, True)
    assert browser.get("").status == 200
    links = set(re.findall(r'(?:href|src|action)="([^"]*)"', page.text)) - {"#main"}
    assert {each for each in links if not each.startswith("/queues/")} == set()
    bare = Browser(port)
    for path in sorted(links):
        assert bare.get(path).status == 200, path
    assert browser.post("/do/pause", "", queue="mail").status == 403
    assert not file.counts("mail").paused
    for path in ("/queuesjobs", "/queuesapi/v1/status", "/queues2/"):
        assert bare.get(path).status == 404, path
    asset = next(each for each in links if each.endswith(".css"))
    assert "immutable" in bare.get(asset).headers["Cache-Control"]
    for path in ("/assets/x/../site.py", "/assets/x/../../site.py", "/assets//etc/passwd"):
        assert browser.get(path).status == 404


def test_what_producers_wrote_is_no_markup(site: Site, file: Store) -> None:
    jobs = []
    for id in ("h", HOSTILE):  # a payload with that id cannot be read
        spec = JobSpec(
            id=id, task=HOSTILE, args=[HOSTILE, 2**63 + 1], kwargs={HOSTILE: HOSTILE}, key=KEY
        )
        jobs.append(NewJob(id=id, payload=encode_spec(spec), key=KEY))
    file.do(lambda store: store.add("mail", jobs))
    file.add("mail", "fail_with", ["failed"], HOSTILE)
    browser = site.browser("operate")
    until(lambda: file.counts("mail").failed)
    browser.post("/do/pause", queue="mail", reason=KEY)
    named = urlencode({"queue": "mail", "id": HOSTILE})
    error = urlencode({"state": "failed", "error": HOSTILE, "task": HOSTILE, "key": KEY})
    paths = [
        *(path for path, _ in PAGES),
        "/queues/mail?state=waiting",
        "/queues/mail?state=failed",
        f"/queues/mail?{error}",
        f"/jobs?{error}",
        f"/job?{named}",
        "/job?queue=mail&id=failed",
        "/job?queue=mail&id=h",
        f"/jobs?{urlencode({'id': HOSTILE + '2'})}",
        f"/queues/{urlencode({'': HOSTILE})[1:]}",
        f"/login?{urlencode({'next': HOSTILE})}",
        f"/operation?{named}",
        f"/?{urlencode({'done': HOSTILE, 'from': HOSTILE})}",
    ]
    for path in paths:
        page = browser.get(path)
        assert page.status in {200, 303, 404}, (path, page.text)
        for bad in ("<script>", "<img src=x", "\u202e", "\x1b"):
            assert bad not in page.text, (path, bad)
        assert " style=" not in page.text
        assert len(page.text) < 100_000
    page = browser.get("/job?queue=mail&id=h")
    assert str(2**63 + 1) in page.text
    assert "<code>journalctl JOB_ID=h</code>" in page.text
    # which somebody copies into a shell
    assert "<code>journalctl &#39;JOB_ID=" in browser.get(f"/job?{named}").text
    assert "default-src 'none'; script-src 'self'" in page.headers["Content-Security-Policy"]


def test_buttons_do_what_they_say(site: Site, file: Store) -> None:
    browser = site.browser("operate")
    file.add("mail", "mark", ["a", "b"], delay=3600)
    file.add("mail", "mark", ["c"], delay=3600)
    here = "/job?queue=mail&id=a"
    done = browser.post("/do/run_now", queue="mail", job="a", back=here)
    assert done.headers["Location"] == f"{here}&done=run_now"
    until(lambda: site.daemon.tally()["a"])
    until(lambda: "Run again" in browser.get(here).text)
    assert browser.post("/do/run_now", queue="mail", job="a").status == 409
    assert browser.post("/do/cancel", queue="mail", job="b", back=here).status == 303
    assert browser.post("/do/purge", queue="mail", state="delayed", typed="mial").status == 400
    assert browser.post("/do/purge", queue="mail", state="active", typed="mail").status == 400
    begun = browser.post("/do/purge", queue="mail", state="delayed", typed="mail")
    assert begun.headers["Location"].startswith("/operation?id=")
    until(lambda: "<b>1</b> job moved" in browser.get(begun.headers["Location"]).text)
    assert file.counts("mail").delayed == 0
    assert browser.post("/do/pause", queue="mail", reason="provider is down").status == 303
    assert "by operate: provider is down" in browser.get("/").text
    assert (
        browser.post("/do/resume", queue="mail", back="//evil.example.org/")
        .headers["Location"]
        .startswith("/?done=")
    )
    audit = browser.get("/audit").text
    assert [word in audit for word in ("pause", "resume", "run now", "operate")] == [True] * 4
    assert browser.post("/do/nothing", queue="mail").status == 404


def test_delayed_jobs_are_run_now_and_keep_their_attempts(site: Site, file: Store) -> None:
    """A retry would begin anew."""
    browser = site.browser("operate")
    file.add("mail", "tell", ["other"], "ran", delay=3600)
    file.add("mail", "mark", ["a", "b"], delay=3600)
    here = "/queues/mail?state=delayed&task=mark"
    page = browser.get(here).text
    assert re.findall(r"<button>(Run all[^<]*)</button>", page) == [
        "Run all that are like this now"
    ]
    assert 'action="/do/run_now"' in page
    begun = browser.post("/do/run_now", queue="mail", task="mark", back=here)
    until(lambda: "<b>2</b> jobs moved" in browser.get(begun.headers["Location"]).text)
    until(lambda: file.counts("mail").completed == 2)
    assert file.counts("mail").delayed == 1
    # Numbers of all jobs beside a part of them would say something else than the list.
    assert "delayed <b>1</b></a>" in browser.get("/queues/mail?state=delayed").text
    assert "delayed</a>" in browser.get(here).text


def group_of(page: str) -> dict[str, str]:
    """What the form of the first group carries."""
    fields = re.findall(r'name="(queue|sample|group)" value="([^"]*)"', page)
    return {name: html.unescape(value) for name, value in fields[:3]}


def test_dead_letters_are_groups(site: Site, file: Store) -> None:
    browser = site.browser("operate")
    for number in range(3):
        file.add("mail", "fail_with", [f"a{number}"], f"order {number}: declined")
    file.add("mail", "fail_with", ["b"], "order 9: lost")
    until(lambda: file.counts("mail").failed == 4)
    page = browser.get("/dead").text
    assert page.count("data-row") == 2
    assert re.findall(r"<td class=\"n\"><b>(\d+)</b>", page) == ["3", "1"]
    assert browser.post("/do/remove", **(group_of(page) | {"group": "0" * 16})).status == 409
    begun = browser.post("/do/remove", **group_of(page), reason="the bank is gone")
    until(lambda: "<b>3</b> jobs moved" in browser.get(begun.headers["Location"]).text)
    assert file.get("mail", "b").state is State.FAILED
    assert file.counts("mail").failed == 1


def test_schedules_are_run_paused_and_foreseen(site: Site, file: Store) -> None:
    every = '[[queues.mail.repeatables]]\ntask = "mark"\nname = "yearly"\ncron = "0 3 1 1 *"\n'
    limit = "global_concurrency = 3\n"
    site.daemon.configure(keys_of(site.port, f'token_file = "{site.tokens}"') + limit + every)
    site.daemon.ask("reload")
    browser = site.browser("operate")
    until(lambda: "yearly" in browser.get("/schedules").text)
    assert browser.get("/schedule?queue=mail&name=yearly").text.count("<tr><td>20") == 20
    one = {"queue": "mail", "name": "yearly"}
    run = browser.post("/do/run_schedule", **one)
    assert run.headers["Location"].startswith("/job?queue=mail&id=")
    until(site.daemon.lines)
    assert browser.post("/do/pause_schedule", **one, back="/schedules").status == 303
    assert '<span class="tag warn">paused</span>' in browser.get("/schedules").text
    assert browser.post("/do/resume_schedule", **one, back="/schedules").status == 303
    assert '<span class="tag warn">paused</span>' not in browser.get("/schedules").text
    assert site.browser("read").post("/do/run_schedule", **one).status == 403
    actions = [each["action"] for each in site.daemon.all("daemon.operated", schedule="yearly")]
    assert actions == ["run_schedule", "pause_schedule", "resume_schedule"]
    assert browser.get("/schedule?queue=mail&name=nobody").status == 404
    audit = until(lambda: (p := browser.get("/audit").text) and "reloaded" in p and p)
    assert audit.count("<small>yearly</small>") == 3
    assert f", by {system_user()}" in audit
    assert "0 of 3 run" in browser.get("/").text
    assert "<dt>global_concurrency</dt><dd>3</dd>" in browser.get("/daemons").text


def test_jobs_are_found(site: Site, file: Store) -> None:
    browser = site.browser("read")
    file.do(lambda store: store.pause("mail", True))
    file.add("mail", "mark", [f"m{number:03}" for number in range(60)], key="one")
    file.add("mail", "nap", ["other"], key="two")
    page = browser.get("/queues/mail?task=mark")
    assert page.text.count("data-row") == 50
    following = re.search('href="([^"]*)" rel="next"', page.text)
    assert following
    assert browser.get(following[1].replace("&amp;", "&")).text.count("data-row") == 10
    assert browser.get("/queues/mail?key=two").text.count("data-row") == 1
    assert browser.get("/queues/mail?older_than=1h").text.count("data-row") == 0
    for wrong in ("older_than=x", "state=x", "after=x"):
        assert browser.get(f"/queues/mail?{wrong}").status == 400
    assert browser.get("/queues/mail?id=other").headers["Location"].endswith("mail&id=other")
    assert browser.get("/queues/mail?id=nobody").status == 404
    assert browser.get("/jobs?id=other").headers["Location"] == "/job?queue=mail&id=other"
    assert "No queue has a job" in browser.get("/jobs?id=nobody").text
    assert browser.get("/queues/nobody").status == 404
    assert browser.get("/job?queue=mail&id=nobody").status == 404


def test_a_store_that_does_not_answer_has_no_zeros(daemon: Make, server: RedisServer) -> None:
    port = free_port()
    d = daemon(server.url, keys_of(port)).start()
    Store(server.url).add("mail", "mark", ["later"], delay=3600)
    browser = Browser(port)
    until(lambda: "Nothing is paused" in browser.get("/").text)
    until(lambda: 'class="spark"' in browser.get("/").text)
    assert "does not answer" not in browser.get("/daemons").text
    server.kill()
    d.wait_for("daemon.degraded")
    page = until(lambda: (p := browser.get("/")) and "does not answer" in p.text and p)
    assert "What you see below is of" in page.text
    assert "degraded" in page.text
    assert 'class="spark"' in page.text
    daemons = until(lambda: (p := browser.get("/daemons")) and "does not answer" in p.text and p)
    assert (daemons.status, "What you see below is of" in daemons.text) == (200, True)
    assert str(d.pid) in daemons.text
    assert "Generation" in daemons.text
    listed = browser.get("/queues/mail")
    assert (listed.status, "The store does not answer" in listed.text) == (503, True)
    assert "0 jobs" not in listed.text
    server.start()
    until(lambda: browser.get("/queues/mail").status == 200)


def test_what_jobs_carry_is_hidden_wherever_it_would_show(daemon: Make, file: Store) -> None:
    port, secret = free_port(), "sec-" + "ret"
    keys = keys_of(port, "hide_arguments = true")
    limits = f'[queues.mail.keys."{secret}"]\nkey_concurrency = 1\n'
    schedule = f"[[queues.mail.repeatables]]\ntask = 'mark'\nevery = 3600\nargs = ['{secret}']\n"
    d = daemon(file.url, f"{keys}{limits}{schedule}").start()
    d.configure(f"{keys}{limits.replace('1', '2')}{schedule}")
    file.add("mail", "fail_with", ["a", "b", "c"], secret, key=secret)
    until(lambda: file.counts("mail").failed == 3)
    browser = Browser(port)
    paths = [path for path, _ in PAGES] + [
        "/queues/mail?state=failed",
        "/job?queue=mail&id=a",
        "/api/v1/job?id=a",
        "/api/v1/jobs",
        "/api/v1/queue?queue=mail",
        "/api/v1/schedules",
        "/api/v1/plan",
        "/api/v1/config",
        "/api/v1/status",
        "/readyz",
    ]
    for path in paths:
        page = browser.get(path)
        assert page.status == 200, path
        assert secret not in page.text, path
    assert "~ queue mail: keys: hidden" in browser.get("/daemons").text
    assert "hide_arguments is set" in browser.get("/job?queue=mail&id=a").text
    until(lambda: "runs failed" in browser.get("/readyz").text)
    # who could search by it would learn it letter by letter
    assert browser.get("/queues/mail?state=failed&error=sec").status == 409
    assert browser.get("/api/v1/jobs?key=sec-ret").status == 409
    assert secret in str(d.ask("job", id="a"))
    assert file.get("mail", "a").state is State.FAILED


def test_what_is_missing_is_said(daemon: Make, file: Store, place: Path) -> None:
    (place / "jinja2.py").write_text("raise ModuleNotFoundError('no', name='jinja2')\n")
    port = free_port()
    environ = {"PYTHONPATH": str(place)}
    daemon(file.url, keys_of(port), environ=environ, command=COMMAND).start()
    page = Browser(port).get("/")
    assert (page.status, "pip install 'asyncmqd[web]'" in page.text) == (501, True)
    assert Browser(port).get("/metrics").status == 200


def test_charts_say_what_happened_beside_the_jobs(daemon: Make, file: Store) -> None:
    port = free_port()
    d = daemon(file.url, keys_of(port)).start()
    marks = lambda: [each.mark.kind for each in file.do(lambda store: store.marks())]  # noqa: E731
    until(lambda: marks() == ["started"])
    d.kill()
    again = daemon(file.url, keys_of(port)).start()
    again.ask("reload")
    until(lambda: marks()[-1] == "reloaded")
    # In each chart. The page shows what was known up to a second ago.
    until(lambda: Browser(port).get("/queues/mail").text.count('class="mark red"') == 4)
    until(lambda: "<b>reloaded</b>" in Browser(port).get("/queues/mail").text)
    page = Browser(port).get("/queues/mail").text
    for kind in ("started", "died", "reloaded"):
        assert f"<b>{kind}</b>" in page
    workers = lambda: file.do(list_workers)  # noqa: E731
    until(lambda: [(each.generation, each.phase) for each in workers()] == [(2, "ready")])
    assert workers()[0].memory > 10e6
    shown = r">\d+ MB</td><td class=.n wide.>2</td>"
    until(lambda: re.search(shown, Browser(port).get("/daemons").text))
    file.do(lambda store: store.pause("mail", True))
    file.add("mail", "mark", ["a", "b"], key="one")
    file.add("mail", "mark", ["c"], key="two")
    until(lambda: "2 of 2 with jobs that wait" in Browser(port).get("/queues/mail").text)
    page = Browser(port).get("/queues/mail").text
    assert page.index("?state=waiting&amp;key=one") < page.index("?state=waiting&amp;key=two")
