"""What is at which path of the dashboard, and who may see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from asyncmqd.config.http import Http
from asyncmqd.domain import clock
from asyncmqd.web.api import CannotDo
from asyncmqd.web.authorization import Access, Caller
from asyncmqd.web.dashboard.actions import Actions
from asyncmqd.web.dashboard.board import Board
from asyncmqd.web.dashboard.pages import (
    audit,
    daemons,
    dead_letters,
    job,
    jobs,
    keys,
    limits,
    overview,
    queue,
    schedules,
)
from asyncmqd.web.dashboard.rendering import HEADERS, Renderer
from asyncmqd.web.dashboard.shared_pages import Own, SharedPages
from asyncmqd.web.dashboard.ticks import Ticks
from asyncmqd.web.dashboard.visit import MOST_ARGUMENTS, Moved, Source, Visit, local_path
from asyncmqd.web.server import Request, Response, Stream
from asyncmqd.web.sessions import Sessions, cookie_of

HTML = "text/html; charset=utf-8"
Values = Callable[[Visit], Awaitable[dict[str, Any]]]
PAGES: dict[str, tuple[str, Values]] = {
    "": ("overview.html", overview.values),
    "queues": ("queue.html", queue.values),
    "job": ("job.html", job.values),
    "jobs": ("jobs.html", jobs.values),
    "dead": ("dead.html", dead_letters.values),
    "schedules": ("schedules.html", schedules.of_all),
    "schedule": ("schedule.html", schedules.of_one),
    "limits": ("limits.html", limits.values),
    "daemons": ("daemons.html", daemons.values),
    "audit": ("audit.html", audit.of_all),
    "operation": ("operation.html", audit.of_one),
    "keys": ("keys.html", keys.values),
}
"""By the first part of the path: the template, and what gives its values."""


class Site:
    """Answers what people ask for. `tell` hears of what is refused."""

    def __init__(
        self,
        access: Access,
        sessions: Sessions,
        http: Http,
        source: Source,
        tell: Callable[[str, str], None],
    ) -> None:
        self._access = access
        self._sessions = sessions
        self._prefix = prefix = http.prefix or ""
        self._hides = http.hide_arguments
        self._source = source
        self._tell = tell
        self._board = Board(source)
        self._renderer = Renderer(prefix)
        self._shared = SharedPages()
        self._ticks = Ticks(source, self._changed)
        self._actions = Actions(source, self._acted)

    def _changed(self) -> None:
        """What was read before is not shown to those who are told of a change."""
        self._board.forget()
        self._shared.forget()

    def _acted(self) -> None:
        self._board.forget(judges=True)
        self._shared.forget()

    async def answer(self, request: Request, path: str) -> Response | Stream:
        """The response; `path` has no prefix."""
        first, _, rest = path.removeprefix("/").partition("/")
        if request.query.count("&") >= MOST_ARGUMENTS:
            return Response(400, b"too many arguments\n", headers=HEADERS)
        if first == "assets":
            return self._asset(rest)
        if first == "login":
            return await self._login(request)
        caller = self._caller(request)
        if caller is None:
            return await self._to_login(request, path)
        if first == "live":
            return self._live(request)
        visit = Visit(request, path, caller, self._source, self._board)
        return self._personal(visit, await self._answer(visit, first, unquote(rest)))

    async def _answer(self, visit: Visit, first: str, rest: str) -> Response:
        """What is the same for all of a role: a page, or where a form leads."""
        match visit.request.method:
            case "GET" | "HEAD":
                key = f"{visit.path}?{visit.request.query}", visit.caller.operates
                state = await self._ticks.state()  # before anything of the page is read
                return await self._shared.get(key, lambda: self._page(visit, first, state))
            case "POST":
                return await self._act(visit, first, rest)
        allowed = ("Allow", "GET, POST")
        return await self._problem(visit, 405, "expected GET or POST", allowed)

    def _live(self, request: Request) -> Response | Stream:
        try:
            return self._ticks.open(lambda: self._caller(request) is not None)
        except CannotDo as refusal:
            return Response(refusal.status, f"{refusal}\n".encode())

    def _caller(self, request: Request) -> Caller | None:
        return self._sessions.caller(request) or self._access.caller(request)

    def _personal(self, visit: Visit, page: Response) -> Response:
        """The page for the one who looks."""
        form = self._sessions.form_token(cookie_of(visit.request))
        return self._shared.filled(page, Own(visit.caller.name, form))

    def _asset(self, path: str) -> Response:
        found = self._renderer.asset(path.partition("/")[2])
        return found or Response(404, b"no such file\n")

    # ------------------------------------------------------------------ pages

    async def _page(self, visit: Visit, first: str, state: str) -> Response:
        template, values = PAGES.get(first, ("", None))
        if values is None:
            return await self._problem(visit, 404, "There is no such page.")
        self._renderer.load_soon(template)  # while the store is asked
        try:
            found = await values(visit)
        except Moved as moved:
            return self._redirect(str(moved))
        except ValueError as error:  # of the address
            return await self._problem(visit, 400, str(error))
        except CannotDo as refusal:
            return await self._problem(visit, refusal.status, str(refusal))
        page = await self._render(visit, template, found | {"store_state": state})
        self._renderer.load_soon("queue.html")  # while somebody reads
        return page

    async def _problem(
        self, visit: Visit, status: int, problem: str, *headers: tuple[str, str]
    ) -> Response:
        causes = self._source.causes([]) if status == 503 else []
        values = {"problem": problem, "causes": causes, "status": status}
        return await self._render(visit, "problem.html", values, status, *headers)

    async def _render(
        self,
        visit: Visit,
        template: str,
        values: dict[str, Any],
        status: int = 200,
        *headers: tuple[str, str],
    ) -> Response:
        common = {
            "name": visit.caller.name and self._shared.places.name,
            "operates": visit.caller.operates,
            "store_state": "",
            "hides": self._hides,
            "is_open": self._access.is_open,
            "here": visit.here,
            "now": round(clock.wall() * 1000),
            "path": visit.path,
            "form": self._shared.places.form,
            "done": visit.query.get("done", "") if status == 200 else "",
        }
        body = await self._renderer.page(template, common | values)
        return Response(status, body, HTML, (*HEADERS, *headers))

    # ------------------------------------------------------------------ logging in

    async def _to_login(self, request: Request, path: str) -> Response:
        if request.method == "POST":
            back = _fields(request).get("back", "/")
            problem = self._access.problem or "You are not logged in any more: nothing was done."
            return await self._login_page(request, back, problem, 401)
        if request.method != "GET" or path == "/live" or "x-fragment" in request.headers:
            self._tell(self._access.problem or "expected a session", self._access.client(request))
            return Response(401, b"log in first\n", headers=HEADERS)
        query = f"?{request.query}" if request.query else ""
        return self._redirect(f"/login?next={quote(local_path(path + query), safe='/')}")

    async def _login(self, request: Request) -> Response:
        """The page, and what it sends."""
        given = dict(parse_qsl(request.query))
        if self._sessions.caller(request) is not None:
            return self._redirect(local_path(given.get("next", "/")))
        if request.method != "POST":
            return await self._login_page(request, given.get("next", "/"))
        form = _fields(request)
        if problem := self._sessions.problem_with_form(request, form.get("form", "")):
            return await self._login_page(request, form.get("next", "/"), problem, 403)
        if wait := self._sessions.attempts.wait():
            problem = "Too many logins have failed. Try again in a moment."
            after = ("Retry-After", str(int(wait) + 1))
            return await self._login_page(request, form.get("next", "/"), problem, 429, after)
        cookie = self._sessions.begin(form.get("token", ""))
        if cookie is None:
            problem = self._access.problem or "Nobody has this token."
            return await self._login_page(request, form.get("next", "/"), problem, 403)
        target = self._redirect(local_path(form.get("next", "/")))
        headers = (*target.headers, self._sessions.header(request, cookie))
        return target._replace(headers=headers)

    async def _login_page(
        self,
        request: Request,
        next: str,
        problem: str = "",
        status: int = 200,
        *headers: tuple[str, str],
    ) -> Response:
        if problem:
            self._tell(f"login: {problem}", self._access.client(request))
        cookie = self._sessions.stranger(request)
        values = {
            "next": local_path(next),
            "problem": problem,
            "form": self._sessions.form_token(cookie),
        }
        body = await self._renderer.page("login.html", values)
        self._renderer.load_soon("overview.html", "queue.html")  # while somebody types the token
        # A form of another site brings no cookie along: a new one would end the session there is.
        foreign = request.method == "POST" and self._sessions.problem_with_origin(request)
        kept = () if foreign else (self._sessions.header(request, cookie),)
        return Response(status, body, HTML, (*HEADERS, *kept, *headers))

    # ------------------------------------------------------------------ acting

    async def _act(self, visit: Visit, first: str, name: str) -> Response:
        request, form = visit.request, _fields(visit.request)
        problem = self._sessions.problem_with_form(request, form.get("form", ""))
        if first == "logout" and not problem:
            target = self._redirect("/login")
            dropped = self._sessions.header(request, "")
            return target._replace(headers=(*target.headers, dropped))
        if not problem and not visit.caller.operates:
            problem = f"{name}: expected a token of the role operate"
        if problem:
            self._tell(problem, self._access.client(request))
            return await self._problem(visit, 403, problem)
        if first != "do":
            return await self._problem(visit, 404, "There is no such page.")
        back = local_path(form.get("back", "/"))
        try:
            return self._redirect(await self._actions.do(name, form, visit.caller.name, back))
        except CannotDo as refusal:
            return await self._problem(visit, refusal.status, str(refusal))

    def _redirect(self, path: str) -> Response:
        """Whoever has sent a form gets a page to look at, which may be loaded again."""
        return Response(303, b"", headers=(("Location", self._prefix + path), *HEADERS))


def _fields(request: Request) -> dict[str, str]:
    try:
        text = request.body.decode()
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=2_000))
    except ValueError:
        return {}
