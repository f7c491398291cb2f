"""Templates and assets: how a page becomes bytes, and with which headers it is sent.

A template is compiled when its page is asked for first: all of them together would take the first
page of all as long as it may take.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
from jinja2.meta import find_referenced_templates

import asyncmqd
from asyncmqd.domain.loop_tasks import begin, retrieve_error
from asyncmqd.web.dashboard import words
from asyncmqd.web.dashboard.visit import address, job_address
from asyncmqd.web.server import Response

_HERE = Path(__file__).parent
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_AT_ONCE = 40  # parts of a page that are made in one turn of the loop
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = (
    ("Content-Security-Policy", POLICY),
    # Not no-referrer: browsers would then send forms with the origin "null".
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)


PAGES = (
    ("/", "Overview"),
    ("/jobs", "Jobs"),
    ("/dead", "Dead letters"),
    ("/schedules", "Schedules"),
    ("/limits", "Limits"),
    ("/daemons", "Daemons"),
    ("/audit", "Audit"),
)
SAID = {
    "pause": "The queue is paused. Jobs that run go on.",
    "resume": "The queue goes on.",
    "retry": "The job runs again.",
    "cancel": "The job is cancelled.",
    "remove": "The job is removed.",
    "run_now": "The job runs as soon as there is a slot.",
    "pause_schedule": "The schedule is paused. What it names meanwhile is skipped.",
    "resume_schedule": "The schedule fires again.",
    "reload": "The configuration is loaded again.",
    "cancel_operation": "The operation is cancelled. What it has done stays.",
}


class _Loader(jinja2.FileSystemLoader):
    """Knows which other templates each one needs, without a second look at it."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.needs: dict[str, list[str]] = {}

    def load(
        self,
        environment: jinja2.Environment,
        name: str,
        globals: MutableMapping[str, Any] | None = None,
    ) -> jinja2.Template:
        source, path, is_fresh = self.get_source(environment, name)
        tree = environment.parse(source, name, path)
        self.needs[name] = [*filter(None, find_referenced_templates(tree))]
        code = environment.compile(tree, name, path)
        return environment.template_class.from_code(environment, code, globals or {}, is_fresh)


class Renderer:
    """Makes pages from templates."""

    def __init__(self, prefix: str) -> None:
        self._loaded: set[str] = set()  # templates that are compiled, with all that they need
        self._compiling = asyncio.Lock()  # one is compiled at a time
        self._loading: asyncio.Task[None] | None = None
        self._loader = _Loader(_HERE / "templates")
        self._environment = jinja2.Environment(
            loader=self._loader,
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            finalize=words.shown,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(
            duration=words.duration,
            number=words.number,
            size=words.size,
            lines=words.lines,
            value=words.value,
            short=words.short,
            ticks=words.ticks,
            moment=words.moment,
        )
        self._environment.globals.update(
            prefix=prefix,
            assets=f"{prefix}/assets/{self.stamp}",
            version=asyncmqd.__version__,
            pages=PAGES,
            said=SAID,
            address=address,
            job_address=job_address,
        )

    def load(self, name: str) -> None:
        """Compile a template and those that it needs, which takes 30 ms at most, and once."""
        if name not in self._loaded:
            self._environment.get_template(name)
            for other in self._loader.needs[name]:
                self.load(other)
            self._loaded.add(name)

    def load_soon(self, *names: str) -> None:
        """Compile these while nobody waits for them."""
        missing = [name for name in names if name not in self._loaded]
        if missing and (self._loading is None or self._loading.done()):
            self._loading = begin(self._load_all(missing))
            self._loading.add_done_callback(retrieve_error)  # whoever asks for the page hears of it

    async def _load_all(self, names: Sequence[str]) -> None:
        for name in names:
            async with self._compiling:
                await asyncio.to_thread(self.load, name)

    async def page(self, name: str, values: dict[str, Any]) -> bytes:
        """A page. It is made in parts, so that jobs are not kept waiting for a long one."""
        if name not in self._loaded:
            await self._load_all([name])
        parts: list[str] = []
        for number, part in enumerate(self._environment.get_template(name).generate(values), 1):
            parts.append(part)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return "".join(parts).encode(errors="backslashreplace")

    @cached_property
    def _assets(self) -> dict[str, bytes]:
        return {each.name: each.read_bytes() for each in sorted((_HERE / "assets").iterdir())}

    @cached_property
    def stamp(self) -> str:
        """Changes with the assets, so that browsers may keep them for ever."""
        return sha256(b"\0".join(self._assets.values())).hexdigest()[:12]

    def asset(self, name: str) -> Response | None:
        """A file of the pages."""
        data = self._assets.get(name)
        if data is None:
            return None
        kept = ("Cache-Control", "public, max-age=31536000, immutable")
        return Response(200, data, _TYPES[Path(name).suffix], (kept, *HEADERS))
