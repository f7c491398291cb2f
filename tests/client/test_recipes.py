"""The recipes of docs/around.md and docs/django.md, with the libraries that they are for."""

from __future__ import annotations

import asyncio
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from asyncmqd import State, current_job, task, testing
from asyncmqd.domain.middleware import AROUND_ENQUEUE, AROUND_RUN

DOCS = Path(__file__).parents[2] / "docs"

todo: list[Callable[[], Any]] = []  # what the next jobs do


@task(name="recipes.plain")
def plain() -> None:
    todo.pop(0)()


@task(name="recipes.in_loop")
async def in_loop() -> None:
    todo.pop(0)()


Recipe = Callable[..., types.ModuleType]


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """Runs one recipe's code, as a module of the application."""
    monkeypatch.setattr(AROUND_RUN, "declared", [])
    monkeypatch.setattr(AROUND_ENQUEUE, "declared", [])

    def run(page: str, heading: str, number: int = 0, **names: Any) -> types.ModuleType:
        section = (DOCS / page).read_text().partition(f"# {heading}\n")[2]
        blocks = re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        module = types.ModuleType("recipe")
        monkeypatch.setitem(sys.modules, "recipe", module)
        vars(module).update(names)
        exec(compile(blocks[number], page, "exec"), vars(module))
        return module

    return run


@pytest.fixture
def app() -> Iterator[testing.App]:
    todo.clear()
    with testing.app() as app:
        yield app


def _fail() -> None:
    raise ValueError("no")


@pytest.fixture
def database(tmp_path: Path) -> str:
    from sqlalchemy import create_engine, text  # imported by those who need it: it is large

    url = f"sqlite:///{tmp_path}/rows.db"
    with (engine := create_engine(url)).begin() as connection:
        connection.execute(text("CREATE TABLE rows (name TEXT)"))
    engine.dispose()
    return url


def _rows(url: str) -> list[str]:
    from sqlalchemy import create_engine, text

    with (engine := create_engine(url)).connect() as connection:
        rows = list(connection.execute(text("SELECT name FROM rows")).scalars())
    engine.dispose()
    return rows


@pytest.mark.parametrize("job", [plain, in_loop])
def test_a_session_is_committed_or_rolled_back(
    recipe: Recipe, app: testing.App, database: str, job: Any
) -> None:
    from sqlalchemy import text

    module = recipe("around.md", "SQLAlchemy", DATABASE=database)

    def insert(name: str) -> None:
        module.session.get().execute(text("INSERT INTO rows VALUES (:name)"), {"name": name})

    def insert_and_fail() -> None:
        insert("lost")
        raise ValueError

    todo[:] = [lambda: insert("a"), insert_and_fail, lambda: insert("b")]
    for _ in range(3):
        job.enqueue_sync()
    assert [ran.state for ran in app.run_dry_sync()] == [
        State.COMPLETED, State.FAILED, State.COMPLETED,
    ]  # fmt: skip
    assert _rows(database) == ["a", "b"]
    with pytest.raises(LookupError):
        module.session.get()
    assert module.engine.pool.checkedout() == 0
    module.engine.dispose()


def test_a_scoped_session_is_not_left_to_the_next_job(
    recipe: Recipe, app: testing.App, database: str
) -> None:
    from sqlalchemy import text

    module = recipe("around.md", "SQLAlchemy", 1, DATABASE=database)

    def insert_and_fail() -> None:
        module.Session.execute(text("INSERT INTO rows VALUES ('lost')"))
        raise ValueError

    todo[:] = [insert_and_fail, module.Session.commit]
    plain.enqueue_sync()
    plain.enqueue_sync()
    app.run_dry_sync()
    assert _rows(database) == []
    module.Session.session_factory.kw["bind"].dispose()


@pytest.fixture
def sentry(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The events that it would send."""
    # Its import looks into an installed eventlet, which has every fork of this process warn then.
    monkeypatch.setitem(sys.modules, "eventlet", None)
    import sentry_sdk
    from sentry_sdk.transport import Transport

    events: list[Any] = []

    class Kept(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            events.extend(item.payload.json for item in envelope.items)

    with sentry_sdk.isolation_scope() as scope:
        client = sentry_sdk.Client(
            dsn="http://key@127.0.0.1/1", transport=Kept(), default_integrations=False
        )
        scope.set_client(client)
        yield events
        client.close()


async def test_sentry_gets_each_failure_once_in_a_scope_of_its_own(
    recipe: Recipe, app: testing.App, sentry: list[Any]
) -> None:
    recipe("around.md", "Sentry")

    import sentry_sdk

    def tag_and_fail() -> None:
        sentry_sdk.set_tag("mine", current_job().id)
        raise ValueError("no")

    todo[:] = [tag_and_fail, lambda: None, _fail]
    jobs = [await in_loop.enqueue(), await plain.enqueue(), await plain.enqueue()]
    await app.run_dry()
    first, second = sentry
    assert (first["tags"]["job_id"], first["tags"]["mine"]) == (jobs[0].id, jobs[0].id)
    assert (second["tags"]["job_id"], second["tags"].get("mine")) == (jobs[2].id, None)
    assert first["transaction"] == "recipes.in_loop"
    assert first["exception"]["values"][0]["value"] == "no"


@task(name="recipes.waits", timeout=0.01)
async def waits() -> None:
    await asyncio.Event().wait()


async def test_sentry_gets_what_took_too_long(
    recipe: Recipe, app: testing.App, sentry: list[Any]
) -> None:
    recipe("around.md", "Sentry")
    await waits.enqueue()
    await app.run_dry()
    (event,) = sentry
    assert event["message"] == "the run took longer than its time limit"


@pytest.mark.parametrize("job", [plain, in_loop])
async def test_structlog_has_the_job_and_loses_it(
    recipe: Recipe, app: testing.App, job: Any
) -> None:
    recipe("around.md", "structlog")
    seen: list[dict[str, Any]] = []
    todo[:] = [lambda: seen.append(structlog.contextvars.get_contextvars())] * 2
    ids = [(await job.enqueue()).id for _ in range(2)]
    await app.run_dry()
    assert seen == [{"job_id": id, "task": job.name} for id in ids]
    assert structlog.contextvars.get_contextvars() == {}


@pytest.mark.parametrize("job", [plain, in_loop])
def test_flask_s_context_is_there_and_left(
    recipe: Recipe, app: testing.App, monkeypatch: pytest.MonkeyPatch, job: Any
) -> None:
    import flask

    shop = types.ModuleType("shop.web")
    monkeypatch.setitem(sys.modules, "shop.web", shop)
    shop.app = flask.Flask("shop")  # type: ignore[attr-defined]
    left: list[Any] = []
    shop.app.teardown_appcontext(left.append)
    recipe("around.md", "Flask")
    seen: list[str] = []
    todo[:] = [lambda: seen.append(flask.current_app.name), _fail]
    job.enqueue_sync()
    job.enqueue_sync()
    app.run_dry_sync()
    assert seen == ["shop"]
    assert [type(each) for each in left] == [type(None), ValueError]
    assert not flask.has_app_context()
