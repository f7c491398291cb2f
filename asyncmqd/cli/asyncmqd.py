"""`asyncmqd`: the daemon, and the commands that speak to it."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from asyncmqd.cli import streams
from asyncmqd.cli.building import command_line
from asyncmqd.cli.completion import answer_shells
from asyncmqd.cli.limits import limits_fields
from asyncmqd.cli.output import say
from asyncmqd.domain.text import clean_lines, counted

# The rest is imported where it is used: `check` needs no store, and `status` no event loop.
if TYPE_CHECKING:
    from asyncmqd.config.errors import ConfigError
    from asyncmqd.config.models import Settings
    from asyncmqd.daemon.application import Application
    from asyncmqd.daemon.protocol import CommandName, Reply

DEFAULT_CONFIG = Path("/etc/asyncmq/queues.toml")
FAILED, BAD_CONFIG = 1, 78
# For the collector until the event loop begins, which sets others. Modules make next to no garbage,
# and to look for it at the usual thresholds was a sixth of a start.
WHILE_LOADING = 200_000, 10, 10

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


def main() -> None:
    """The entry point."""
    streams.prepare()
    answer_shells()
    try:
        command_line(app)(prog_name="asyncmqd")
    except SystemExit as end:
        sys.exit(streams.flushed(end.code if isinstance(end.code, int) else FAILED))


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
    gc.set_threshold(*WHILE_LOADING)
    from asyncmqd.daemon.app import run as run_daemon

    run_daemon(_chosen(context, config), os.environ)


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
    from asyncmqd.daemon.application import Application

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
    from asyncmqd.daemon.traces import missing

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
    from asyncmqd.daemon.advice import on_all, on_host

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
            yield f"schedule {name}/{each.key}: next {times or 'never'}"


@app.command()
def plan(context: typer.Context, config: Config = None, as_json: AsJson = False) -> None:
    """Print what a reload would change in the running daemon."""
    result = _ask(context, config, "plan").result
    _print_changes(result["plan"] if as_json else None, result["lines"], "nothing would change")


@app.command()
def reload(context: typer.Context, config: Config = None, as_json: AsJson = False) -> None:
    """Reload the configuration of the running daemon; exit with 1 and the reason if it refuses."""
    if "MAINPID" in os.environ:  # the unit's ExecReload, which a stop of the unit cuts short:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # that is no failure of the unit
    result = _ask(context, config, "reload").result
    lines = list(result["lines"])
    if result["draining"]:
        lines.append(f"draining: {', '.join(result['draining'])}")
    _print_changes(result if as_json else None, lines, "reloaded, nothing has changed")


@app.command()
def status(context: typer.Context, config: Config = None, as_json: AsJson = False) -> None:
    """Print what is wrong with the running daemon, the worst first, and what it is doing."""
    result = _ask(context, config, "status").result
    if as_json:
        print(json.dumps(result))
        return
    for cause in result.get("causes", ()):  # a daemon of the release before does not tell
        say(f"! {cause['line']}")
    store = result["store"]
    began = f"pid {result['pid']}, up {_duration(result['uptime'])}, instance {result['instance']}"
    say(f"asyncmqd {result['version']}: {result['phase']}, {began}")
    _say_configuration(result["config"])
    say(f"store  {store['url']}, {'healthy' if store['healthy'] else 'DEGRADED'}")
    if store["error"]:
        say(f"       {store['error']}")
    for schedule in result["unreadable_schedules"]:
        say(f"schedule {schedule}")
    for process in result["processes"]:
        say(f"process {_process(process)}")
    if lost := result["log"]["dropped"]:
        say(f"log    {lost} lines dropped: nobody read them in time")
    most = result.get("max_concurrency")  # a daemon of the release before does not tell
    if most is not None:
        say(f"slots  {result['running']} of {most} in use by all queues together")
    rows = [_row(name, queue, weighs=most is not None) for name, queue in result["queues"].items()]
    _print_table(_HEADINGS if most is None else ("queue", "weight", *_HEADINGS[1:]), rows)
    for name, queue in result["queues"].items():
        if said := limits_fields(queue.get("limits")):
            say(f"{name}: {'; '.join(f'{what}: {value}' for what, value in said)}")


def _say_configuration(about: dict[str, Any]) -> None:
    say(f"config {about['file']}, generation {about['generation']} of {about['loaded_at'][:19]}Z")
    if about["refusal"]:
        say(f"       {about['refusal']}")
    elif about.get("edited"):  # a daemon of the release before does not tell
        say("       written since then: asyncmqd plan shows what a reload would change")
    if about["needs_restart"]:
        say(f"       restart needed for {', '.join(about['needs_restart'])}")


def _process(process: dict[str, Any]) -> str:
    about = f"{process['number']}: {process['phase']}"
    if process["pid"] is not None:
        about += f", pid {process['pid']}, up {_duration(process['uptime'])}"
    about += f", running {process['running']}"
    return about + (f", restarted {process['restarts']} times" if process["restarts"] else "")


_HEADINGS = ("queue", "running", "rate", "waiting", "delayed", "failed", "done", "")


def _row(name: str, queue: dict[str, Any], *, weighs: bool) -> tuple[str, ...]:
    jobs = queue["jobs"] or {}
    rate = queue["rate_limit"]
    return (
        name,
        *((f"{queue['weight']}",) if weighs else ()),
        f"{queue['running']}/{queue['concurrency']}",
        "-" if rate is None else f"{rate:g}",
        *(str(jobs.get(state, "?")) for state in ("waiting", "delayed", "failed")),
        str(queue["completed"]),
        f"held back: {queue['held_back']}"
        if queue["held_back"]
        else "draining"
        if queue["draining"]
        else "paused"
        if jobs.get("paused")
        else "waits for a slot of the daemon"
        if queue.get("waits")
        else "",
    )


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        say("  ".join(map(str.ljust, row, widths)).rstrip())


def _print_changes(as_json: dict[str, Any] | None, lines: Sequence[str], none: str) -> None:
    if as_json is not None:
        print(json.dumps(as_json))
        return
    for line in lines or [none]:
        say(line)


def _duration(seconds: float) -> str:
    minutes, hours, days = int(seconds) // 60, int(seconds) // 3600, int(seconds) // 86_400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {int(seconds) % 60} s"


def _chosen(context: typer.Context, config: Path | None) -> Path:
    """The file named after the command, or before it, or by the environment, or the usual one."""
    source = context.get_parameter_source("config")
    named_here = config if source is not None and source.name == "COMMANDLINE" else None
    return named_here or context.obj or config or DEFAULT_CONFIG


def _ask(context: typer.Context, config: Path | None, command: CommandName) -> Reply:
    from asyncmqd.daemon.client import NoDaemon, ask, find_socket

    try:
        reply = ask(find_socket(_chosen(context, config), os.environ), command)
    except NoDaemon as error:
        _fail(str(error))
    if not reply.ok:
        _fail(reply.error)
    return reply


def _fail(reason: str) -> NoReturn:
    # A refused configuration has a line for each problem.
    print(f"asyncmqd: {clean_lines(reason)}", file=sys.stderr)
    raise typer.Exit(FAILED)
