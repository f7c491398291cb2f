"""The applications of FastAPI, Flask and Django: their own tests, and what their pages show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES

DOCS = Path(__file__).parents[2] / "docs"
FRAMEWORKS = ("django", "fastapi", "flask")
RUNNERS = {
    "django": ["-m", "django", "test", "django_app"],
    "fastapi": ["-m", "pytest", "-q", "-p", "no:cacheprovider", "fastapi_app"],
    "flask": ["-m", "pytest", "-q", "-p", "no:cacheprovider", "flask_app"],
}


def _python(*arguments: str, cwd: Path = EXAMPLES, **environ: str) -> str:
    """What it writes, when it succeeds."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={
            **os.environ,
            "PYTHONPATH": str(EXAMPLES),
            "DJANGO_SETTINGS_MODULE": "django_app.settings",
            **environ,
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_its_own_tests_pass(framework: str) -> None:
    said = _python("-W", "error", *RUNNERS[framework])
    assert re.search(r"2 passed|Ran 2 tests", said), said


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_daemon_can_import_it(framework: str, tmp_path: Path) -> None:
    file = tmp_path / "queues.toml"
    text = (EXAMPLES / f"{framework}_app" / "queues.toml").read_text()
    file.write_text(text.replace("/srv/examples", str(EXAMPLES)))
    _python("-m", "asyncmqd", "check", "--import", "--config", str(file), cwd=tmp_path)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_its_page_shows_its_code(framework: str) -> None:
    files = (EXAMPLES / f"{framework}_app").glob("*.*")
    code = "\n".join(file.read_text() for file in files)
    page = (DOCS / f"{framework}.md").read_text()
    blocks = re.findall(r"^```(?:python|toml)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 2
    assert [block for block in blocks if block not in code] == []


OPEN_TRANSACTION = """
import django_app.daemon
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from asyncmqd import State, task, testing
from django_app.models import Order

call_command("migrate", run_syncdb=True, verbosity=0)

@task
def leaves_a_transaction_open():
    transaction.set_autocommit(False)
    Order.objects.create(item="lost")
    raise ValueError

@task
def says_how_many() -> int:
    assert connection.get_autocommit()
    Order.objects.create(item="kept")
    return Order.objects.count()

@task
def finds_it_closed() -> bool:
    return connection.connection is None

with testing.app() as app:
    leaves_a_transaction_open.enqueue_sync()
    says_how_many.enqueue_sync()
    failed, counted = app.run_dry_sync()
    assert failed.state is State.FAILED, failed
    assert counted.result == 1, counted
    connection.close_at = 0  # as if it were older than CONN_MAX_AGE
    finds_it_closed.enqueue_sync()
    (ran,) = app.run_dry_sync()
    assert ran.result is True, ran
"""


def test_django_s_connections_are_new_enough_and_have_no_open_transaction(tmp_path: Path) -> None:
    settings = (EXAMPLES / "django_app" / "settings.py").read_text()
    mine = settings.replace("/tmp/django_app.sqlite3", str(tmp_path / "orders.sqlite3"))
    assert mine != settings
    (tmp_path / "file_settings.py").write_text(mine)
    _python(
        "-c",
        OPEN_TRANSACTION,
        cwd=tmp_path,
        PYTHONPATH=f"{EXAMPLES}:{tmp_path}",
        DJANGO_SETTINGS_MODULE="file_settings",
    )
