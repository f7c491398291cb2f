"""What people at a terminal get: tables with colours, questions and progress bars."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asyncmqd.backends.base import PAGE, BaseBackend
from tests.cli.conftest import Operator
from tests.cli.terminal import Spawn, Terminal
from tests.cli.test_jobs import InStore, new

# The terminal is what matters here; the other tests have all stores.
pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


@pytest.fixture
def waiting(in_store: InStore) -> int:
    """How many jobs wait in `mail`: more than a page."""
    count = 2 * PAGE + 1
    in_store(lambda store: store.add("mail", [new(f"w{number}") for number in range(count)]))
    return count


@pytest.fixture
def terminal(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Terminal]:
    """Runs `asyncmq` on a terminal that knows colours."""
    for name, value in (("TERM", "xterm-256color"), ("COLUMNS", "120")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return lambda *arguments: Terminal(spawn, arguments)


def left(asyncmq: Operator) -> int:
    return len(asyncmq("job", "list", "--limit", "10000", "--json").json)


def test_a_table_has_colours_and_keeps_job_data_literal(
    terminal: Callable[..., Terminal], in_store: InStore
) -> None:
    async def fill(store: BaseBackend) -> None:
        await store.add("mail", [new("one", task="[red]\x1b]0;owned\x07")])
        await store.pause("mail", paused=True)

    in_store(fill)
    with terminal("job", "list") as screen:
        assert screen.end() == 0
    assert r"[red]\x1b]0;owned\x07" in screen.shown
    assert "\x1b]0" not in screen.shown
    assert "\x1b[1m" in screen.shown  # the headings
    assert "━" in screen.shown or "─" in screen.shown
    with terminal("queue", "list") as screen:
        assert screen.end() == 0
    assert "PAUSED" in screen.shown


def test_a_long_id_is_never_cut(terminal: Callable[..., Terminal], in_store: InStore) -> None:
    id = "x" * 100
    in_store(lambda store: store.add("mail", [new(id, task="t" * 90)]))
    with terminal("job", "list") as screen:
        screen.end()
    assert screen.shown.count("x") == 100


def test_purge_asks_and_takes_no_for_an_answer(
    terminal: Callable[..., Terminal], asyncmq: Operator, waiting: int
) -> None:
    with terminal("queue", "purge", "mail", "--state", "waiting") as screen:
        screen.read_until(f"remove {waiting} waiting jobs of queue mail? [y/N]")
        screen.type("n\n")
        assert screen.end() == 1
    assert "asyncmq: nothing was done" in screen.shown
    assert left(asyncmq) == waiting


def test_purge_shows_its_progress(
    terminal: Callable[..., Terminal], asyncmq: Operator, waiting: int
) -> None:
    with terminal("queue", "purge", "mail", "--state", "waiting") as screen:
        screen.read_until("[y/N]")
        screen.type("y\n")
        assert screen.end() == 0
    assert "removing" in screen.shown
    assert f"/{waiting}" in screen.shown
    assert f"{waiting} jobs removed" in screen.shown
    assert left(asyncmq) == 0


def test_control_c_at_the_question_does_nothing(
    terminal: Callable[..., Terminal], asyncmq: Operator, waiting: int
) -> None:
    with terminal("queue", "purge", "mail", "--state", "waiting") as screen:
        screen.read_until("[y/N]")
        screen.type("\x04")  # end of input: like Ctrl-C, but it needs no controlling terminal
        assert screen.end() == 1
    assert "Traceback" not in screen.shown
    assert left(asyncmq) == waiting
