"""Commands that are built when they are named are those that typer would build at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from asyncmqd.cli import asyncmq, asyncmqd, daemon, daemon_commands
from asyncmqd.cli.lazy_commands import command_line

APPS = {"asyncmq": asyncmq.app, "asyncmqd": daemon.app}


def described(command: Any, path: tuple[str, ...], parent: Any = None) -> Iterator[tuple[Any, ...]]:
    """All that people and shells see of a command and of those below it."""
    context = typer.Context(command, info_name=path[-1], parent=parent)
    options = [(type(each), each.name, each.opts, each.metavar) for each in command.params]
    said = (command.name, command.get_short_help_str(), context.get_usage(), options)
    settings = (command.hidden, command.deprecated, command.context_settings, command.epilog)
    yield type(command), path, said, settings, _help(command, context)
    for name in getattr(command, "commands", ()):
        yield from described(command.commands[name], (*path, name), context)


def _help(command: Any, context: typer.Context) -> str:
    formatter = context.make_formatter()
    if command.rich_markup_mode is None:
        command.format_help(context, formatter)
    return str(formatter.getvalue())


@pytest.mark.parametrize("name", APPS)
def test_commands_are_those_that_typer_builds(name: str) -> None:
    app = APPS[name]
    built = list(described(command_line(app), (name,)))
    assert built == list(described(typer.main.get_command(app), (name,)))
    assert len(built) > 5


def test_what_nobody_names_is_not_built() -> None:
    line = command_line(asyncmq.app)
    job = line.commands["job"].commands
    assert "why" in job
    assert job["show"] is job["show"]
    assert set(job._built) == {"show"}
    assert set(line.commands._built) == {"job"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nosuch"], "No such command 'nosuch'."),
        (["jo"], "No such command 'jo'. Did you mean 'job'?"),
        (["job", "sho"], "No such command 'sho'. Did you mean 'show'?"),
        (["job", "logs", "x", "--lines", "0"], "'--lines': expected a whole number from 1 to"),
        (
            ["worker", "start", "q", "--rate-limit", "-0.5"],
            "'--rate-limit': expected a number from 0 to 1000000, got -0.5",
        ),
        (["job"], "Usage: asyncmq job [OPTIONS] COMMAND [ARGS]..."),
        ([], "Usage: asyncmq [OPTIONS] COMMAND [ARGS]..."),
    ],
)
def test_what_is_said_of_names_that_are_none(words: list[str], expected: str) -> None:
    program = "import sys; from asyncmqd.cli.asyncmq import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert expected in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("stop", "ends at SIGTERM: `systemctl stop asyncmqd`, or `kill PID`"),
        ("start", "`asyncmqd run` runs a daemon from here, `systemctl start asyncmqd` that of"),
        ("restart", "`systemctl restart asyncmqd` does it."),
    ],
)
def test_what_systemd_does_is_said(word: str, expected: str) -> None:
    line = command_line(daemon.app)
    with pytest.raises(Exception, match=f"No such command '{word}'. ") as caught:
        line.main([word], standalone_mode=False)
    assert expected in str(caught.value)


TOLD = {"ASYNCMQD_CONFIG": "/told.toml"}
PLAIN = (
    "",
    "run",
    "--config a.toml",
    "--config=a.toml",
    "run --config a.toml",
    "--config a.toml reload",
    "--config a.toml reload --config=b.toml",
    "--config a.toml --config c.toml status --json",
    "reload --config a.toml --config b.toml --json --json",
    "status",
    "plan --json --config a.toml",
    "--config run plan",
    "--config a.toml run --config run",
)


@pytest.mark.parametrize("environ", [{}, TOLD, {"ASYNCMQD_CONFIG": ""}], ids=["", "told", "empty"])
@pytest.mark.parametrize("line", PLAIN)
def test_what_goes_without_typer_means_the_same(
    line: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASYNCMQD_CONFIG", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    called: list[tuple[Any, ...]] = []

    def noting(name: str) -> Any:
        return lambda config, **flags: called.append((name, config, flags))

    for name in ("run", "plan", "reload", "status"):
        monkeypatch.setattr(daemon_commands, name, noting(name))
    plain = asyncmqd.plain(line.split(), environ)
    assert plain is not None
    plain()
    command_line(daemon.app).main(line.split(), prog_name="asyncmqd", standalone_mode=False)
    assert called[0] == called[1]


@pytest.mark.parametrize(
    "line",
    [
        "--help",
        "run --help",
        "--version",
        "check",
        "nosuch",
        "run reload",
        "run --json",
        "--json status",
        "--config",
        "--config=",
        "status --config",
        "status --config --json",
        "--conf a.toml",
        "status extra",
        "-- status",
    ],
)
def test_all_else_is_for_typer(line: str) -> None:
    assert asyncmqd.plain(line.split(), {}) is None


def test_so_is_what_a_shell_asks() -> None:
    assert asyncmqd.plain([], {"_ASYNCMQD_COMPLETE": "complete_bash"}) is None


WORDS = (None, "mail", "5", "0", "-1", "1.5", "5m", "failed", "", "two words", "Ä", True, 7)
SEVERAL = (None, (), ("mail",), ("a", "b"), ("a b",), ("failed", "x"))


@pytest.mark.parametrize("name", APPS)
def test_values_are_what_typer_makes_of_them(name: str) -> None:
    app = APPS[name]
    ours, theirs = command_line(app), typer.main.get_command(app)
    compared = [
        _compare(*pair, value)
        for pair in _params(ours, theirs)
        for value in (SEVERAL if pair[0].multiple or pair[0].nargs != 1 else WORDS)
    ]
    assert len(compared) > 100


def _params(ours: Any, theirs: Any) -> Iterator[tuple[Any, Any]]:
    yield from zip(ours.params, theirs.params, strict=True)
    for word in getattr(theirs, "commands", ()):
        yield from _params(ours.commands[word], theirs.commands[word])


def _compare(ours: Any, theirs: Any, value: Any) -> None:
    assert _came_to(ours, value) == _came_to(theirs, value), (ours.name, value)


def _came_to(param: Any, value: Any) -> Any:
    context = typer.Context(typer.core.TyperCommand("any"))
    try:
        return param.process_value(context, value)
    except Exception as error:
        return type(error), str(error)


def test_a_command_does_without_pydantic(tmp_path: Path) -> None:
    program = (
        "import sys; from asyncmqd.cli.asyncmq import main\n"
        "try: main()\n"
        "finally: print([each for each in sys.modules if 'pydantic' in each], file=sys.stderr)"
    )
    line = ["--backend", f"sqlite://{tmp_path}/jobs.db", "job", "list", "--queue", "mail"]
    done = subprocess.run(
        [sys.executable, "-c", program, *line], capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == "[]"
