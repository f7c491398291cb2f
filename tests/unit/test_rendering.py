"""Templates are compiled once, and those of the first pages while somebody logs in."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest

from asyncmqd.web.dashboard.rendering import Renderer

LOGIN = {"form": "f", "next": "/", "problem": ""}


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The templates that were compiled, in their order."""
    names: list[str] = []
    compile = jinja2.Environment.compile

    def noting(self: jinja2.Environment, source: Any, name: Any = None, *rest: Any) -> Any:
        names.append(name)
        return compile(self, source, name, *rest)

    monkeypatch.setattr(jinja2.Environment, "compile", noting)
    return names


async def test_what_is_asked_for_next_is_compiled_before(compiled: list[str]) -> None:
    renderer = Renderer("")
    assert b"Log in" in await renderer.page("login.html", LOGIN)
    assert compiled == ["login.html"]
    renderer.load_soon("overview.html", "queue.html")
    renderer.load_soon("overview.html")  # by another who logs in
    assert b"Log in" in await renderer.page("login.html", LOGIN)
    assert renderer._loading is not None
    await renderer._loading
    await renderer._load_all(["overview.html", "queue.html"])
    assert len(compiled) == len(set(compiled))
    needed = {"overview.html", "base.html", "parts.html", "daemon_table.html", "queue.html"}
    assert needed < {*compiled}


async def test_a_template_that_is_not_there_is_told_to_who_asks() -> None:
    renderer = Renderer("")
    renderer.load_soon("none.html")
    with pytest.raises(jinja2.TemplateNotFound):
        await renderer.page("none.html", {})
