"""The command line `asyncmqd`, as typer knows it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from asyncmqd.cli import daemon_commands
from asyncmqd.cli.daemon_commands import DEFAULT_CONFIG
from asyncmqd.cli.errors import BAD_CONFIG
from asyncmqd.cli.output import say
from asyncmqd.domain.safe_text import counted

# The rest is imported where it is used.
if TYPE_CHECKING:
    from asyncmqd.config.errors import ConfigError
    from asyncmqd.config.models import Settings
    from asyncmqd.daemon.application_import import Application

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="ASYNCMQD_CONFIG",
        help=f"The configuration file (default {DEFAULT_CONFIG}).",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_OTHER_WAYS = {
    "start": "`asyncmqd run` runs a daemon from here, `systemctl start asyncmqd` that of the unit.",
    "stop": "A daemon lets running jobs finish and ends at SIGTERM: `systemctl stop asyncmqd`, or"
    " `kill PID` with the pid that `asyncmqd status` shows.",
    "restart": "`systemctl restart asyncmqd` does it. A daemon without systemd ends at SIGTERM, and"
    " `asyncmqd run` runs another; for a new configuration `asyncmqd reload` is enough.",
}
"""What does what other daemons have a command for."""


class _Commands(TyperGroup):
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in _OTHER_WAYS:
            ctx.fail(f"No such command '{args[0]}'. {_OTHER_WAYS[args[0]]}")
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=_Commands, add_completion=False, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        from asyncmqd import __version__

        print(f"asyncmqd {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
]


@app.callback(invoke_without_command=True)
def default(context: typer.Context, config: Config = None, version: Version = False) -> None:  # noqa: ARG001 - its callback acts
    """Run background jobs as queues.toml says. Without a command: run the daemon."""
    context.obj = config
    if context.invoked_subcommand is None:
        run(context, config)


@app.command()
def run(context: typer.Context, config: Config = None) -> None:
    """Run the daemon until SIGTERM; SIGHUP reloads."""
    daemon_commands.run(_chosen(context, config))


@app.command()
def check(
    context: typer.Context,
    config: Config = None,
    import_: Annotated[
        bool, typer.Option("--import", help="Also import the tasks and scanners.")
    ] = False,
) -> None:
    """Validate the configuration, without side effects; exit 78 names all that is wrong in it.

    Tasks and scanners are not imported, unless `--import` says so. Prints the next two instants of
    each schedule.
    """
    from asyncmqd.config.errors import ConfigErrors
    from asyncmqd.config.load import load
    from asyncmqd.daemon.application_import import Application

    path = _chosen(context, config)
    try:
        settings = load(path, os.environ)
        application = Application(path, os.environ)
        _check_host(application, settings)
        if import_:
            application.extend_path(settings)
            application.load(settings)
        for warning in _warnings(application, settings, imported=import_):
            print(f"warning: {warning}", file=sys.stderr)
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        raise typer.Exit(BAD_CONFIG) from None
    count = len(settings.queues)
    say(f"{path}: ok, {counted(count, 'queue')}")
    if not import_ and (settings.tasks or any(q.scanners for q in settings.queues.values())):
        print("tasks and scanners were not imported: --import imports them")
    for line in _foreseen(settings):
        say(line)


def _check_host(application: Application, settings: Settings) -> None:
    """See that this host can use such a store, and has what `[otel]` needs. Nothing is contacted.

    Raises ConfigErrors.
    """
    from asyncmqd.backends.factory import open_backend
    from asyncmqd.daemon.trace_setup import missing

    try:
        open_backend(settings.backend_url)
    except ValueError as error:
        raise application.refusal(settings, {("backend",): str(error)}) from None
    if problems := missing(settings.otel, os.environ, settings.python_path):
        raise application.refusal(settings, problems)


def _warnings(
    application: Application, settings: Settings, *, imported: bool
) -> Iterator[ConfigError]:
    """What may keep a daemon from starting, and what it would warn of, by file and line."""
    from asyncmqd.daemon.start_warnings import on_all, on_host

    problems = {**on_host(settings), **(on_all(settings) if imported else {})}
    yield from application.refusal(settings, problems).errors


def _foreseen(settings: Settings) -> Iterator[str]:
    """The next two instants of each schedule, by the clock of this host."""
    from asyncmqd.domain import clock
    from asyncmqd.domain.schedule import local_time, upcoming

    now = clock.wall()
    for name, queue in settings.queues.items():
        for each in queue.repeatables:
            times = ", ".join(local_time(each, instant) for instant in upcoming(each, now, 2))
            yield f"schedule {name}/{each.identity}: next {times or 'never'}"


@app.command()
def plan(context: typer.Context, config: Config = None, as_json: AsJson = False) -> None:
    """Print what a reload would change in the running daemon."""
    daemon_commands.plan(_chosen(context, config), as_json=as_json)


@app.command()
def reload(context: typer.Context, config: Config = None, as_json: AsJson = False) -> None:
    """Reload the configuration of the running daemon; exit with 1 and the reason if it refuses."""
    daemon_commands.reload(_chosen(context, config), as_json=as_json)


@app.command()
def status(context: typer.Context, config: Config = None, as_json: AsJson = False) -> None:
    """Print what is wrong with the running daemon, the worst first, and what it is doing."""
    daemon_commands.status(_chosen(context, config), as_json=as_json)


def _chosen(context: typer.Context, config: Path | None) -> Path:
    """The file named after the command, or before it, or by the environment, or the usual one."""
    source = context.get_parameter_source("config")
    named_here = config if source is not None and source.name == "COMMANDLINE" else None
    return named_here or context.obj or config or DEFAULT_CONFIG
