"""`asyncmqd`: the entry point.

What units run, and what watches daemons, goes without typer: to import it takes as long as half of
a daemon's start. Help, `check`, and whatever is wrong in a command line are for typer.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from asyncmqd.cli import closed_streams, daemon_commands
from asyncmqd.cli.errors import FAILED

_ASKING = frozenset({"plan", "reload", "status"})
_FROM_SHELL = "_ASYNCMQD_COMPLETE"  # what a shell sets that asks for completions
_INTERRUPTED = 130


def main() -> None:
    """The entry point."""
    closed_streams.prepare()
    try:
        (plain(sys.argv[1:], os.environ) or _by_typer)()
        code: object = 0
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BrokenPipeError:
        code = FAILED
    sys.exit(closed_streams.flushed(code if isinstance(code, int) else FAILED))


def plain(arguments: Sequence[str], environ: Mapping[str, str]) -> Callable[[], None] | None:
    """What `[--config FILE] [COMMAND [--config FILE] [--json]]` asks for; None for all else."""
    files: list[str] = []
    flags: list[str] = []
    command, rest = "", list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--config" and rest and not rest[0].startswith("-"):
            files.append(rest.pop(0))
        elif word.startswith("--config=") and word != "--config=":
            files.append(word.partition("=")[2])
        elif word == "--json" and command in _ASKING:
            flags.append(word)
        elif word in {"run", *_ASKING} and not command:
            command = word
        else:
            return None
    if environ.get(_FROM_SHELL):
        return None
    files = files or [environ.get("ASYNCMQD_CONFIG") or str(daemon_commands.DEFAULT_CONFIG)]
    config = Path(files[-1])
    if command in _ASKING:
        return partial(getattr(daemon_commands, command), config, as_json=bool(flags))
    return partial(daemon_commands.run, config)


def _by_typer() -> None:
    from asyncmqd.cli.completion import answer_shells
    from asyncmqd.cli.daemon import app
    from asyncmqd.cli.lazy_commands import command_line

    answer_shells()
    command_line(app)(prog_name="asyncmqd")
