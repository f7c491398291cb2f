"""`asyncmq`: the operator's command line. It works on the store, with or without a daemon."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from asyncmqd.admin.errors import AdminError
from asyncmqd.cli import closed_streams, jobs, operations, queues, schedules, store, workers
from asyncmqd.cli.completion import answer_shells
from asyncmqd.cli.enqueue import enqueue
from asyncmqd.cli.errors import FAILED, USAGE, CommandError, Misconfigured
from asyncmqd.cli.history import history
from asyncmqd.cli.lazy_commands import command_line
from asyncmqd.cli.options import group
from asyncmqd.cli.output import complain
from asyncmqd.cli.store_choice import Target
from asyncmqd.cli.top.command import top
from asyncmqd.cli.watch import watch

app = group()
app.command()(enqueue)
app.command()(top)
app.command()(history)
app.command()(watch)
app.add_typer(jobs.app, name="job")
app.add_typer(queues.app, name="queue")
app.add_typer(operations.app, name="operation")
app.add_typer(schedules.app, name="schedule")
app.add_typer(workers.app, name="worker")
app.add_typer(store.app, name="store")


def _show_version(wanted: bool) -> None:
    if wanted:
        from asyncmqd import __version__

        print(f"asyncmq {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="The file whose key `backend` names the store."
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            metavar="URL",
            help="The URL of the store. Without it --config, ASYNCMQD_BACKEND, ASYNCMQD_CONFIG or"
            " /etc/asyncmq/queues.toml names the store. Put a password there: all users can see"
            " command lines.",
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Look at queues and jobs, and act on them, with or without a running daemon."""
    context.obj = Target(backend, config)


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: run a command, and turn whatever goes wrong into one line and a code."""
    closed_streams.prepare()
    sys.exit(closed_streams.flushed(_run(arguments)))


def _run(arguments: Sequence[str] | None) -> int:
    # Where the locale has no letter for something, an escape is better than no answer.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    answer_shells()
    try:
        code = command_line(app).main(arguments, prog_name="asyncmq", standalone_mode=False)
    except CommandError as error:  # a line for each problem in a configuration
        for line in str(error).splitlines() if isinstance(error, Misconfigured) else [str(error)]:
            complain(line)
        return error.code
    except typer.Abort:
        complain("aborted")
        return FAILED
    except typer.TyperException as error:
        return _misused(error)
    except BrokenPipeError:  # of standard output; one to the store is a StoreError
        return FAILED
    except Exception as error:  # noqa: BLE001 - people get one line
        complain(_reason(error))
        return FAILED
    return code or 0


def _reason(error: Exception) -> str:
    """Why the work was not done; for what nobody foresaw with the place, for a report."""
    from asyncmqd.backends.base import StoreError

    if isinstance(error, AdminError):
        return str(error)
    if isinstance(error, StoreError):
        return f"store: {error}"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"


def _misused(error: typer.TyperException) -> int:
    """The command line is wrong; where it names no command, the text is the help."""
    text: str = getattr(error, "format_message", lambda: str(error))()
    if text.startswith("Usage: "):
        print(text)
    else:
        complain(" ".join(text.replace("Value error, ", "").split()) + _usage(error, text))
    return getattr(error, "exit_code", USAGE)


def _usage(error: typer.TyperException, text: str) -> str:
    """How the command is called, where arguments are missing or too many."""
    context = getattr(error, "ctx", None)
    if context is None or " argument" not in text:
        return ""
    usage = " ".join(context.get_usage().split())
    return f"{'' if text.endswith('.') else '.'} {usage.translate({ord(c): None for c in '{}'})}"
