"""What the commands do that run the daemon or speak to it. They need no typer."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from asyncmqd.cli.errors import FAILED
from asyncmqd.cli.limits import limits_fields
from asyncmqd.cli.output import say
from asyncmqd.domain.safe_text import clean_lines

if TYPE_CHECKING:
    from asyncmqd.daemon.control_protocol import CommandName, Reply


DEFAULT_CONFIG = Path("/etc/asyncmq/queues.toml")
# For the collector until the event loop begins, which sets others. Modules make next to no garbage,
# and to look for it at the usual thresholds was a sixth of a start.
WHILE_LOADING = 200_000, 10, 10


def run(config: Path) -> NoReturn:
    """Be the daemon."""
    gc.set_threshold(*WHILE_LOADING)
    from asyncmqd.daemon.app import run as run_daemon

    run_daemon(config, os.environ)


def plan(config: Path, *, as_json: bool) -> None:
    """What a reload would change."""
    result = _ask(config, "plan").result
    _print_changes(result["plan"] if as_json else None, result["lines"], "nothing would change")


def reload(config: Path, *, as_json: bool) -> None:
    """What a reload has changed. Ends the process with 1 if it was refused."""
    if "MAINPID" in os.environ:  # the unit's ExecReload, which a stop of the unit cuts short:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # that is no failure of the unit
    result = _ask(config, "reload").result
    lines = list(result["lines"])
    if result["draining"]:
        lines.append(f"draining: {', '.join(result['draining'])}")
    _print_changes(result if as_json else None, lines, "reloaded, nothing has changed")


def status(config: Path, *, as_json: bool) -> None:
    """What is wrong with the daemon, and what it is doing. Without one: with its store."""
    result = _ask(config, "status", None if as_json else _say_of_store).result
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


def _say_of_store(config: Path) -> None:
    from asyncmqd.cli.without_daemon import causes_of

    for cause in causes_of(config):
        say(f"! {cause.line}")


def _ask(
    config: Path, command: CommandName, if_none_runs: Callable[[Path], None] | None = None
) -> Reply:
    from asyncmqd.daemon.control_client import NoDaemon, NoneRuns, ask, find_socket

    try:
        reply = ask(find_socket(config, os.environ), command)
    except NoDaemon as error:
        if if_none_runs is not None and isinstance(error, NoneRuns):
            if_none_runs(config)
        _fail(str(error))
    if not reply.ok:
        _fail(reply.error)
    return reply


def _fail(reason: str) -> NoReturn:
    # A refused configuration has a line for each problem.
    print(f"asyncmqd: {clean_lines(reason)}", file=sys.stderr)
    sys.exit(FAILED)
